#include "event/json_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "base/testing/fuzzing.h"
#include "event/testing/json_documents.h"

namespace tidemill {
namespace {

using testing::compare_decoders;
using ::testing::ElementsAre;

Field field(const std::string& dotted, Type type, bool nullable = true) {
  return Field{dotted, split_path(dotted), type, nullable};
}

// Decodes texts with both decoders, which must agree, and gives the fast one's batch.
std::unique_ptr<Batch> decode(const DecodePlan& plan, const std::vector<std::string>& texts) {
  JsonDecoder decoder(plan);
  EXPECT_EQ(compare_decoders(decoder, plan, texts), "");
  RecordBatchBuilder builder;
  for (const std::string& text : texts) builder.add(7, "key", text);
  auto batch = std::make_unique<Batch>();
  batch->source = {"events", Partition(3)};
  auto bytes = std::make_shared<const std::string>(builder.finish().value());
  EXPECT_TRUE(batch->set_record_batches(bytes, Offset(0), SIZE_MAX).ok());
  batch->select_all();
  decoder.decode(*batch);
  return batch;
}

// The reason why one text is refused; empty: it is not.
std::string reason(const DecodePlan& plan, const std::string& text) {
  auto batch = decode(plan, {text});
  return batch->dead_letters.empty() ? "" : batch->dead_letters[0].reason;
}

TEST(JsonDecoder, DecodesTheWholeTelemetryEvent) {
  std::string event =
      R"({"eventId":"7c5e7c5e-aaaa-4bbb-8ccc-0123456789ab","complexData":{"moreData0":10.123456789012345,"moreData1":-0.5},)"
      R"("value":99.99999999999999,"deviceId":"contoso-device-id-000154","deviceSequenceNumber":9007199254740993,)"
      R"("type":"CO2","createdAt":"2026-11-21T09:07:00.123456Z"})";
  auto batch = decode({telemetry_schema(2).fields, {}}, {event});
  ASSERT_TRUE(batch->dead_letters.empty());
  EXPECT_EQ(batch->column("eventId")->text_at(0), "7c5e7c5e-aaaa-4bbb-8ccc-0123456789ab");
  EXPECT_EQ(batch->column("complexData.moreData0")->double_at(0), 10.123456789012345);
  EXPECT_EQ(batch->column("complexData.moreData1")->double_at(0), -0.5);
  EXPECT_EQ(batch->column("value")->double_at(0), 99.99999999999999);
  EXPECT_EQ(batch->column("deviceSequenceNumber")->int64_at(0), 9007199254740993);
  EXPECT_EQ(batch->column("type")->text_at(0), "CO2");
  EXPECT_EQ(batch->column("createdAt")->int64_at(0), 1'795'252'020'123'456);
}

TEST(JsonDecoder, ReadsEveryTypeAndNullsForWhatIsAbsent) {
  DecodePlan plan{{field("b", Type::kBoolean), field("i", Type::kInteger), field("n", Type::kBigint),
                   field("d", Type::kDouble), field("t", Type::kTimestamp), field("s", Type::kVarchar),
                   field("j", Type::kJson)},
                  {}};
  auto batch = decode(
      plan, {R"({"b":true,"i":-2147483648,"n":-9223372036854775808,"d":3,"t":"1970-01-01T01:00:00+01:00",)"
             R"("s":"\u00e9\n\ud83d\ude00\"","j": { "x" : [1, 2 ] } })",
             "{}", R"({"b":null,"i":null,"n":null,"d":null,"t":null,"s":null,"j":null})",
             R"({"j":1.50 , "s":"", "b":false, "d":-0})"});
  ASSERT_EQ(batch->selected.size(), 4u);
  EXPECT_TRUE(batch->columns[0].bool_at(0));
  EXPECT_EQ(batch->columns[1].int64_at(0), INT32_MIN);
  EXPECT_EQ(batch->columns[2].int64_at(0), INT64_MIN);
  EXPECT_EQ(batch->columns[3].double_at(0), 3.0);
  EXPECT_EQ(batch->columns[4].int64_at(0), 0);
  EXPECT_EQ(batch->columns[5].text_at(0), "é\n😀\"");
  EXPECT_EQ(batch->columns[6].text_at(0), R"({ "x" : [1, 2 ] })");
  for (const Column& column : batch->columns) {
    EXPECT_EQ(column.size(), 4u);
    EXPECT_FALSE(column.valid(1));
    EXPECT_FALSE(column.valid(2));
  }
  EXPECT_EQ(batch->columns[6].text_at(3), "1.50");
  EXPECT_TRUE(std::signbit(batch->columns[3].double_at(3)));
}

TEST(JsonDecoder, SaysWhichFieldIsWrongAndHow) {
  DecodePlan plan{{field("id", Type::kVarchar, false), field("n", Type::kBigint), field("i", Type::kInteger),
                   field("d", Type::kDouble), field("t", Type::kTimestamp), field("b", Type::kBoolean),
                   field("c.x", Type::kDouble), field("c.y.z", Type::kDouble, false)},
                  {}};
  auto with = [&](const std::string& member) {
    return reason(plan, R"({"id":"1","c":{"y":{"z":1}},)" + member + "}");
  };
  EXPECT_EQ(with(R"("n":"5")"), "n: expected BIGINT, found a string");
  EXPECT_EQ(with(R"("n":1.0)"), "n: expected BIGINT, found 1.0");
  EXPECT_EQ(with(R"("n":1e3)"), "n: expected BIGINT, found 1e3");
  EXPECT_EQ(with(R"("n":9223372036854775808)"), "n: 9223372036854775808 is outside the range of BIGINT");
  EXPECT_EQ(with(R"("i":2147483648)"), "i: 2147483648 is outside the range of INTEGER");
  EXPECT_EQ(with(R"("n":true)"), "n: expected BIGINT, found a boolean");
  EXPECT_EQ(with(R"("n":[1])"), "n: expected BIGINT, found an array");
  EXPECT_EQ(with(R"("d":{})"), "d: expected DOUBLE, found an object");
  EXPECT_EQ(with(R"("d":1e400)"), "d: 1e400 is outside the range of DOUBLE");
  EXPECT_EQ(with(R"("t":5)"), "t: expected TIMESTAMP, found a number");
  EXPECT_EQ(with(R"("t":"yesterday")"), "t: not a timestamp: \"yesterday\"");
  EXPECT_EQ(with(R"("b":0)"), "b: expected BOOLEAN, found a number");
  EXPECT_EQ(with(R"("b":0,"n":"")"), "b: expected BOOLEAN, found a number");
  EXPECT_EQ(with(R"("n":null)"), "");
  EXPECT_EQ(reason(plan, R"({"c":{"y":{"z":1}}})"), "id: missing");
  EXPECT_EQ(reason(plan, R"({"id":null,"c":{"y":{"z":1}}})"), "id: null where a value is required");
  EXPECT_EQ(reason(plan, R"({"id":"1","c":null})"), "c.y.z: missing");
  EXPECT_EQ(reason(plan, R"({"id":"1","c":{"x":1}})"), "c.y.z: missing");
  EXPECT_EQ(reason(plan, R"({"id":"1","c":5})"), "c: expected an object, found a number");
  EXPECT_EQ(reason(plan, R"({"id":"1","c":{"y":"s"}})"), "c.y: expected an object, found a string");
}

TEST(JsonDecoder, RepeatsLittleOfTheEventInReasons) {
  std::string text = R"({"t":")";
  for (int i = 0; i < 1000; ++i) text += "é";
  std::string said = reason({{field("t", Type::kTimestamp)}, {}}, text + "\"}");
  EXPECT_LT(said.size(), 150u);
  EXPECT_TRUE(said.starts_with("t: not a timestamp: \"é")) << said;
  EXPECT_TRUE(said.ends_with("é…\"")) << said;
  EXPECT_LT(reason({{field("n", Type::kBigint)}, {}}, "{\"n\":" + std::string(5000, '9') + "}").size(), 170u);
}

