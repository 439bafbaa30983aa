#include "serve/log_sink.h"

#include <gtest/gtest.h>

#include <map>

#include "event/json_decoder.h"
#include "event/partitioner.h"
#include "pipeline/log_changelog.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;
using pipeline::Sink;

std::unique_ptr<log::Log> open_log(const Scratch& scratch, const log::Options& options) {
  auto opened =
      log::Log::open(FileSystem::posix(), Clock::system(), Random::system(), scratch.path("log"), options);
  EXPECT_TRUE(opened.ok()) << opened.error().message;
  return std::move(opened).value();
}

// Calls `each` for every record of a topic that a read-committed reader sees, partition by partition.
void for_each_record(log::Log& log, const std::string& topic,
                     const std::function<void(const TopicPartition&, const Record&)>& each) {
  int32_t partitions = log.topic(topic).value().config.partitions;
  for (int32_t p = 0; p < partitions; ++p) {
    TopicPartition tp{topic, Partition(p)};
    for (Offset at = log.partition(tp).value().log_start;;) {
      auto fetched = log.read(tp, at, 1u << 20, log::Isolation::kReadCommitted);
      ASSERT_TRUE(fetched.ok()) << fetched.error().message;
      if (fetched->end.offset <= at) break;
      Batch batch;
      if (fetched->batches != nullptr) {
        ASSERT_TRUE(batch.set_record_batches(fetched->batches, at, SIZE_MAX).ok());
      }
      for (const Record& record : batch.records()) each(tp, record);
      at = fetched->end.offset;
    }
  }
}

std::map<std::string, std::string> headers_of(const Record& record) {
  std::map<std::string, std::string> headers;
  std::vector<RecordHeader> decoded = decode_headers(record.headers).value();
  for (RecordHeader& header : decoded) {
    headers[header.key] = header.value.value_or("(null)");
  }
  return headers;
}

Result<StoredContents> read_store(log::Log& log) {
  StoredContents stored;
  for_each_record(log, "out", [&](const TopicPartition&, const Record& record) {
    EXPECT_TRUE(is_valid_json_object(record.value)) << record.value;
    HarnessId id = *parse_harness_id(record.value);
    EXPECT_EQ(record.key, harness_key(id.offset));
    EXPECT_EQ(headers_of(record)["trace"], "t-1");
    stored.rows.push_back(id);
  });
  for_each_record(log, "out.dead", [&](const TopicPartition&, const Record& record) {
    auto headers = headers_of(record);
    EXPECT_EQ(headers["topic"], kHarnessTopic);
    HarnessId id{Partition(std::stoi(headers["partition"])), Offset(std::stoll(headers["offset"]))};
    stored.dead_letters.push_back({id, headers["reason"], std::string(record.value)});
  });
  pipeline::LogChangelog changelog(log, "pipe");
  for (int32_t p = 0; p < kHarnessPartitions; ++p) {
    TM_TRY(changelog.read(harness_partition(p), [&](int64_t, std::string_view value) -> Status {
      stored.frames[p].emplace_back(value);
      return {};
    }));
  }
  return stored;
}

struct LogStore {
  explicit LogStore(const std::string& name) : scratch(name) {
    sut.clear = [this]() -> Status {
      log.reset();
      scratch.clear();
      return {};
    };
    sut.open = [this]() -> Result<std::unique_ptr<Sink>> {
      log.reset();
      log = open_log(scratch, log_options);
      log::TopicConfig config;
      config.partitions = kHarnessPartitions;
      TM_TRY(log->create_topic(kHarnessTopic, config));
      return std::unique_ptr<Sink>(std::make_unique<LogSink>(*log, options));
    };
    sut.read = [this]() -> Result<StoredContents> {
      log.reset();
      log = open_log(scratch, log_options);
      auto stored = read_store(*log);
      log.reset();
      return stored;
    };
    sut.read_live = [this] { return read_store(*log); };
    sut.steps = {"log.txn.data.written",   "log.txn.data.durable",   "log.txn.record.written",
                 "log.txn.record.durable", "log.txn.marker.written", "log.txn.done"};
    sut.steps_with_rows = {"log.txn.data.streamed"};
    options.pipeline = "pipe";
    options.topic = "out";
    options.source_topic = kHarnessTopic;
    options.stateful = true;
  }
  void limit_batches(uint32_t bytes) {
    log_options.max_batch_bytes = bytes;
    options.max_batch_bytes = bytes;
  }
  Scratch scratch;
  log::Options log_options;
  std::unique_ptr<log::Log> log;
  LogSinkOptions options;
  SinkUnderTest sut;
};

