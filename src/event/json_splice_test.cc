#include "event/json_splice.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"
#include "event/json_decoder.h"
#include "event/testing/json_documents.h"

namespace tidemill {
namespace {

std::string splice(std::string_view object, std::string_view members) {
  SplicePoint point = find_splice_point(object);
  return std::string(point.head) + (point.comma ? "," : "") + std::string(members) + "}";
}

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(text, &out);
  return out;
}

TEST(SplicePoint, StandsBehindTheLastMemberWhateverTheSpacing) {
  EXPECT_EQ(splice(R"({"a":1})", "\"b\":2"), R"({"a":1,"b":2})");
  EXPECT_EQ(splice("{\"a\" : 1 \n}\r\n ", "\"b\":2"), "{\"a\" : 1,\"b\":2}");
  EXPECT_EQ(splice(R"({"a":{}})", "\"b\":2"), R"({"a":{},"b":2})");
  EXPECT_EQ(splice(R"({"a":"}"})", "\"b\":2"), R"({"a":"}","b":2})");
  EXPECT_EQ(splice("{}", "\"b\":2"), R"({"b":2})");
  EXPECT_EQ(splice(" {\n\t} ", "\"b\":2"), R"( {"b":2})");
  EXPECT_EQ(splice(R"({"a":"{"})", "\"b\":2"), R"({"a":"{","b":2})");
}

TEST(AddedMembers, AreTheSameAsThoseWrittenForEachRowAlone) {
  SeededRandom random(7);
  Batch batch;
  Column time("enqueuedAt", Type::kTimestamp);
  Column flag("flag", Type::kBoolean);
  Column number("offset", Type::kBigint);
  Column text("te\"xt", Type::kVarchar);
  constexpr uint32_t kRows = 500;
  for (uint32_t row = 0; row < kRows; ++row) {
    // Often the same as in the row before, sometimes NULL.
    random.below(8) == 0 ? time.append_null()
                         : time.append_int64(1'767'225'600'000'000 + static_cast<int64_t>(random.below(2)));
    flag.append_bool(random.below(4) == 0);
    random.below(8) == 0 ? number.append_null() : number.append_int64(static_cast<int64_t>(random.below(3)));
    text.append_text(random.below(2) == 0 ? "a" : "b\n");
  }
  batch.columns = {time, number, text, flag};
  for (const std::vector<uint32_t>& added :
       {std::vector<uint32_t>{0}, {0, 1}, {1, 0}, {3, 0}, {0, 2, 1}, {0, 1, 2, 3}}) {
    batch.added = added;
    AddedMembers members;
    members.begin(batch);
    for (int i = 0; i < 1000; ++i) {
      auto row = static_cast<uint32_t>(i < 500 ? static_cast<uint64_t>(i) : random.below(kRows));
      std::string alone = ",";
      append_added_members(batch, row, &alone);
      EXPECT_EQ(members.text(row), alone + "}");
    }
  }
}

TEST(RemoveMembers, CutsEveryMemberOfTheNameAtTheTop) {
  EXPECT_EQ(remove_members(R"({"a":1,"b":2,"c":3})", {"b"}), R"({"a":1,"c":3})");
  EXPECT_EQ(remove_members(R"({"a":1,"b":2,"a":3})", {"a"}), R"({"b":2})");
  EXPECT_EQ(remove_members(R"({"a":1})", {"a"}), "{}");
  EXPECT_EQ(remove_members(R"({"a":1,"b":2})", {"a", "b"}), "{}");
  EXPECT_EQ(remove_members("{}", {"a"}), "{}");
  EXPECT_EQ(remove_members(R"({"a":1})", {}), R"({"a":1})");
  EXPECT_EQ(remove_members(R"({"\u0061":1,"b":2})", {"a"}), R"({"b":2})");
  EXPECT_EQ(remove_members("{ \"a\" : [1, 2] , \"b\" : {\"a\": \"}\"}\n, \"c\":\"\\\"\" }", {"a"}),
            "{\"b\" : {\"a\": \"}\"},\"c\":\"\\\"\"}");
}

TEST(RemoveMembers, LeavesNestedMembersOfTheNameAlone) {
  EXPECT_EQ(remove_members(R"({"x":{"a":1},"a":{"a":2},"y":[{"a":3}]})", {"a"}),
            R"({"x":{"a":1},"y":[{"a":3}]})");
  EXPECT_EQ(remove_members(R"({"x":"\"a\":1,","a":"a"})", {"a"}), R"({"x":"\"a\":1,"})");
}

TEST(RemoveMembers, EndsOnAnyBytes) {
  SeededRandom random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = testing::random_object(random);
    text.resize(random.below(text.size() + 1));
    EXPECT_LE(remove_members(text, {"a"}).size(), text.size() + 2);
    find_splice_point(text);
  }
}

TEST(RemoveMembers, GivesValidObjectsWithoutTheName) {
  SeededRandom random(2);
  DecodePlan plan{{Field{"a", {"a"}, Type::kJson, true}, Field{"b", {"b"}, Type::kJson, true}}, {}};
  for (int i = 0; i < 2000; ++i) {
    std::string text = testing::random_object(random);
    std::string removed = remove_members(text, {"a"});
    ASSERT_TRUE(is_valid_json_object(removed)) << text << " became " << removed;
    ASSERT_TRUE(is_valid_json_object(splice(removed, "\"a\":1"))) << removed;
    std::vector<Column> before = {Column("a", Type::kJson), Column("b", Type::kJson)};
    std::vector<Column> after = before;
    ASSERT_TRUE(decode_json_slowly(plan, text, &before).ok());
    ASSERT_TRUE(decode_json_slowly(plan, removed, &after).ok());
    EXPECT_FALSE(after[0].valid(0));
    EXPECT_EQ(before[1].text_at(0), after[1].text_at(0));
  }
}

TEST(JsonString, EscapesWhatMustBe) {
  EXPECT_EQ(json_string(""), "\"\"");
  EXPECT_EQ(json_string("plain é 😀"), "\"plain é 😀\"");
  EXPECT_EQ(json_string("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(json_string(std::string_view("\0\x1f\n\r\t", 5)), R"("\u0000\u001f\n\r\t")");
}

TEST(AddedMembers, AreWrittenByTheirTypes) {
  Batch batch;
  batch.columns.emplace_back("not added", Type::kBigint);
  batch.columns[0].append_int64(1);
  batch.columns.emplace_back("enqueuedAt", Type::kTimestamp);
  batch.columns.back().append_int64(1'795'252'020'123'456);
  batch.columns.emplace_back("n", Type::kBigint);
  batch.columns.back().append_int64(-5);
  batch.columns.emplace_back("d", Type::kDouble);
  batch.columns.back().append_double(0.1);
  batch.columns.emplace_back("b", Type::kBoolean);
  batch.columns.back().append_bool(true);
  batch.columns.emplace_back("s\"", Type::kVarchar);
  batch.columns.back().append_text("x\ny");
  batch.columns.emplace_back("j", Type::kJson);
  batch.columns.back().append_text("[1, 2]");
  batch.columns.emplace_back("nothing", Type::kTimestamp);
  batch.columns.back().append_null();
  batch.columns.emplace_back("infinite", Type::kDouble);
  batch.columns.back().append_double(std::numeric_limits<double>::infinity());
  batch.added = {1, 2, 3, 4, 5, 6, 7, 8};
  std::string out = "{";
  append_added_members(batch, 0, &out);
  EXPECT_EQ(out,
            R"({"enqueuedAt":"2026-11-21T09:07:00.123456Z","n":-5,"d":0.1,"b":true,"s\"":"x\ny","j":[1, 2],)"
            R"("nothing":null,"infinite":null)");
  batch.added.clear();
  out.clear();
  append_added_members(batch, 0, &out);
  EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace tidemill