TEST(JsonDecoder, RefusesMalformedTextWhateverIsPlanned) {
  std::string deep64 = "{\"a\":" + std::string(63, '[') + std::string(63, ']') + "}";
  std::string deep65 = "{\"a\":" + std::string(64, '[') + std::string(64, ']') + "}";
  std::vector<DecodePlan> plans = {{{}, {}},
                                   {{field("zzz", Type::kBigint)}, {}},
                                   {{field("a", Type::kJson)}, {}},
                                   {{field("a", Type::kDouble)}, {}},
                                   {{field("a", Type::kVarchar)}, {}},
                                   {{field("a.b", Type::kVarchar)}, {}}};
  for (const DecodePlan& plan : plans) {
    for (const std::string& bad : std::vector<std::string>{"",
                                                           " ",
                                                           "{",
                                                           "}",
                                                           "[]",
                                                           "1",
                                                           "\"a\"",
                                                           "null",
                                                           "not json",
                                                           "{}{}",
                                                           "{} x",
                                                           "{},",
                                                           "{}]",
                                                           "{}}",
                                                           "[{}]",
                                                           "{\"a\"}",
                                                           "{\"a\":}",
                                                           "{\"a\":1,}",
                                                           "{,}",
                                                           "{\"a\":1 \"b\":2}",
                                                           "{\"a\" 1}",
                                                           "{a:1}",
                                                           "{'a':1}",
                                                           "{\"a\":1",
                                                           "{\"a\":{}",
                                                           "{\"a\":[}",
                                                           "{\"a\":[1}",
                                                           "{\"a\":[1,]}",
                                                           "{\"a\":[,1]}",
                                                           "{\"a\":{\"b\":1]}",
                                                           "{\"a\":[1 2]}",
                                                           "{\"a\":{\"b\":1,}}",
                                                           "{\"a\":01}",
                                                           "{\"a\":1.}",
                                                           "{\"a\":.5}",
                                                           "{\"a\":+1}",
                                                           "{\"a\":-}",
                                                           "{\"a\":1e}",
                                                           "{\"a\":0x1}",
                                                           "{\"a\":NaN}",
                                                           "{\"a\":1\"b\"}",
                                                           "{\"a\":\"b\"c}",
                                                           "{\"a\":\"b\"\"c\"}",
                                                           "{\"a\":tru}",
                                                           "{\"a\":truee}",
                                                           "{\"a\":true\"\"}",
                                                           "{\"a\":nul}",
                                                           "{\"a\":fals}",
                                                           "{\"a\":True}",
                                                           "{\"a\":\"\\x\"}",
                                                           "{\"a\":\"\\u12\"}",
                                                           "{\"a\":\"\\u12g4\"}",
                                                           "{\"a\":\"\\ud800\"}",
                                                           "{\"a\":\"\\udc00\"}",
                                                           "{\"a\":\"\\ud800\\u0041\"}",
                                                           "{\"\\x\":1}",
                                                           "{\"b\":[\"\\x\"]}",
                                                           "{\"b\":{\"\\x\":1}}",
                                                           "{\"a\":\"\n\"}",
                                                           "{\"a\":\"\x01\"}",
                                                           "{\"a\":\"b}",
                                                           "{\"a\":\"\\\"}",
                                                           "{\"a\":\x01}",
                                                           "{\"a\"\x1a"
                                                           "1}",
                                                           "{\"a\":1\x0c\"b\":2}",
                                                           "{\"a\":\"\xff\"}",
                                                           "{\"\xc3\":1}",
                                                           "{\"a\":\"\xed\xa0\x80\"}",
                                                           "{\"a\":\"\xc0\x80\"}",
                                                           "\xef\xbb\xbf{}",
                                                           "{}\xff",
                                                           std::string("{}\0", 3),
                                                           std::string("{\"a\":1\0}", 8),
                                                           deep65}) {
      EXPECT_FALSE(is_valid_json_object(bad)) << bad;
      EXPECT_TRUE(reason(plan, bad).starts_with("malformed JSON")) << bad;
    }
  }
  for (const std::string& good :
       {std::string("{}"), std::string(" \r\n\t{ } \n"), deep64, std::string("{\"\":0}"),
        std::string("{\"b\":[[],{},\"\\ud83d\\ude00\",-0.0e-0,true,false,null]}")}) {
    EXPECT_TRUE(is_valid_json_object(good)) << good;
    EXPECT_EQ(reason(plans[1], good), "") << good;
  }
}

