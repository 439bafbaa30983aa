#include "event/columns.h"

#include <gtest/gtest.h>

#include <limits>
#include <optional>

#include "base/random.h"

namespace tidemill {
namespace {

TEST(Column, KeepsNumbersAndNulls) {
  Column column("n", Type::kBigint);
  column.append_int64(std::numeric_limits<int64_t>::min());
  column.append_null();
  column.append_int64(7);
  EXPECT_EQ(column.name(), "n");
  EXPECT_EQ(column.size(), 3u);
  EXPECT_EQ(column.null_count(), 1u);
  EXPECT_TRUE(column.valid(0));
  EXPECT_FALSE(column.valid(1));
  EXPECT_EQ(column.int64_at(0), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(column.int64_at(2), 7);
  EXPECT_EQ(column.validity()[0], 0b101u);
  EXPECT_EQ(column.words()[1], 0u);
}

TEST(Column, KeepsDoublesByTheirBits) {
  Column column("d", Type::kDouble);
  column.append_double(-0.0);
  column.append_double(0.1);
  EXPECT_EQ(column.words()[0], uint64_t{1} << 63);
  EXPECT_EQ(column.double_at(1), 0.1);
}

TEST(Column, KeepsTextBehindOffsets) {
  Column column("t", Type::kVarchar);
  EXPECT_EQ(column.offsets()[0], 0);
  column.append_text("abc");
  column.append_text("");
  column.append_null();
  column.append_text(std::string_view("\0x", 2));
  EXPECT_EQ(column.data(), std::string("abc\0x", 5));
  EXPECT_EQ(column.text_at(0), "abc");
  EXPECT_EQ(column.text_at(1), "");
  EXPECT_TRUE(column.valid(1));
  EXPECT_EQ(column.text_at(2), "");
  EXPECT_FALSE(column.valid(2));
  EXPECT_EQ(column.text_at(3), std::string_view("\0x", 2));
}

TEST(Column, ClearsForTheNextBatch) {
  for (Type type : {Type::kBoolean, Type::kInteger, Type::kJson}) {
    Column column("c", type);
    column.append_null();
    column.clear();
    EXPECT_EQ(column.size(), 0u);
    EXPECT_EQ(column.null_count(), 0u);
    column.append_null();
    EXPECT_FALSE(column.valid(0));
  }
}

// Against plain vectors of optionals, over word boundaries and truncations anywhere.
TEST(Column, BehavesLikeAVectorOfOptionals) {
  SeededRandom random(11);
  for (Type type : {Type::kBoolean, Type::kBigint, Type::kVarchar}) {
    Column column("c", type);
    std::vector<std::optional<std::string>> model;
    column.reserve(100);
    for (int step = 0; step < 5000; ++step) {
      uint64_t draw = random.below(100);
      if (draw == 0) {
        size_t rows = random.below(model.size() + 2);
        column.truncate(rows);
        if (rows < model.size()) model.resize(rows);
      } else if (draw < 30) {
        column.append_null();
        model.emplace_back();
      } else {
        uint64_t value = type == Type::kBoolean ? random.below(2) : random.below(1'000'000);
        if (type == Type::kBoolean) column.append_bool(value != 0);
        if (type == Type::kBigint) column.append_int64(static_cast<int64_t>(value));
        if (type == Type::kVarchar) column.append_text(std::to_string(value));
        model.emplace_back(std::to_string(value));
      }
      ASSERT_EQ(column.size(), model.size());
    }
    size_t nulls = 0;
    for (size_t row = 0; row < model.size(); ++row) {
      ASSERT_EQ(column.valid(row), model[row].has_value());
      if (!model[row]) {
        ++nulls;
        continue;
      }
      std::string got;
      if (type == Type::kBoolean) got = column.bool_at(row) ? "1" : "0";
      if (type == Type::kBigint) got = std::to_string(column.int64_at(row));
      if (type == Type::kVarchar) got = column.text_at(row);
      ASSERT_EQ(got, *model[row]);
    }
    EXPECT_EQ(column.null_count(), nulls);
    EXPECT_GT(column.memory_bytes(), 0u);
  }
}

}  // namespace
}  // namespace tidemill
