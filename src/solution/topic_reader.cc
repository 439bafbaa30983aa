#include "solution/topic_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "event/timestamp.h"
#include "ingest/log_source.h"
#include "kafka/admin.h"
#include "kafka/reader.h"
#include "pipeline/kafka_changelog.h"
#include "solution/between.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kPatienceNs = 30'000'000'000;
constexpr int kAskTimeoutMs = 15'000;
constexpr int64_t kSettleNs = 2'000'000'000;
constexpr int64_t kSettlePollUs = 20'000;

using Positions = std::vector<std::pair<TopicPartition, Position>>;

Result<std::vector<TopicPartition>> partitions_of(const std::string& topic, int32_t count,
                                                  const TopicRange& range) {
  std::vector<TopicPartition> all;
  for (int32_t p = 0; p < count; ++p) {
    if (range.partition < 0 || range.partition == p) all.push_back({topic, Partition(p)});
  }
  if (all.empty()) {
    return user_error(fmt::format("topic {} has no partition {}; give one from 0 to {}", topic,
                                  range.partition, count - 1));
  }
  return all;
}

// Up to where the partitions are committed. A commit that has returned shows once its markers are written, a
// little later; so for a while it is asked again where something before the end is open.
Result<std::vector<Position>> committed_ends(kafka::Admin& admin,
                                             const std::vector<TopicPartition>& partitions) {
  Clock& clock = Clock::system();
  TM_ASSIGN(auto end, admin.offsets(partitions, {kafka::OffsetQuery::kEnd, 0}));
  for (const int64_t begun_ns = clock.steady_ns();;) {
    TM_ASSIGN(auto stable, admin.offsets(partitions, {kafka::OffsetQuery::kStableEnd, 0}));
    bool settled = true;
    for (size_t i = 0; i < partitions.size(); ++i) settled &= stable[i].offset >= end[i].offset;
    if (settled || clock.steady_ns() - begun_ns > kSettleNs) return stable;
    clock.sleep_us(kSettlePollUs);
  }
}

class LogTopicReader final : public TopicReader {
 public:
  LogTopicReader(std::unique_ptr<pipeline::Source> source, std::unique_ptr<pipeline::SourceReader> reader,
                 std::map<TopicPartition, Offset> ends)
      : TopicReader(std::move(ends)), source_(std::move(source)), reader_(std::move(reader)) {}

 private:
  Result<std::vector<BatchPtr>> poll(int64_t timeout_us) override {
    pipeline::PollRequest request;
    request.timeout_us = timeout_us;
    TM_ASSIGN(pipeline::Polled polled, reader_->poll(request));
    at_end_ = polled.caught_up;
    return std::move(polled.batches);
  }
  bool at_end() const override { return at_end_; }

  std::unique_ptr<pipeline::Source> source_;
  std::unique_ptr<pipeline::SourceReader> reader_;
  bool at_end_ = false;
};

class KafkaTopicReader final : public TopicReader {
 public:
  KafkaTopicReader(std::unique_ptr<kafka::Reader> reader, std::map<TopicPartition, Offset> ends)
      : TopicReader(std::move(ends)), reader_(std::move(reader)) {}

 private:
  Result<std::vector<BatchPtr>> poll(int64_t timeout_us) override {
    kafka::Reader::Limits limits;
    limits.timeout_us = timeout_us;
    return reader_->poll(limits);
  }
  bool at_end() const override { return reader_->at_end(); }

  std::unique_ptr<kafka::Reader> reader_;
};

}  // namespace

std::vector<KafkaTopic> kafka_topics(const Solution& solution) {
  std::vector<KafkaTopic> all;
  const auto& ingest = solution.ingest.kafka;
  const auto& serve = solution.serve.kafka;
  if (reads_kafka(solution)) all.push_back({ingest.topic, ingest.connection});
  for (const BetweenTopic& topic : between_topics(solution)) {
    if (!topic.in_kafka) continue;
    all.push_back({topic.name, ingest.connection});
    all.push_back({topic.dead_letters, ingest.connection});
    all.push_back({pipeline::kafka_changelog_topic(topic.pipeline), ingest.connection});
  }
  if (solution.serve.kind == SinkKind::kKafka) {
    all.push_back({serve.topic, serve.connection});
    all.push_back({solution.dead_letters.name, serve.connection});
    all.push_back({pipeline::kafka_changelog_topic(solution.name), serve.connection});
  } else if (reads_kafka(solution) && shares_store(solution)) {
    all.push_back({pipeline::kafka_changelog_topic(solution.name), ingest.connection});
  }
  return all;
}

std::optional<KafkaTopic> find_kafka_topic(const Solution& solution, const std::string& name) {
  for (KafkaTopic& topic : kafka_topics(solution)) {
    if (topic.name == name) return std::move(topic);
  }
  return std::nullopt;
}

Result<Offset> resolve_from(const std::string& from, Offset first, Offset end,
                            const std::function<Result<Offset>(int64_t time_ms)>& at_time) {
  if (from.empty() || from == "earliest") return first;
  if (from == "latest") return end;
  int64_t number = 0;
  auto [stop, error] = std::from_chars(from.data(), from.data() + from.size(), number);
  if (error == std::errc() && stop == from.data() + from.size()) {
    return std::clamp(Offset(number), first, end);
  }
  auto time = parse_timestamp_us(from);
  if (!time) {
    return user_error("from: '" + from +
                      "' is neither an offset, earliest, latest nor a time like 2026-01-31T12:00:00Z");
  }
  return at_time(*time / 1000);
}