TEST(JsonDecoder, CountsTheFirstOfDuplicateMembers) {
  DecodePlan plan{{field("a", Type::kBigint), field("c.x", Type::kBigint), field("c.y", Type::kBigint)}, {}};
  auto batch = decode(plan, {R"({"a":1,"a":2,"c":{"x":3,"x":4},"c":{"x":5,"y":6}})",
                             R"({"a":null,"a":2,"c":null,"c":{"x":1}})", R"({"\u0061":7,"a":"no number"})",
                             R"({"a":1,"c":{},"c":5})"});
  ASSERT_EQ(batch->selected.size(), 4u);
  EXPECT_EQ(batch->columns[0].int64_at(0), 1);
  EXPECT_EQ(batch->columns[1].int64_at(0), 3);
  EXPECT_FALSE(batch->columns[2].valid(0));
  EXPECT_FALSE(batch->columns[0].valid(1));
  EXPECT_FALSE(batch->columns[1].valid(1));
  EXPECT_EQ(batch->columns[0].int64_at(2), 7);
}

TEST(JsonDecoder, GivesOneValueToSeveralFields) {
  DecodePlan plan{{field("c", Type::kJson), field("c.x", Type::kDouble), field("t", Type::kTimestamp),
                   field("t", Type::kVarchar), field("c.x", Type::kJson)},
                  {}};
  plan.fields[3].name = "t_text";
  auto batch = decode(plan, {R"({"c":{"x":1.50},"t":"1970-01-01T00:00:01Z"})"});
  ASSERT_EQ(batch->selected.size(), 1u);
  EXPECT_EQ(batch->columns[0].text_at(0), R"({"x":1.50})");
  EXPECT_EQ(batch->columns[1].double_at(0), 1.5);
  EXPECT_EQ(batch->columns[2].int64_at(0), 1'000'000);
  EXPECT_EQ(batch->columns[3].text_at(0), "1970-01-01T00:00:01Z");
  EXPECT_EQ(batch->columns[4].text_at(0), "1.50");
}

