// The smaller parts: dedup model, measures, decoding, windows.
#include <gtest/gtest.h>

#include <cmath>

#include "verify/dedup_model.h"
#include "verify/json_fields.h"
#include "verify/measures.h"
#include "verify/run.h"

namespace tidemill::verify {
namespace {

TEST(DedupModel, RemembersTheLastIdsOfEachKeyAndRefreshesHits) {
  Dedup dedup;
  dedup.kind = DedupKind::kLastN;
  dedup.last_n = 2;
  DedupModel model(dedup);
  EXPECT_FALSE(model.seen("k", "1", 0));
  EXPECT_FALSE(model.seen("k", "2", 0));
  EXPECT_FALSE(model.seen("other", "1", 0));
  EXPECT_TRUE(model.seen("k", "1", 0));   // now 2 is the least recent
  EXPECT_FALSE(model.seen("k", "3", 0));  // and goes
  EXPECT_TRUE(model.seen("k", "1", 0));
  EXPECT_FALSE(model.seen("k", "2", 0));
  model.clear();
  EXPECT_FALSE(model.seen("k", "1", 0));
}

// Against the plainest one there is, and without remembering more than the last ids.
TEST(DedupModel, AgreesWithAListAndDoesNotGrow) {
  for (const DedupKind kind : {DedupKind::kLastN, DedupKind::kHorizon}) {
    Dedup dedup;
    dedup.kind = kind;
    dedup.last_n = 5;
    dedup.horizon_us = 40'000;
    DedupModel model(dedup);
    struct Seen {
      uint64_t key, id;
      int64_t time_ms;
    };
    std::vector<Seen> list;  // the most recent one last
    uint64_t random = 7;
    for (int64_t ms = 0; ms < 20'000; ++ms) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      const Seen now{random >> 40 & 3, random >> 50 & 15, ms};
      if (kind == DedupKind::kHorizon)
        std::erase_if(list, [&](const Seen& one) { return one.time_ms < ms - 40; });
      const bool copy =
          std::erase_if(list, [&](const Seen& one) { return one.key == now.key && one.id == now.id; }) > 0;
      list.push_back(now);
      auto of_key = [&](const Seen& one) { return one.key == now.key; };
      if (kind == DedupKind::kLastN && std::count_if(list.begin(), list.end(), of_key) > 5)
        list.erase(std::find_if(list.begin(), list.end(), of_key));
      ASSERT_EQ(
          model.seen("key " + std::to_string(now.key), "an id of some length " + std::to_string(now.id), ms),
          copy)
          << ms;
      ASSERT_EQ(model.remembered(), list.size());
    }
  }
}

TEST(DedupModel, ForgetsBeyondTheHorizon) {
  Dedup dedup;
  dedup.kind = DedupKind::kHorizon;
  dedup.horizon_us = 100'000;
  DedupModel model(dedup);
  EXPECT_FALSE(model.seen("k", "1", 1000));
  EXPECT_TRUE(model.seen("k", "1", 1100));
  EXPECT_TRUE(model.seen("k", "1", 1200));
  EXPECT_FALSE(model.seen("k", "1", 1301));
}

TEST(Measures, QuantilesAreRightToATenthOfAPercent) {
  auto histogram = std::make_unique<LatencyHistogram>();
  EXPECT_FALSE(histogram->quantiles().has_value());
  for (int64_t us = 1; us <= 1'000'000; ++us) histogram->add(us);
  Quantiles q = *histogram->quantiles();
  EXPECT_EQ(q.count, 1'000'000u);
  EXPECT_NEAR(q.p50, 500, 0.5);
  EXPECT_NEAR(q.p99, 990, 1);
  EXPECT_NEAR(q.p99_9, 999, 1);
  EXPECT_EQ(q.max, 1000);
  histogram->add(INT64_MAX);
  histogram->add(-5);
  EXPECT_EQ(histogram->quantiles()->max, static_cast<double>(INT64_MAX) / 1000.0);
}

TEST(Measures, TheLowestMinuteIsOfWholeMinutes) {
  Rate rate;
  EXPECT_FALSE(rate.overall().has_value());
  constexpr int64_t kSecond = 1'000'000;
  for (int64_t second = 0; second < 150; ++second) {
    int64_t events = second >= 60 && second < 120 ? 5 : 10;
    for (int64_t n = 0; n < events; ++n)
      rate.add((1000 + second) * kSecond + n, (1000 + second) * kSecond - 1000);
  }
  EXPECT_EQ(rate.lowest_minute(), 5.0);
  EXPECT_NEAR(*rate.overall(), 1200 / 149.0, 0.01);
  Rate brief;
  brief.add(5, {});
  EXPECT_FALSE(brief.lowest_minute().has_value());
}

TEST(JsonFields, DecodesByPathAndSaysWhatIsWrong) {
  JsonFields json({{"a", {"a"}, FieldType::kBigint, false},
                   {"b.c", {"b", "c"}, FieldType::kDouble, true},
                   {"t", {"t"}, FieldType::kTimestamp, true},
                   {"j", {"j"}, FieldType::kJson, true}});
  std::vector<FieldValue> values;
  std::vector<uint8_t> unreadable;
  std::string wrong;
  auto decode = [&](std::string_view text) { return json.decode(text, &values, &unreadable, &wrong); };
  EXPECT_EQ(decode(R"({"a":-9223372036854775808,"b":{"c":1},"t":"1970-01-01T00:00:00.5Z","j":{"x": [1]}})"),
            Decoded::kOk);
  EXPECT_EQ(values[0].integer, INT64_MIN);
  EXPECT_TRUE(same_value(values[1], FieldValue::of_double(1)));
  EXPECT_EQ(values[2].integer, 500'000);
  EXPECT_EQ(values[3].text, R"({"x":[1]})");
  EXPECT_EQ(json.further_members({}), "");

  EXPECT_EQ(decode(R"({"a":1,"b":null,"j":null})"), Decoded::kOk);
  EXPECT_EQ(values[1].kind, FieldValue::Kind::kNull);
  EXPECT_EQ(values[3].kind, FieldValue::Kind::kNull);
  EXPECT_EQ(decode(R"({"a":1,"more":2,"b":{"c":1,"d":2}})"), Decoded::kOk);
  EXPECT_EQ(json.further_members({}), R"("more":2,"b.d":2)");
  EXPECT_EQ(json.further_members({"more"}), R"("b.d":2)");
  EXPECT_EQ(decode(R"({"a":1,"b":{"c":1},"t":"1970-01-01T00:00:00Z","j":1,"j":2})"), Decoded::kOk);
  EXPECT_EQ(json.further_members({}), R"("j":2)");

  EXPECT_EQ(decode(R"({"b":{"c":1}})"), Decoded::kMalformed);
  EXPECT_EQ(wrong, "a is missing");
  EXPECT_EQ(decode(R"({"a":1.0})"), Decoded::kMalformed);
  EXPECT_EQ(decode(R"({"a":1,"b":[]})"), Decoded::kMalformed);
  EXPECT_EQ(decode(R"({"a":1,"t":"yesterday"})"), Decoded::kMalformed);
  for (const char* text : {"", "not json", "[1]", "{", "{\"a\":1}x", "{\"a\":1,\"b\":\"\xff\"}"}) {
    EXPECT_EQ(decode(text), Decoded::kMalformed) << text;
  }
}

TEST(Windows, CoverEverythingOnce) {
  for (int64_t total : {0, 1, 7, 1000, 1001}) {
    for (int parts : {1, 2, 3, 10}) {
      for (int64_t stride : {1, 3, 50}) {
        int64_t at = 0;
        for (int n = 0; n < parts; ++n) {
          Window window = window_of(total, n, parts, stride);
          EXPECT_EQ(window.begin, at);
          EXPECT_TRUE(window.begin % stride == 0 || window.begin == total);
          at = window.end;
        }
        EXPECT_EQ(at, total);
      }
    }
  }
}

TEST(Fields, ANarrowColumnKeepsWhatTheDatabaseWould) {
  using Kind = Narrowing::Kind;
  const auto kept = [](double value, Kind kind, int32_t scale = 0) {
    std::deque<std::string> texts;
    const FieldValue once = narrowed(FieldValue::of_double(value), {kind, scale}, &texts);
    EXPECT_TRUE(same_value(narrowed(once, {kind, scale}, &texts), once)) << value;
    return display(once);
  };
  EXPECT_EQ(kept(63.09999999999999, Kind::kNone), "63.09999999999999");
  EXPECT_EQ(kept(63.09999999999999, Kind::kRounded, 2), "63.1");
  EXPECT_EQ(kept(-99.995, Kind::kRounded, 2), "-100");
  EXPECT_EQ(kept(0.005, Kind::kRounded, 2), "0.01");
  EXPECT_EQ(kept(-0.004, Kind::kRounded, 2), "0");
  EXPECT_EQ(kept(9.5, Kind::kRounded), "10");
  EXPECT_EQ(kept(1e300, Kind::kRounded, 2), "1e+300");
  EXPECT_EQ(kept(5e-324, Kind::kRounded, 1000), "5e-324");
  EXPECT_EQ(kept(-0.0, Kind::kReal), "-0");
  EXPECT_EQ(kept(-0.0, Kind::kDecimal), "0");
  EXPECT_EQ(kept(0.1, Kind::kReal), "0.10000000149011612");
  EXPECT_EQ(kept(3.5e38, Kind::kReal), "3.5e+38") << "no value of a real, so that no row has it";
  EXPECT_EQ(kept(1e-46, Kind::kReal), "1e-46");
  std::deque<std::string> texts;
  EXPECT_TRUE(
      same_value(narrowed(FieldValue::of_integer(7), {Kind::kReal, 0}, &texts), FieldValue::of_integer(7)));
}

// Events as they are written, and what PostgreSQL prints of them.
TEST(Fields, ATextIsWhatUuidAndJsonbKeepOfIt) {
  using Kind = Narrowing::Kind;
  const auto kept = [](std::string_view text, Kind kind) {
    std::deque<std::string> texts;
    const FieldValue once = narrowed(FieldValue::of_text(text), {kind, 0}, &texts);
    EXPECT_TRUE(same_value(narrowed(once, {kind, 0}, &texts), once)) << text;
    return std::string(once.text);
  };
  const std::string uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  for (const char* text : {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                           "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"})
    EXPECT_EQ(kept(text, Kind::kUuid), uuid);
  EXPECT_EQ(kept("A0EEBC99", Kind::kUuid), "A0EEBC99");
  for (const auto& [event, stored] : std::vector<std::pair<std::string, std::string>>{
           {R"({"b":1,"a":2,"b":3})", R"({"a": 2, "b": 3})"},
           {R"({"aa":1,"b":{"d":null,"c":[true,false]}})",
            R"({"b": {"c": [true, false], "d": null}, "aa": 1})"},
           {"[100.0,1e2,-0.0,0.1,-7.0]", "[100.0, 100, 0.0, 0.10, -7]"},
           {"1.5e300", "15" + std::string(299, '0')},
           {"1e19", "10000000000000000000"},
           {"123456789012345680000.0", "123456789012345678901"},
           {R"("\u00e9\/\n\u0001\"")", "\"\xC3\xA9/\\n\\u0001\\\"\""},
           {"7", " 7 "}})
    EXPECT_EQ(kept(event, Kind::kJsonb), kept(stored, Kind::kJsonb)) << event;
  for (const auto& [event, stored] :
       std::vector<std::pair<std::string, std::string>>{{R"({"a":1})", R"({"a": 2})"},
                                                        {R"({"a":1})", R"({"a": "1"})"},
                                                        {R"({"a":1,"b":2})", R"({"a": 1})"},
                                                        {"[1,2]", "[2, 1]"},
                                                        {"9007199254740993", "9007199254740992"},
                                                        {"0.1", "0.10000000000000002"}})
    EXPECT_NE(kept(event, Kind::kJsonb), kept(stored, Kind::kJsonb)) << event;
}

TEST(Fields, ValuesAreComparedByTheirBits) {
  EXPECT_FALSE(same_value(FieldValue::of_double(0.0), FieldValue::of_double(-0.0)));
  EXPECT_TRUE(same_value(FieldValue::of_double(std::nan("")), FieldValue::of_double(std::nan(""))));
  EXPECT_FALSE(same_value(FieldValue::of_double(1), FieldValue::of_integer(1)));
  EXPECT_FALSE(same_value(FieldValue{}, FieldValue::of_text("")));
  EXPECT_EQ(hex(static_cast<Sum128>(255) << 120), "ff000000000000000000000000000000");
}

}  // namespace
}  // namespace tidemill::verify
