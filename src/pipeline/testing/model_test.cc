#include <gtest/gtest.h>

#include <thread>

#include "pipeline/testing/model_sink.h"
#include "pipeline/testing/model_source.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "pipeline/testing/source_harness.h"

namespace tidemill::pipeline::testing {
namespace {

SinkUnderTest model_under_test(std::shared_ptr<ModelStore>* store, ModelStore::Options options) {
  SinkUnderTest sut;
  *store = std::make_shared<ModelStore>(options);
  sut.open = [store]() -> Result<std::unique_ptr<Sink>> {
    return std::unique_ptr<Sink>(std::make_unique<ModelSink>(*store));
  };
  sut.read = [store]() -> Result<StoredContents> {
    StoredContents stored;
    for (const ModelRow& row : (*store)->rows()) stored.rows.push_back(*parse_harness_id(row.value));
    for (const DeadLetter& letter : (*store)->dead_letters()) {
      stored.dead_letters.push_back({{letter.source.partition, letter.offset}, letter.reason, letter.value});
    }
    ModelChangelog changelog(*store);
    for (int32_t p = 0; p < kHarnessPartitions; ++p) {
      TM_TRY(changelog.read(harness_partition(p), [&](int64_t, std::string_view value) -> Status {
        stored.frames[p].emplace_back(value);
        return {};
      }));
    }
    return stored;
  };
  sut.read_live = sut.read;
  sut.clear = [store, options]() -> Status {
    *store = std::make_shared<ModelStore>(options);
    return {};
  };
  return sut;
}

TEST(ModelSink, PassesTheHarness) {
  for (bool in_transaction : {false, true}) {
    std::shared_ptr<ModelStore> store;
    ModelStore::Options options;
    options.changelog_in_transaction = in_transaction;
    Status status = check_sink(model_under_test(&store, options));
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
}

// A canary: a sink that ignores the owner's token must not pass.
class UnfencedSink final : public Sink {
 public:
  explicit UnfencedSink(std::shared_ptr<ModelStore> store) : sink_(std::move(store)) {}
  SinkTraits traits() const override { return sink_.traits(); }
  SinkNeeds needs() const override { return sink_.needs(); }
  Status prepare(const Schema& schema) override { return sink_.prepare(schema); }
  Result<std::unique_ptr<SinkWriter>> open_writer(int task) override {
    class Writer final : public SinkWriter {
     public:
      explicit Writer(std::unique_ptr<SinkWriter> writer) : writer_(std::move(writer)) {}
      Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override {
        return writer_->acquire(partitions);
      }
      Result<std::unique_ptr<SinkOutput>> begin() override { return writer_->begin(); }
      Status commit(SinkOutput& output, const CommitRequest& request) override {
        CommitRequest forced = request;
        std::vector<TopicPartition> sources;
        for (const PartitionEpoch& part : request.partitions) sources.push_back(part.source);
        TM_ASSIGN(auto taken, writer_->acquire(sources));
        for (size_t i = 0; i < taken.size(); ++i) forced.partitions[i].owner = taken[i].incarnation;
        return writer_->commit(output, forced);
      }
      Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override {
        return writer_->committed(partitions);
      }

     private:
      std::unique_ptr<SinkWriter> writer_;
    };
    TM_ASSIGN(auto writer, sink_.open_writer(task));
    return std::unique_ptr<SinkWriter>(std::make_unique<Writer>(std::move(writer)));
  }

 private:
  ModelSink sink_;
};

TEST(SinkHarness, FindsASinkThatDoesNotFence) {
  std::shared_ptr<ModelStore> store;
  SinkUnderTest sut = model_under_test(&store, {});
  sut.open = [&]() -> Result<std::unique_ptr<Sink>> {
    return std::unique_ptr<Sink>(std::make_unique<UnfencedSink>(store));
  };
  EXPECT_FALSE(check_sink(sut).ok());
}

TEST(ModelSink, CommitsAsInjected) {
  auto store = std::make_shared<ModelStore>();
  ModelSink sink(store);
  StoreModel model;
  SinkSession session = SinkSession::open(sink, 0).value();
  ASSERT_TRUE(session.acquire({0}, model).ok());

  store->inject(Outcome::kFailRetryable);
  store->inject(Outcome::kLostAndUnknown);
  store->inject(Outcome::kStoredButUnknown);
  FilledEpoch epoch = session.fill({0}, 10, model).value();
  Status failed = session.commit(epoch);
  ASSERT_FALSE(failed.ok());
  EXPECT_TRUE(failed.error().retryable);
  EXPECT_TRUE(session.check(model).ok());
  EXPECT_EQ(session.commit(epoch).error().code, Code::kUnknown);
  EXPECT_TRUE(session.check(model).ok());
  EXPECT_EQ(session.commit(epoch).error().code, Code::kUnknown);
  EXPECT_FALSE(session.check(model).ok());
  model.apply(epoch);
  EXPECT_TRUE(session.check(model).ok());
  EXPECT_TRUE(session.expect_fenced(epoch, model).ok());
}

TEST(ModelSink, CommitThatHungBeforeATakeoverIsFenced) {
  auto store = std::make_shared<ModelStore>();
  ModelSink sink(store);
  StoreModel model;
  SinkSession old_owner = SinkSession::open(sink, 0).value();
  SinkSession new_owner = SinkSession::open(sink, 1).value();
  ASSERT_TRUE(old_owner.acquire({0}, model).ok());
  FilledEpoch epoch = old_owner.fill({0}, 10, model).value();
  store->inject(Outcome::kHangBefore);
  Status status;
  std::thread thread([&] { status = old_owner.commit(epoch); });
  ASSERT_TRUE(store->wait_hanging(10'000'000));
  EXPECT_TRUE(new_owner.acquire({0}, model).ok());
  store->release();
  thread.join();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kFenced);
  EXPECT_TRUE(store->rows().empty());
}

TEST(ModelSource, PassesTheHarness) {
  std::shared_ptr<ModelTopic> topic;
  SourceUnderTest sut;
  sut.clear = [&]() -> Status {
    topic = std::make_shared<ModelTopic>("model", 2);
    topic->append(0, {}, "removed before the test", 0);
    topic->remove_before(0, Offset(1));
    return {};
  };
  sut.open = [&]() -> Result<std::unique_ptr<Source>> {
    return std::unique_ptr<Source>(std::make_unique<ModelSource>(topic));
  };
  sut.produce = [&](int32_t partition, int first, int count) -> Status {
    for (int i = first; i < first + count; ++i) {
      topic->append(partition, {}, source_event(partition, i));
      if (i % 5 == 0) topic->skip_offsets(partition, 2);
    }
    return {};
  };
  sut.remove_before = [&](int32_t partition, Offset before) -> Status {
    topic->remove_before(partition, before);
    return {};
  };
  Status status = check_source(sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(ModelSource, RefusesPositionsOfALostTail) {
  auto topic = std::make_shared<ModelTopic>("model", 1);
  for (int i = 0; i < 10; ++i) topic->append(0, {}, "event");
  ModelSource source(topic);
  auto reader = source.open_reader(0).value();
  topic->lose_from(0, Offset(7));
  EXPECT_FALSE(reader->check_position(topic->partition(0), {Offset(8), LeaderEpoch(1)}).ok());
  EXPECT_TRUE(reader->check_position(topic->partition(0), {Offset(7), LeaderEpoch(1)}).ok());
  for (int i = 0; i < 10; ++i) topic->append(0, {}, "event");
  EXPECT_FALSE(reader->check_position(topic->partition(0), {Offset(8), LeaderEpoch(1)}).ok());
  EXPECT_TRUE(reader->check_position(topic->partition(0), {Offset(8), LeaderEpoch(2)}).ok());
}

TEST(ModelSource, GivesInjectedErrorsAndChanges) {
  auto topic = std::make_shared<ModelTopic>("model", 1);
  ModelSource source(topic);
  auto reader = source.open_reader(3).value();
  topic->fail_polls(1);
  topic->change(3, {AssignmentChange::kLost, {topic->partition(0)}});
  Result<Polled> failed = reader->poll({});
  ASSERT_FALSE(failed.ok());
  EXPECT_TRUE(failed.error().retryable);
  Polled polled = reader->poll({}).value();
  ASSERT_EQ(polled.changes.size(), 1u);
  EXPECT_EQ(polled.changes[0].kind, AssignmentChange::kLost);
  EXPECT_FALSE(polled.ended);
  topic->finish();
  EXPECT_TRUE(reader->poll({}).value().ended);
}

}  // namespace
}  // namespace tidemill::pipeline::testing