TEST(JsonDecoder, NotesEventsThatAlreadyHaveAnAddedMember) {
  DecodePlan plan{{field("a", Type::kBigint)}, {"enqueuedAt", "a"}};
  auto batch =
      decode(plan, {R"({"b":{"enqueuedAt":1}})", R"({"enqueuedAt":1})", R"({"x":"enqueuedAt"})", R"({"a":5})",
                    R"({"enqueued\u0041t":null})", R"({"enqueuedAt":1)", R"({"enqueuedAt":1,"a":"x"})"});
  EXPECT_THAT(batch->has_added_member, ElementsAre(1, 3, 4));
  EXPECT_THAT(batch->selected, ElementsAre(0, 1, 2, 3, 4));
}

TEST(JsonDecoder, MovesWhatCannotBeDecodedToDeadLetters) {
  DecodePlan plan{{field("n", Type::kBigint), field("s", Type::kVarchar)}, {}};
  auto batch =
      decode(plan, {R"({"n":1,"s":"a"})", R"({"n":2,"s":5})", R"({"s":"b","n":3})", "{\"n\":4,\"s\":\"c\""});
  EXPECT_THAT(batch->selected, ElementsAre(0, 2));
  ASSERT_EQ(batch->dead_letters.size(), 2u);
  const DeadLetter& dead = batch->dead_letters[0];
  EXPECT_EQ(dead.source.to_string(), "events-3");
  EXPECT_EQ(dead.offset, Offset(1));
  EXPECT_EQ(dead.timestamp_ms, 7);
  EXPECT_TRUE(dead.has_key);
  EXPECT_EQ(dead.key, "key");
  EXPECT_EQ(dead.value, R"({"n":2,"s":5})");
  EXPECT_EQ(dead.reason, "s: expected VARCHAR, found a number");
  for (const Column& column : batch->columns) {
    ASSERT_EQ(column.size(), 4u);
    EXPECT_EQ(column.null_count(), 2u);
    EXPECT_FALSE(column.valid(1));
  }
  EXPECT_EQ(batch->columns[0].int64_at(2), 3);
  EXPECT_EQ(batch->columns[1].text_at(2), "b");
  EXPECT_EQ(batch->columns[1].data(), "ab");
}

TEST(JsonDecoder, LeavesRowsAloneThatAreNotSelected) {
  RecordBatchBuilder builder;
  builder.add(0, {}, "{\"n\":1}");
  builder.add(0, {}, "not json");
  builder.add(0, {}, "{\"n\":3}");
  Batch batch;
  auto bytes = std::make_shared<const std::string>(builder.finish().value());
  ASSERT_TRUE(batch.set_record_batches(bytes, Offset(0), SIZE_MAX).ok());
  batch.selected = {2};
  JsonDecoder decoder({{field("n", Type::kBigint, false)}, {}});
  decoder.decode(batch);
  EXPECT_THAT(batch.selected, ElementsAre(2));
  EXPECT_TRUE(batch.dead_letters.empty());
  EXPECT_FALSE(batch.columns[0].valid(0));
  EXPECT_FALSE(batch.columns[0].valid(1));
  EXPECT_EQ(batch.columns[0].int64_at(2), 3);
}

