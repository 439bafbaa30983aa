// The contracts of source and sink (pipeline/testing), on a broker: TIDEMILL_KAFKA says where (kafka.py
// starts one).
#include <gtest/gtest.h>

#include <map>

#include "base/clock.h"
#include "base/steps.h"
#include "broker.h"
#include "ingest/kafka_source.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "kafka/stall.h"
#include "pipeline/kafka_changelog.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "pipeline/testing/source_harness.h"
#include "serve/kafka_sink.h"

namespace tidemill {
namespace {

using namespace pipeline::testing;

struct KafkaStore {
  KafkaStore() {
    clear();
    sut.clear = [this]() -> Status {
      clear();
      return {};
    };
    sut.open = [this]() -> Result<std::unique_ptr<pipeline::Sink>> {
      TM_ASSIGN(auto admin, kafka::Admin::open(broker()));
      kafka::NewTopic input;
      input.name = kHarnessTopic;
      input.partitions = kHarnessPartitions;
      TM_TRY(admin->create_topic(input));
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::KafkaSink>(options));
    };
    sut.read = sut.read_live = [this] { return read(); };
    sut.steps = {"kafka.begun", "kafka.rows.produced", "kafka.offsets.sent", "kafka.committed"};
    sut.ordered = false;  // across partitions of the output; per key it is checked below
    sut.max_records = 2'000;
    options.connection = broker();
    options.source_topic = kHarnessTopic;
    options.source_partitions = kHarnessPartitions;
    options.stateful = true;
  }
  // The source is of the same cluster; else it is something that the cluster does not know.
  void share_cluster() {
    auto admin = kafka::Admin::open(broker());
    ASSERT_TRUE(admin.ok());
    auto id = (*admin)->cluster_id();
    ASSERT_TRUE(id.ok()) << id.error().message;
    options.source_cluster = *id;
  }
  void clear() {
    options.topic = fresh("out");
    options.pipeline = fresh("pipe");
  }
  Result<StoredContents> read() {
    StoredContents stored;
    std::map<std::string, HarnessId> last;
    TM_TRY(for_each_record(options.topic, [&](int32_t, const Record& record) {
      HarnessId id = *parse_harness_id(record.value);
      EXPECT_EQ(record.key, harness_key(id.offset));
      EXPECT_EQ(headers_of(record)["trace"], "t-1");
      stored.rows.push_back(id);
    }));
    TM_TRY(for_each_record(options.topic + ".dead", [&](int32_t, const Record& record) {
      auto headers = headers_of(record);
      HarnessId id{Partition(std::stoi(headers["partition"])), Offset(std::stoll(headers["offset"]))};
      stored.dead_letters.push_back({id, headers["reason"], std::string(record.value)});
    }));
    for (int32_t p = 0; p < kHarnessPartitions; ++p) stored.frames[p];
    TM_TRY(for_each_record(
        pipeline::kafka_changelog_topic(options.pipeline),
        [&](int32_t p, const Record& record) { stored.frames[p].emplace_back(record.value); }));
    return stored;
  }
  serve::KafkaSinkOptions options;
  SinkUnderTest sut;
};

TEST(KafkaSink, StoresAllOrNothingWhereverItIsKilled) {
  KafkaStore store;
  Status status = check_kills(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(KafkaSink, PassesTheHarness) {
  KafkaStore store;
  store.share_cluster();
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// At least once: rows are there before their commit, and again where that did not come; positions and frames
// are exact all the same.
TEST(KafkaSink, SendsRowsAheadAndAgain) {
  KafkaStore store;
  store.share_cluster();
  store.options.at_least_once = true;
  auto sink = store.sut.open().value();
  EXPECT_EQ(sink->traits().capability, pipeline::Capability::kAtLeastOnce);
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  FilledEpoch first;
  size_t frames = 0;
  {
    SinkSession killed = SinkSession::open(*sink, 0).value();
    ASSERT_TRUE(killed.acquire({0}, model).ok());
    FilledEpoch committed = killed.fill({0}, 100, model).value();
    ASSERT_TRUE(killed.commit_to(committed, &model).ok());
    frames = committed.request.partitions.front().frame.size();
    first = killed.fill({0}, 100, model).value();
    const size_t due = committed.rows.size() + first.rows.size();
    StoredContents seen;
    const int64_t deadline_ns = Clock::system().steady_ns() + 30'000'000'000;
    do {
      seen = store.read().value();
    } while (seen.rows.size() < due && Clock::system().steady_ns() < deadline_ns);
    EXPECT_EQ(seen.rows.size(), due);
    EXPECT_EQ(seen.frames[0].size(), frames) << "the first epoch's alone";
    first.output.reset();
  }
  SinkSession next = SinkSession::open(*sink, 1).value();
  ASSERT_TRUE(next.acquire({0}, model).ok());
  FilledEpoch again = next.fill({0}, 100, model).value();
  EXPECT_EQ(again.rows, first.rows);
  ASSERT_TRUE(next.commit_to(again, &model).ok());
  EXPECT_TRUE(next.check(model).ok());
  std::map<HarnessId, int> times;
  for (const HarnessId& id : store.read().value().rows) ++times[id];
  for (const HarnessId& id : first.rows) EXPECT_EQ(times[id], 2);
  EXPECT_EQ(store.read().value().frames[0].size(), frames + again.request.partitions.front().frame.size());
}

// Without transactions: one owner after another is fenced all the same, and nothing is stored twice where
// nobody crashes.
TEST(KafkaSink, PassesTheHarnessInSteps) {
  KafkaStore store;
  store.share_cluster();
  store.options.abilities.transactions = false;
  store.sut.steps = {};  // who takes over in the middle of a commit is the next test's
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// A commit that was looked at before another owner took over, and is stored after that.
TEST(KafkaSink, StartsOverWhereALateOwnerCommitted) {
  KafkaStore store;
  store.share_cluster();
  store.options.abilities.transactions = false;
  auto sink = store.sut.open().value();
  EXPECT_TRUE(sink->traits().in_steps);
  EXPECT_EQ(sink->traits().capability, pipeline::Capability::kAtLeastOnce);
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel before, model;
  SinkSession old_owner = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(old_owner.acquire({0}, model).ok());
  FilledEpoch late = old_owner.fill({0}, 100, model).value();
  SinkSession next = SinkSession::open(*sink, 1).value();
  arm_step("kafka.frames.acknowledged", [&] { EXPECT_TRUE(next.acquire({0}, before).ok()); });
  EXPECT_TRUE(old_owner.commit_to(late, &model).ok());
  arm_step("kafka.frames.acknowledged", {});

  FilledEpoch again = next.fill({0}, 100, before).value();
  EXPECT_TRUE(next.expect_fenced(again, model).ok()) << "another position than it expects";
  ASSERT_TRUE(next.acquire({0}, model).ok()) << "from where the late one is";
  FilledEpoch more = next.fill({0}, 100, model).value();
  ASSERT_TRUE(next.commit_to(more, &model).ok());
  FilledEpoch stale = old_owner.fill({0}, 100, model).value();
  EXPECT_TRUE(old_owner.expect_fenced(stale, model).ok());
  std::map<HarnessId, int> times;
  for (const HarnessId& id : store.read().value().rows) ++times[id];
  EXPECT_EQ(times.size(), late.rows.size() + more.rows.size());
}

// Brokers forget owners and positions of groups without members. What is written again is what was there, and
// never over another owner's; where a claim is gone all the same, the next token is beyond the last commit's.
TEST(KafkaSink, KeepsWhatBrokersForget) {
  for (const bool transactions : {true, false}) {
    KafkaStore store;
    store.share_cluster();
    store.options.abilities.transactions = transactions;
    auto sink = store.sut.open().value();
    ASSERT_TRUE(sink->prepare(harness_schema()).ok());
    StoreModel model;
    SinkSession first = SinkSession::open(*sink, 0).value();
    ASSERT_TRUE(first.acquire({0, 1}, model).ok());
    EXPECT_TRUE(first.writer().keep().ok()) << "of partitions without a position, too";
    for (int turn = 0; turn < 2; ++turn) {
      FilledEpoch epoch = first.fill({0, 1}, 50, model).value();
      ASSERT_TRUE(first.commit_to(epoch, &model).ok());
      EXPECT_TRUE(first.writer().keep().ok());
      EXPECT_TRUE(first.check(model).ok());
    }
    SinkSession next = SinkSession::open(*sink, 1).value();
    ASSERT_TRUE(next.acquire({0}, model).ok());
    // All that one transaction holds is fenced; step by step only what is another's is left out.
    EXPECT_EQ(first.writer().keep().ok(), !transactions);
    EXPECT_TRUE(next.check(model).ok());
    FilledEpoch more = next.fill({0}, 50, model).value();
    ASSERT_TRUE(next.commit_to(more, &model).ok());
    EXPECT_TRUE(next.writer().keep().ok());

    auto admin = kafka::Admin::open(broker()).value();
    serve::KafkaOwners owners(broker(), *admin, store.options.pipeline);
    const std::vector<TopicPartition> place = {{kHarnessTopic, Partition(0)}};
    ASSERT_TRUE(owners.claim(place, {{pipeline::Incarnation(0), {}}}, 5'000).ok());
    SinkSession last = SinkSession::open(*sink, 2).value();
    ASSERT_TRUE(last.acquire({0}, model).ok());
    const auto held = last.writer().committed(place).value();
    EXPECT_GT(held.front().owner, held.front().incarnation);
  }
}

TEST(KafkaSink, SaysWhatIsWrongWithItsTopics) {
  KafkaStore store;
  store.share_cluster();
  store.options.source_topic = "there-is-none";
  auto sink = store.sut.open();
  ASSERT_TRUE(sink.ok());
  Status prepared = (*sink)->prepare(harness_schema());
  ASSERT_FALSE(prepared.ok());
  EXPECT_NE(prepared.error().message.find("no topic there-is-none"), std::string::npos)
      << prepared.error().message;
}

void check_source_harness(bool by_time) {
  std::string topic;
  std::unique_ptr<kafka::Admin> admin = kafka::Admin::open(broker()).value();
  std::unique_ptr<kafka::Producer> plain = kafka::Producer::open(broker(), {}).value();
  kafka::ProducerOptions transactional;
  transactional.transactional_id = fresh("aborting");
  std::unique_ptr<kafka::Producer> aborting = kafka::Producer::open(broker(), transactional).value();
  ASSERT_TRUE(aborting->init(30'000).ok());
  SourceUnderTest sut;
  sut.poll_us = 100'000;
  sut.clear = [&]() -> Status {
    kafka::NewTopic input;
    input.name = topic = fresh("in");
    input.partitions = 2;
    return admin->create_topic(input);
  };
  sut.open = [&]() -> Result<std::unique_ptr<pipeline::Source>> {
    ingest::KafkaSourceOptions options;
    options.connection = broker();
    options.topic = topic;
    options.pipeline = "harness";
    options.fetch_wait_ms = 10;
    options.by_time = by_time;
    TM_ASSIGN(auto source, ingest::KafkaSource::open(options));
    return std::unique_ptr<pipeline::Source>(std::move(source));
  };
  auto record_of = [](const std::string& value) {
    Record record;
    record.value = value;
    record.has_value = true;
    return record;
  };
  // Between the events that are read, transactions that are aborted: offsets that hold none.
  sut.produce = [&](int32_t partition, int first, int count) -> Status {
    for (int i = first; i < first + count; ++i) {
      TM_TRY(plain->produce({topic, Partition(partition)}, record_of(source_event(partition, i))));
    }
    TM_TRY(plain->flush(30'000));
    if (first % 3 != 0) return {};
    TM_TRY(aborting->begin());
    TM_TRY(aborting->produce({topic, Partition(partition)}, record_of("aborted")));
    TM_TRY(aborting->flush(30'000));
    if (aborting->abort(30'000, {}) != kafka::Producer::End::kAborted)
      return internal_error("it was not aborted");
    return {};
  };
  sut.remove_before = [&](int32_t partition, Offset before) {
    return admin->delete_before({topic, Partition(partition)}, before);
  };
  Status status = check_source(sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(KafkaSource, PassesTheHarness) {
  check_source_harness(false);
}

TEST(KafkaSource, PassesTheHarnessByTime) {
  check_source_harness(true);
}

TEST(KafkaStall, IsSeenWhileATransactionIsOpenAndOverWhenItEnds) {
  const TopicPartition tp{fresh("open"), Partition(0)};
  std::unique_ptr<kafka::Admin> admin = kafka::Admin::open(broker()).value();
  kafka::NewTopic topic;
  topic.name = tp.topic;
  ASSERT_TRUE(admin->create_topic(topic).ok());
  kafka::ProducerOptions options;
  options.transactional_id = fresh("open");
  std::unique_ptr<kafka::Producer> producer = kafka::Producer::open(broker(), options).value();
  ASSERT_TRUE(producer->init(30'000).ok());
  ASSERT_TRUE(producer->begin().ok());
  Record record;
  record.value = "held up";
  record.has_value = true;
  ASSERT_TRUE(producer->produce(tp, record).ok());
  ASSERT_TRUE(producer->flush(30'000).ok());
  auto watch = kafka::StallWatch::open(broker(), {tp.topic, "not-there-yet"}).value();
  auto looks = [&](bool stalled) {
    const int64_t deadline = Clock::system().steady_ns() + 30'000'000'000;
    while (Clock::system().steady_ns() < deadline) {
      watch->look();
      auto stalls = watch->stalls();
      if (stalls.size() == 1 && (stalls.front().us > 0) == stalled) return true;
    }
    return false;
  };
  EXPECT_TRUE(looks(true));
  Error why;
  EXPECT_EQ(producer->commit(30'000, &why), kafka::Producer::End::kDone) << why.message;
  EXPECT_TRUE(looks(false));
}

TEST(KafkaSource, SkipsWhatIsDeletedWhileItReadsOnlyWhereItIsToldTo) {
  const TopicPartition tp{fresh("in"), Partition(0)};
  std::unique_ptr<kafka::Admin> admin = kafka::Admin::open(broker()).value();
  kafka::NewTopic input;
  input.name = tp.topic;
  ASSERT_TRUE(admin->create_topic(input).ok());
  std::unique_ptr<kafka::Producer> producer = kafka::Producer::open(broker(), {}).value();
  for (int i = 0; i < 10; ++i) {
    const std::string value = source_event(0, i);
    Record record;
    record.value = value;
    record.has_value = true;
    ASSERT_TRUE(producer->produce(tp, record).ok());
  }
  ASSERT_TRUE(producer->flush(30'000).ok());
  ASSERT_TRUE(admin->delete_before(tp, Offset(4)).ok());
  for (bool skip : {false, true}) {
    ingest::KafkaSourceOptions options;
    options.connection = broker();
    options.topic = tp.topic;
    options.pipeline = "skipping";
    options.skip_deleted = skip;
    auto source = ingest::KafkaSource::open(options).value();
    auto reader = source->open_reader(0).value();
    ASSERT_TRUE(reader->assign({{tp, Position{Offset(1), LeaderEpoch(-1)}}}).ok());
    std::vector<int64_t> seen;
    Status failed;
    const int64_t deadline = Clock::system().steady_ns() + 30'000'000'000;
    while (failed.ok() && seen.size() < 6 && Clock::system().steady_ns() < deadline) {
      pipeline::PollRequest request;
      request.timeout_us = 100'000;
      auto polled = reader->poll(request);
      if (!polled.ok()) {
        failed = std::move(polled).error();
        break;
      }
      for (const BatchPtr& batch : polled->batches) {
        for (const Record& record : batch->records()) seen.push_back(record.offset.value());
      }
    }
    EXPECT_EQ(failed.ok(), skip) << (failed.ok() ? "" : failed.error().message);
    if (skip) {
      EXPECT_EQ(seen, (std::vector<int64_t>{4, 5, 6, 7, 8, 9}));
    }
    if (!skip && !failed.ok()) {
      EXPECT_EQ(failed.error().code, Code::kOutOfRange);
    }
  }
}

// Who does not poll for long, as its store is down or state is restored, is put out of its group: it hears
// that its partitions are lost, and has others later.
TEST(KafkaSource, GoesOnAfterItWasPutOutOfItsGroup) {
  auto admin = kafka::Admin::open(broker()).value();
  kafka::NewTopic input;
  input.name = fresh("in");
  ASSERT_TRUE(admin->create_topic(input).ok());
  ingest::KafkaSourceOptions options;
  options.connection = broker();
  options.connection.properties = {{"max.poll.interval.ms", "1000"}};
  options.topic = input.name;
  options.pipeline = fresh("pipe");
  options.membership.emplace();
  options.membership->session_timeout_ms = 1'000;
  options.membership->heartbeat_ms = 100;
  auto source = ingest::KafkaSource::open(options).value();
  using Change = pipeline::AssignmentChange;
  // Polls until it hears that; no poll may fail.
  auto hears = [](pipeline::SourceReader& reader, Change::Kind kind) {
    const int64_t deadline = Clock::system().steady_ns() + 60'000'000'000;
    while (Clock::system().steady_ns() < deadline) {
      pipeline::PollRequest request;
      request.timeout_us = 50'000;
      auto polled = reader.poll(request);
      if (!polled.ok()) {
        ADD_FAILURE() << polled.error().message;
        return false;
      }
      for (const Change& change : polled->changes) {
        if (change.kind != Change::kAssigned) reader.unassign(change.partitions);
        if (change.kind == Change::kAssigned) {
          EXPECT_TRUE(reader.assign({{change.partitions.front(), {Offset(0), LeaderEpoch(-1)}}}).ok());
        }
        if (change.kind == kind) return true;
      }
    }
    return false;
  };
  auto silent = source->open_reader(0).value();
  ASSERT_TRUE(hears(*silent, Change::kAssigned));
  {
    auto other = source->open_reader(1).value();
    ASSERT_TRUE(hears(*other, Change::kAssigned));
    EXPECT_TRUE(hears(*silent, Change::kLost));
  }
  EXPECT_TRUE(hears(*silent, Change::kAssigned));
}

TEST(KafkaSource, ASessionMayBeLongerThanTenMinutes) {
  ingest::KafkaSourceOptions options;
  options.connection = broker();
  options.topic = fresh("in");
  options.pipeline = fresh("pipe");
  options.membership.emplace();
  options.membership->session_timeout_ms = 1'200'000;
  auto source = ingest::KafkaSource::assume(options, 1);
  auto reader = source->open_reader(0);
  EXPECT_TRUE(reader.ok()) << reader.error().message;
}

TEST(KafkaSource, FindsPartitionsThatAreAddedWhereNoGroupSharesThem) {
  auto admin = kafka::Admin::open(broker()).value();
  for (const bool keyed : {false, true}) {
    kafka::NewTopic input;
    input.name = fresh("in");
    ASSERT_TRUE(admin->create_topic(input).ok());
    ingest::KafkaSourceOptions options;
    options.connection = broker();
    options.topic = input.name;
    options.pipeline = fresh("pipe");
    options.start = ingest::KafkaSourceOptions::Start::kLatest;
    options.keyed = keyed;
    options.look_us = 0;
    auto source = ingest::KafkaSource::open(options).value();
    auto reader = source->open_reader(0).value();
    const TopicPartition first{input.name, Partition(0)}, added{input.name, Partition(1)};
    ASSERT_TRUE(reader->assign({{first, Position{Offset(0), LeaderEpoch(-1)}}}).ok());
    ASSERT_TRUE(admin->grow_topic(input.name, 2).ok());
    std::unique_ptr<kafka::Producer> producer = kafka::Producer::open(broker(), {}).value();
    Record record;
    record.value = "of the added one";
    record.has_value = true;
    ASSERT_TRUE(producer->produce(added, record).ok());
    ASSERT_TRUE(producer->flush(30'000).ok());

    std::vector<TopicPartition> told;
    std::string seen, failed;
    const int64_t deadline = Clock::system().steady_ns() + 30'000'000'000;
    while (failed.empty() && seen.empty() && Clock::system().steady_ns() < deadline) {
      pipeline::PollRequest request;
      request.timeout_us = 20'000;
      auto polled = reader->poll(request);
      if (!polled.ok()) {
        failed = polled.error().message;
        break;
      }
      for (const auto& change : polled->changes) {
        told.insert(told.end(), change.partitions.begin(), change.partitions.end());
        Position start = reader->start_position(added).value();
        ASSERT_TRUE(reader->assign({{added, start}}).ok());
      }
      for (const BatchPtr& batch : polled->batches) {
        for (const Record& one : batch->records()) seen = one.value;
      }
    }
    if (keyed) {
      EXPECT_NE(failed.find("had 1 partitions and now has partition 1"), std::string::npos) << failed;
      continue;
    }
    EXPECT_EQ(failed, "");
    EXPECT_EQ(seen, "of the added one");
    EXPECT_EQ(told, std::vector<TopicPartition>{added});
    EXPECT_EQ(source->ends().value().size(), 2u);
  }
}

TEST(KafkaSource, TellsTheEndsOfPartitionsThatTheGroupIsGiven) {
  auto admin = kafka::Admin::open(broker()).value();
  for (const bool keyed : {false, true}) {
    kafka::NewTopic input;
    input.name = fresh("in");
    ASSERT_TRUE(admin->create_topic(input).ok());
    ingest::KafkaSourceOptions options;
    options.connection = broker();
    options.topic = input.name;
    options.pipeline = fresh("pipe");
    options.membership.emplace();
    options.keyed = keyed;
    auto source = ingest::KafkaSource::open(options).value();
    EXPECT_EQ(source->ends().value().size(), 1u);
    ASSERT_TRUE(admin->grow_topic(input.name, 3).ok());
    EXPECT_EQ(source->ends().value().size(), keyed ? 1u : 3u) << "state by key is not read beyond it";
  }
}

TEST(KafkaSource, SaysHowAPositionIsForgottenWhereTheGroupHoldsIt) {
  auto admin = kafka::Admin::open(broker()).value();
  kafka::NewTopic input;
  input.name = fresh("in");
  ASSERT_TRUE(admin->create_topic(input).ok());
  for (const bool shared : {true, false}) {
    ingest::KafkaSourceOptions options;
    options.connection = broker();
    options.topic = input.name;
    options.pipeline = fresh("pipe");
    if (shared) options.membership.emplace();
    const std::string command = "kafka-consumer-groups --bootstrap-server " + broker().brokers + " --group " +
                                options.pipeline + " --topic " + input.name + ":0 --delete-offsets";
    for (const bool elsewhere : {false, true}) {
      auto source = ingest::KafkaSource::open(options).value();
      if (elsewhere) source->tell_group();  // the sink keeps positions
      auto reader = source->open_reader(0).value();
      Status checked = reader->check_position({input.name, Partition(0)}, {Offset(7), LeaderEpoch(0)});
      ASSERT_FALSE(checked.ok());
      const std::string& said = checked.error().message;
      EXPECT_NE(said.find("events 0 to 6 (7) were lost"), std::string::npos) << said;
      EXPECT_EQ(said.find(command) != std::string::npos, shared && !elsewhere) << said;
    }
  }
}

TEST(KafkaAdmin, TellsTheNumberOfOneTopicsPartitions) {
  auto admin = kafka::Admin::open(broker()).value();
  const std::string missing = fresh("missing");
  EXPECT_EQ(admin->partitions_now(missing).value(), 0);
  kafka::NewTopic topic;
  topic.name = fresh("in");
  topic.partitions = 3;
  ASSERT_TRUE(admin->create_topic(topic).ok());
  EXPECT_EQ(admin->partitions_now(topic.name).value(), 3);
}

// Whose positions are kept under the partitions of a topic that stands for another cluster's.
TEST(KafkaSink, GoesOnWhereTheTopicThatIsReadWasGivenPartitions) {
  for (const bool transactions : {true, false}) {
    KafkaStore store;
    store.options.stateful = false;
    store.options.abilities.transactions = transactions;
    store.options.source_partitions = 1;
    auto sink = store.sut.open().value();
    ASSERT_TRUE(sink->prepare(harness_schema()).ok());
    auto writer = sink->open_writer(0).value();
    ASSERT_TRUE(writer->acquire(std::vector<TopicPartition>{harness_partition(0)}).ok());
    auto more = writer->acquire(std::vector<TopicPartition>{harness_partition(1)});
    EXPECT_TRUE(more.ok()) << more.error().message;

    store.options.source_partitions = 4;
    auto next = store.sut.open().value();
    Status prepared = next->prepare(harness_schema());
    ASSERT_TRUE(prepared.ok()) << prepared.error().message;
    auto another = next->open_writer(0).value();
    auto taken = another->acquire(std::vector<TopicPartition>{harness_partition(3)});
    EXPECT_TRUE(taken.ok()) << taken.error().message;
    auto admin = kafka::Admin::open(broker()).value();
    EXPECT_EQ(admin->partition_count(store.options.topic).value(), 1) << "as it is";
    store.options.partitions = 2;
    store.options.exact = true;
    EXPECT_FALSE(store.sut.open().value()->prepare(harness_schema()).ok());
  }
}

// Its transaction holds the claims undecided until it times out.
TEST(KafkaSink, WhoDiesWhileItKeepsPositionsIsTakenOverFromAtOnce) {
  KafkaStore store;
  store.share_cluster();
  auto sink = store.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession first = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(first.acquire({0, 1}, model).ok());
  FilledEpoch epoch = first.fill({0, 1}, 50, model).value();
  ASSERT_TRUE(first.commit_to(epoch, &model).ok());
  SinkSession next = SinkSession::open(*sink, 1).value();
  arm_step("kafka.kept.sent", [&] {
    Status taken = next.acquire({0}, model);
    EXPECT_TRUE(taken.ok()) << taken.error().message;
  });
  EXPECT_FALSE(first.writer().keep().ok()) << "it is fenced";
  arm_step("kafka.kept.sent", {});
  FilledEpoch more = next.fill({0}, 50, model).value();
  ASSERT_TRUE(next.commit_to(more, &model).ok());
  EXPECT_TRUE(next.check(model).ok());
}

TEST(KafkaSource, LooksThroughAnyNumberOfAbortedEventsAtAnEnd) {
  auto admin = kafka::Admin::open(broker()).value();
  kafka::NewTopic input;
  input.name = fresh("in");
  ASSERT_TRUE(admin->create_topic(input).ok());
  const TopicPartition tp{input.name, Partition(0)};
  kafka::ProducerOptions transactional;
  transactional.transactional_id = fresh("aborting");
  auto aborting = kafka::Producer::open(broker(), transactional).value();
  ASSERT_TRUE(aborting->init(30'000).ok());
  ASSERT_TRUE(aborting->begin().ok());
  Record record;
  record.value = "aborted";
  record.has_value = true;
  for (int i = 0; i < 1'500; ++i) ASSERT_TRUE(aborting->produce(tp, record).ok());
  ASSERT_TRUE(aborting->flush(30'000).ok());
  ASSERT_EQ(aborting->abort(30'000, {}), kafka::Producer::End::kAborted);
  ingest::KafkaSourceOptions options;
  options.connection = broker();
  options.topic = input.name;
  options.pipeline = fresh("pipe");
  auto source = ingest::KafkaSource::open(options).value();
  EXPECT_FALSE(source->holds_events(tp, std::nullopt, Offset(1'501)).value());
  auto plain = kafka::Producer::open(broker(), {}).value();
  ASSERT_TRUE(plain->produce(tp, record).ok());
  ASSERT_TRUE(plain->flush(30'000).ok());
  EXPECT_TRUE(source->holds_events(tp, std::nullopt, Offset(1'502)).value());
}

}  // namespace
}  // namespace tidemill