TEST(LogSink, PassesTheHarness) {
  LogStore store("log-sink");
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(LogSink, StoresAllOrNothingWhereverItIsKilled) {
  LogStore store("log-sink-kills");
  store.options.batch_bytes = 1000;
  Status status = check_kills(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(LogSink, PassesTheHarnessWhereEveryEpochIsStreamed) {
  LogStore store("log-sink-streamed");
  store.options.batch_bytes = 1000;
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(LogSink, MakesNoBatchThatTheLogRefuses) {
  LogStore store("log-sink-small-batches");
  store.limit_batches(2048);
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(LogSink, StoresADeadLetterThatIsLargerThanABatchMayBe) {
  LogStore store("log-sink-large-letter");
  store.limit_batches(4096);
  auto sink = store.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0}, model).ok());
  FilledEpoch epoch = session.fill({0}, 100, model).value();
  auto write_letter = [&](std::string value) {
    auto batch = std::make_unique<Batch>();
    batch->source = harness_partition(0);
    DeadLetter letter;
    letter.source = harness_partition(0);
    letter.offset = Offset(900);
    letter.reason = "too long";
    letter.value = std::move(value);
    batch->dead_letters.push_back(std::move(letter));
    return epoch.output->write(batch);
  };
  // What came to the input in a compressed batch goes to the dead letters in one.
  ASSERT_TRUE(write_letter(std::string(20'000, 'x')).ok());
  ASSERT_TRUE(session.commit_to(epoch, &model).ok());
  size_t found = 0;
  for_each_record(*store.log, "out.dead", [&](const TopicPartition&, const Record& record) {
    found += record.value == std::string(20'000, 'x');
  });
  EXPECT_EQ(found, 1u);

  epoch = session.fill({0}, 10, model).value();
  std::string noise;
  SeededRandom random(7);
  while (noise.size() < 20'000) noise += static_cast<char>(random.below(256));
  Status refused = write_letter(noise);
  ASSERT_FALSE(refused.ok());
  EXPECT_FALSE(refused.error().retryable);
  EXPECT_NE(refused.error().message.find("max_batch_bytes"), std::string::npos) << refused.error().message;
}

TEST(LogSink, RekeysByTheFieldsValue) {
  LogStore store("log-sink-rekey");
  store.options.rekey = "n";
  store.options.partitions = 5;
  auto sink = store.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1}, model).ok());
  FilledEpoch epoch = session.fill({0, 1}, 500, model).value();
  ASSERT_TRUE(session.commit(epoch).ok());
  epoch = session.fill({0, 1}, 0, model).value();
  size_t rows = 0;
  for_each_record(*store.log, "out", [&](const TopicPartition& tp, const Record& record) {
    HarnessId id = *parse_harness_id(record.value);
    EXPECT_EQ(record.key, std::to_string(INT64_MAX - id.offset.value()));
    EXPECT_EQ(tp.partition, partition_for_key(record.key, 5));
    ++rows;
  });
  EXPECT_GT(rows, 800u);
}

// A topic of Kafka, of which the log knows nothing; it has been given partitions since.
TEST(LogSink, StoresWhatComesFromElsewhere) {
  LogStore store("log-sink-elsewhere");
  store.options.source_topic = "not-here";
  store.options.source_partitions = kHarnessPartitions;
  store.options.partitions = 3;
  auto sink = store.sut.open().value();
  log::TopicConfig one;
  one.timestamp_type = TimestampType::kCreateTime;
  one.partitions = 1;
  ASSERT_TRUE(store.log->create_topic("out.dead", one).ok());
  Status prepared = sink->prepare(harness_schema());
  ASSERT_TRUE(prepared.ok()) << prepared.error().message;
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1}, model).ok());
  FilledEpoch epoch = session.fill({0, 1}, 500, model).value();
  ASSERT_TRUE(session.commit(epoch).ok());
  auto stored = read_store(*store.log);
  ASSERT_TRUE(stored.ok()) << stored.error().message;
  EXPECT_FALSE(stored->rows.empty());
  EXPECT_FALSE(stored->dead_letters.empty());
}

TEST(LogSink, SplicesAddedMembersAndReplacesOldOnes) {
  LogStore store("log-sink-splice");
  auto sink = store.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0}, model).ok());
  FilledEpoch epoch = session.fill({0}, 1, model).value();
  // A batch of its own: events that have the member already, that are empty, and a tombstone.
  struct Texts {
    std::vector<std::string> values = {R"({"processedAt": 1, "id":"0/500"})", "{ }", R"({"a":[1,2]} )"};
  };
  auto texts = std::make_shared<Texts>();
  auto batch = std::make_unique<Batch>();
  batch->source = harness_partition(0);
  std::vector<Record> records;
  for (size_t i = 0; i < texts->values.size(); ++i) {
    Record record;
    record.offset = Offset(500 + static_cast<int64_t>(i));
    record.timestamp_ms = 1234;
    record.value = texts->values[i];
    record.has_value = true;
    records.push_back(record);
  }
  records.push_back({Offset(503), 1234, {}, {}, {}, 1, false, false});
  batch->set_records(std::move(records), texts);
  batch->select_all();
  Column added("processedAt", Type::kTimestamp);
  for (size_t i = 0; i < batch->size(); ++i) added.append_int64(1'700'000'000'000'000);
  batch->columns.push_back(std::move(added));
  batch->added = {0};
  batch->has_added_member = {0};
  ASSERT_TRUE(epoch.output->write(batch).ok());
  ASSERT_TRUE(session.commit(epoch).ok());
  std::vector<std::string> values;
  for_each_record(*store.log, "out", [&](const TopicPartition&, const Record& record) {
    if (record.timestamp_ms != 1234) return;
    EXPECT_FALSE(record.has_key);
    values.push_back(record.has_value ? std::string(record.value) : "(tombstone)");
  });
  const std::string at = R"("processedAt":"2023-11-14T22:13:20.000000Z"})";
  ASSERT_EQ(values.size(), 4u);
  EXPECT_EQ(values[0].find("processedAt"), values[0].rfind("processedAt")) << values[0];
  EXPECT_TRUE(values[0].ends_with("," + at)) << values[0];
  EXPECT_EQ(values[1], "{" + at);
  EXPECT_EQ(values[2], R"({"a":[1,2],)" + at);
  EXPECT_EQ(values[3], "(tombstone)");
}