TEST(JsonDecoder, RefusesEventsWithoutValueAndOverLongOnes) {
  DecodePlan plan{{field("n", Type::kBigint)}, {}};
  plan.event_limit_bytes = 20;
  std::string fits = R"({"n":123456789012345})";
  ASSERT_EQ(fits.size(), 21u);
  fits.erase(5, 1);
  std::string too_long = fits + " ";
  RecordBatchBuilder builder;
  builder.add(0, {}, std::nullopt);
  builder.add(0, {}, fits);
  builder.add(0, {}, too_long);
  Batch batch;
  auto bytes = std::make_shared<const std::string>(builder.finish().value());
  ASSERT_TRUE(batch.set_record_batches(bytes, Offset(0), SIZE_MAX).ok());
  batch.select_all();
  JsonDecoder decoder(plan);
  decoder.decode(batch);
  EXPECT_THAT(batch.selected, ElementsAre(1));
  ASSERT_EQ(batch.dead_letters.size(), 2u);
  EXPECT_EQ(batch.dead_letters[0].reason, "no value");
  EXPECT_FALSE(batch.dead_letters[0].has_key);
  EXPECT_EQ(batch.dead_letters[1].reason, "an event of 21 bytes; the limit is 20");
  EXPECT_EQ(batch.dead_letters[1].value, fits);
}

TEST(JsonDecoder, DecodesBatchAfterBatch) {
  DecodePlan plan{{field("a", Type::kBigint), field("b", Type::kVarchar)}, {}};
  JsonDecoder first(plan);
  JsonDecoder decoder(std::move(first));
  for (int round = 0; round < 3; ++round) {
    // Members come and go and change their order, against what the decoder expects.
    EXPECT_EQ(compare_decoders(
                  decoder, plan,
                  {R"({"a":1,"x":0,"b":"s"})", R"({"b":"s","a":1})", R"({"a":1,"b":"s"})",
                   R"({"x":0,"b":"t"})", R"({ "a" : 1 , "b" : "s" })", R"({"a":1,"x":0,"b":"s"})", "{}"}),
              "");
  }
}

// Every length around the padding and simdjson's block sizes, at the end of the buffer.
TEST(JsonDecoder, ReadsNothingBehindTheBuffer) {
  DecodePlan plan{{field("k", Type::kVarchar), field("n", Type::kDouble)}, {}};
  JsonDecoder decoder(plan);
  for (size_t size = 0; size < 200; ++size) {
    std::string text = "{\"k\":\"" + std::string(size, 'v') + "\",\"n\":" + std::to_string(size) + ".25}";
    EXPECT_EQ(compare_decoders(decoder, plan, {text}), "");
    EXPECT_EQ(compare_decoders(decoder, plan, {"{}", text, "{}", text.substr(0, text.size() - 1), text}), "");
  }
}

TEST(JsonDecoder, AgreesWithTheSlowOneOnRandomDocumentsAndMutationsOfThem) {
  SeededRandom random(20261121);
  size_t good = 0;
  size_t bad = 0;
  std::vector<std::string> corpus;
  for (int i = 0; i < 60; ++i) corpus.push_back(testing::random_object(random));
  for (int plan_number = 0; plan_number < 150; ++plan_number) {
    DecodePlan plan = testing::random_plan(random);
    JsonDecoder decoder(plan);
    std::vector<std::string> texts;
    for (int i = 0; i < 60; ++i) {
      std::string text =
          random.below(8) == 0 ? testing::telemetry_event(random) : testing::random_object(random);
      (is_valid_json_object(text) ? good : bad) += 1;
      if (random.below(2) == 0) text = testing::mutate(text, corpus, testing::json_dictionary(), random);
      texts.push_back(std::move(text));
    }
    ASSERT_EQ(compare_decoders(decoder, plan, texts), "") << "plan " << plan_number;
  }
  EXPECT_EQ(bad, 0u);
  EXPECT_GT(good, 1000u);
}

TEST(JsonDecoder, AgreesWithTheSlowOneOnMutatedTelemetry) {
  SeededRandom random(42);
  DecodePlan plan{telemetry_schema().fields, {"enqueuedAt"}};
  JsonDecoder decoder(plan);
  std::vector<std::string> texts;
  for (int i = 0; i < 4000; ++i) {
    std::string text = testing::telemetry_event(random);
    if (i % 3 != 0) text = testing::mutate(text, {text}, testing::json_dictionary(), random);
    texts.push_back(std::move(text));
  }
  EXPECT_EQ(compare_decoders(decoder, plan, texts), "");
}

}  // namespace
}  // namespace tidemill