Result<std::unique_ptr<TopicReader>> TopicReader::of_log(log::Log& log, const std::string& topic,
                                                         const TopicRange& range) {
  ingest::LogSourceOptions options;
  options.topic = topic;
  TM_ASSIGN(auto source, ingest::LogSource::open(log, std::move(options)));
  TM_ASSIGN(auto all, source->partitions());
  TM_ASSIGN(auto partitions, partitions_of(topic, static_cast<int32_t>(all.size()), range));
  Positions starts;
  std::map<TopicPartition, Offset> ends;
  for (const TopicPartition& tp : partitions) {
    TM_ASSIGN(log::PartitionInfo info, log.partition(tp));
    TM_ASSIGN(Offset from, resolve_from(range.from, info.log_start, info.last_stable,
                                        [&](int64_t time_ms) { return log.offset_for_time(tp, time_ms); }));
    starts.emplace_back(tp, Position{from, LeaderEpoch(-1)});
    if (!range.follow) ends[tp] = info.last_stable;
  }
  TM_ASSIGN(auto reader, source->open_reader(0));
  TM_TRY(reader->assign(starts));
  return std::unique_ptr<TopicReader>(
      std::make_unique<LogTopicReader>(std::move(source), std::move(reader), std::move(ends)));
}

Result<std::unique_ptr<TopicReader>> TopicReader::of_kafka(const KafkaTopic& topic, const TopicRange& range) {
  TM_ASSIGN(auto admin, kafka::Admin::open(topic.connection, kAskTimeoutMs));
  TM_ASSIGN(kafka::TopicDescription found, admin->describe(topic.name));
  TM_ASSIGN(auto partitions, partitions_of(topic.name, found.partitions, range));
  TM_ASSIGN(auto first, admin->offsets(partitions, {kafka::OffsetQuery::kEarliest, 0}));
  const kafka::OffsetQuery stable{kafka::OffsetQuery::kStableEnd, 0};
  TM_ASSIGN(auto last,
            range.follow ? admin->offsets(partitions, stable) : committed_ends(*admin, partitions));
  Positions starts;
  std::map<TopicPartition, Offset> ends;
  for (size_t i = 0; i < partitions.size(); ++i) {
    const TopicPartition& tp = partitions[i];
    TM_ASSIGN(
        Offset from,
        resolve_from(range.from, first[i].offset, last[i].offset, [&](int64_t time_ms) -> Result<Offset> {
          TM_ASSIGN(auto at, admin->offsets({tp}, {kafka::OffsetQuery::kTime, time_ms}));
          return at.front().offset;
        }));
    starts.emplace_back(tp, Position{from, LeaderEpoch(-1)});
    if (!range.follow) ends[tp] = last[i].offset;
  }
  kafka::ReaderOptions options;
  options.fetch_wait_ms = 50;
  TM_ASSIGN(auto reader, kafka::Reader::open(topic.connection, std::move(options)));
  TM_TRY(reader->assign(starts));
  auto made = std::make_unique<KafkaTopicReader>(std::move(reader), std::move(ends));
  for (const auto& [tp, position] : starts) made->reached_[tp] = position.offset;
  return std::unique_ptr<TopicReader>(std::move(made));
}

// What ends transactions is no event: a partition's last offsets may never be given.
bool TopicReader::complete() const {
  if (ends_.empty()) return false;
  return at_end() || std::all_of(ends_.begin(), ends_.end(), [this](const auto& end) {
           auto reached = reached_.find(end.first);
           return reached != reached_.end() && reached->second >= end.second;
         });
}

Result<std::optional<TopicEvent>> TopicReader::next(int64_t timeout_us) {
  while (true) {
    for (; batch_ < batches_.size(); ++batch_, row_ = 0) {
      const Batch& batch = *batches_[batch_];
      auto end = ends_.find(batch.source);
      while (row_ < batch.size()) {
        const Record& record = batch.records()[row_++];
        if (end != ends_.end() && record.offset >= end->second) continue;
        return std::optional<TopicEvent>(TopicEvent{&batch.source, &record});
      }
      reached_[batch.source] = batch.end.offset;
    }
    batches_.clear();
    batch_ = row_ = 0;
    if (done_ || complete()) {
      done_ = true;
      return std::optional<TopicEvent>();
    }
    auto polled = poll(timeout_us);
    if (!polled.ok()) {
      Error error = std::move(polled).error();
      const int64_t now_ns = Clock::system().steady_ns();
      if (troubled_ns_ < 0) troubled_ns_ = now_ns;
      if (!error.retryable || now_ns - troubled_ns_ > kPatienceNs) return error;
      return std::optional<TopicEvent>();
    }
    troubled_ns_ = -1;
    batches_ = std::move(*polled);
    if (!batches_.empty()) continue;
    if (complete()) done_ = true;
    return std::optional<TopicEvent>();
  }
}

}  // namespace tidemill::solution