TEST(LogSink, RebuildsEventsFromTheirColumns) {
  LogStore store("log-sink-rebuild");
  store.options.form = JsonForm::kRebuild;
  auto sink = store.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({2}, model).ok());
  FilledEpoch epoch = session.fill({2}, 300, model).value();
  ASSERT_TRUE(session.commit(epoch).ok());
  DecodePlan plan;
  plan.fields = harness_schema().fields;
  std::vector<Column> original, rebuilt;
  for (const Field& field : plan.fields) {
    original.emplace_back(field.name, field.type);
    rebuilt.emplace_back(field.name, field.type);
  }
  for_each_record(*store.log, "out", [&](const TopicPartition&, const Record& record) {
    HarnessId id = *parse_harness_id(record.value);
    std::string expected = harness_json(id.partition, id.offset);
    ASSERT_TRUE(decode_json_slowly(plan, record.value, &rebuilt).ok()) << record.value;
    ASSERT_TRUE(decode_json_slowly(plan, expected, &original).ok()) << expected;
  });
  ASSERT_EQ(rebuilt[0].size(), epoch.rows.size());
  for (size_t c = 0; c < plan.fields.size(); ++c) {
    for (size_t row = 0; row < rebuilt[c].size(); ++row) {
      uint32_t at = static_cast<uint32_t>(row);
      std::string left, right;
      append_json_value(&rebuilt[c], at, &left);
      append_json_value(&original[c], at, &right);
      if (plan.fields[c].name == "processedAt") {
        EXPECT_NE(left, "null");
      } else {
        EXPECT_EQ(left, right) << plan.fields[c].name;
      }
    }
  }
}

TEST(LogSink, RefusesWhatCannotWork) {
  LogStore store("log-sink-refuses");
  store.options.topic = kHarnessTopic;
  EXPECT_EQ(store.sut.open().value()->prepare(harness_schema()).error().domain, Domain::kUser);
  store.options.topic = "out";
  store.options.rekey = "nobody";
  EXPECT_NE(store.sut.open().value()->prepare(harness_schema()).error().message.find("nobody"),
            std::string::npos);
  store.options.rekey.clear();
  ASSERT_TRUE(store.sut.open().value()->prepare(harness_schema()).ok());
  store.options.partitions = 7;
  EXPECT_EQ(store.sut.open().value()->prepare(harness_schema()).error().code, Code::kExists);
}

}  // namespace
}  // namespace tidemill::serve
