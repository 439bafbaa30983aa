#include "ingest/log_source.h"

#include <algorithm>
#include <map>
#include <utility>

namespace tidemill::ingest {

using pipeline::Polled;
using pipeline::PollRequest;

namespace {

constexpr size_t kByTimeBytes = 64u << 10;

std::string range(Offset from, Offset to) {
  std::string count = std::to_string(to.since(from));
  return "events " + std::to_string(from.value()) + " to " + std::to_string(to.value() - 1) + " (" + count +
         ")";
}

class LogReader final : public pipeline::SourceReader {
 public:
  LogReader(log::Log& log, const LogSourceOptions& options, const log::TopicConfig& config, int task)
      : log_(log),
        options_(options),
        timestamp_type_(config.timestamp_type),
        holder_(options.pipeline.empty() ? "" : options.pipeline + "/" + std::to_string(task)) {}
  ~LogReader() override {
    if (!holder_.empty()) log_.hold_retention(holder_, {});
  }

  Status check_position(const TopicPartition& tp, const Position& position) override;
  Result<Position> start_position(const TopicPartition& tp) override;
  Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) override;
  void unassign(const std::vector<TopicPartition>& partitions) override;
  Result<Polled> poll(const PollRequest& request) override;
  void committed(const std::vector<std::pair<TopicPartition, Position>>& positions) override;
  int64_t lag(const TopicPartition& tp, const Position& position) override;

 private:
  struct Assigned {
    TopicPartition tp;
    Position next;        // to read
    Offset uncommitted;   // the first that a restart would read again
    bool at_end = false;  // nothing more when it was last read
    BatchPtr ahead;       // by time: read, and its turn is still to come
    size_t ahead_bytes = 0;
  };

  Status read_round(const PollRequest& request, Polled* polled);
  Status read_by_time(const PollRequest& request, Polled* polled);
  Result<BatchPtr> read_partition(Assigned& from, size_t max_bytes, size_t* bytes);
  void give(BatchPtr batch, size_t bytes, Polled* polled) {
    bytes_ += bytes;
    events_ += batch->size();
    polled->batches.push_back(std::move(batch));
  }
  bool full(const PollRequest& request) const {
    return bytes_ >= request.max_bytes || events_ >= request.max_events;
  }
  bool all_at_end() const {
    return std::all_of(assigned_.begin(), assigned_.end(),
                       [](const Assigned& one) { return one.at_end && !one.ahead; });
  }
  void hold();

  log::Log& log_;
  const LogSourceOptions& options_;
  const TimestampType timestamp_type_;
  const std::string holder_;
  std::vector<Assigned> assigned_;
  size_t turn_ = 0;                // whose turn it is, so that no partition waits for the others
  size_t event_bytes_ = 128;       // about, for polls of few events
  uint64_t seen_ = 0;              // of wait_visible
  size_t bytes_ = 0, events_ = 0;  // of this poll
};

Status LogReader::check_position(const TopicPartition& tp, const Position& position) {
  TM_ASSIGN(log::PartitionInfo info, log_.partition(tp));
  const std::string what =
      tp.to_string() + ": the pipeline has committed up to offset " + std::to_string(position.offset.value());
  const std::string way_out = "; to go on without them, start a new run with --fresh";
  if (position.offset < info.log_start) {
    return external_error(what + ", but the log begins at " + std::to_string(info.log_start.value()) + ": " +
                              range(position.offset, info.log_start) + " were deleted" + way_out,
                          Code::kOutOfRange);
  }
  auto end = log_.leader_epoch_end(tp, position.leader_epoch);
  if (!end.ok() && end.error().code == Code::kNotFound) {
    return external_error(what + " in leader epoch " + std::to_string(position.leader_epoch.value()) +
                              ", but this log is at " + std::to_string(info.leader_epoch.value()) +
                              ": it is another log, or an older copy of it; bring back the one that the "
                              "pipeline read, or start a new run with --fresh",
                          Code::kOutOfRange);
  }
  if (!end.ok()) return std::move(end).error();
  if (position.offset > *end) {
    return external_error(what + " in leader epoch " + std::to_string(position.leader_epoch.value()) +
                              ", which ends at " + std::to_string(end->value()) + ": " +
                              range(*end, position.offset) + " were lost by the log" + way_out,
                          Code::kOutOfRange);
  }
  return {};
}

Result<Position> LogReader::start_position(const TopicPartition& tp) {
  TM_ASSIGN(log::PartitionInfo info, log_.partition(tp));
  Offset start = info.log_start;
  if (options_.start == LogSourceOptions::Start::kLatest) start = info.last_stable;
  if (options_.start == LogSourceOptions::Start::kTime) {
    // Batches have milliseconds; one that began within the millisecond asked for counts.
    int64_t ms = options_.start_time_us >= 0 ? options_.start_time_us / 1000 : 0;
    TM_ASSIGN(start, log_.offset_for_time(tp, ms));
    start = std::clamp(start, info.log_start, std::max(info.log_start, info.last_stable));
  }
  return Position{start, info.leader_epoch};
}

Status LogReader::assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) {
  for (const auto& [tp, position] : partitions) {
    TM_TRY(log_.partition(tp));
    std::erase_if(assigned_, [&, &asked = tp](const Assigned& one) { return one.tp == asked; });
    assigned_.push_back({tp, position, position.offset, false, nullptr, 0});
  }
  hold();
  return {};
}

void LogReader::unassign(const std::vector<TopicPartition>& partitions) {
  std::erase_if(assigned_, [&](const Assigned& one) {
    return std::find(partitions.begin(), partitions.end(), one.tp) != partitions.end();
  });
  hold();
}

Result<Polled> LogReader::poll(const PollRequest& request) {
  Polled polled;
  bytes_ = events_ = 0;
  // Asked before reading, so that what becomes visible meanwhile ends the wait.
  uint64_t seen = log_.wait_visible(seen_, 0);
  TM_TRY(read_round(request, &polled));
  if (polled.batches.empty() && request.timeout_us > 0 && all_at_end()) {
    seen = log_.wait_visible(seen, request.timeout_us);
    TM_TRY(read_round(request, &polled));
  }
  seen_ = seen;
  polled.caught_up = all_at_end();
  return polled;
}

// Every partition once or more, beginning with the one whose turn it is, until the poll is full or
// nothing is left. An even share for each at first, so that all move on together.
Status LogReader::read_round(const PollRequest& request, Polled* polled) {
  if (options_.by_time) return read_by_time(request, polled);
  for (Assigned& one : assigned_) one.at_end = false;
  size_t share = assigned_.empty() ? 0 : request.max_bytes / assigned_.size();
  for (size_t idle = 0; idle < assigned_.size() && !full(request); ++turn_) {
    Assigned& one = assigned_[turn_ % assigned_.size()];
    size_t most = std::min(std::max<size_t>(share, 64u << 10), request.max_bytes - bytes_);
    if (request.max_events != SIZE_MAX) {
      size_t events_left = request.max_events - events_;
      if (events_left < most / event_bytes_) most = events_left * event_bytes_;
    }
    BatchPtr batch;
    size_t bytes = 0;
    if (!one.at_end) {
      TM_ASSIGN(batch, read_partition(one, std::max<size_t>(most, 1), &bytes));
    }
    idle = batch ? 0 : idle + 1;
    if (batch) give(std::move(batch), bytes, polled);
  }
  return {};
}

// Of the partitions' next batches always the oldest. What was read and did not fit waits for the next poll.
Status LogReader::read_by_time(const PollRequest& request, Polled* polled) {
  const auto time_of = [](const Batch& batch) {
    return batch.size() == 0 ? INT64_MIN : batch.records().front().timestamp_ms;
  };
  while (!full(request)) {
    Assigned* oldest = nullptr;
    for (Assigned& one : assigned_) {
      if (!one.ahead) {
        TM_ASSIGN(one.ahead, read_partition(one, kByTimeBytes, &one.ahead_bytes));
      }
      if (one.ahead && (oldest == nullptr || time_of(*one.ahead) < time_of(*oldest->ahead))) oldest = &one;
    }
    if (oldest == nullptr) return {};
    give(std::move(oldest->ahead), oldest->ahead_bytes, polled);
  }
  return {};
}

// Null where nothing is there.
Result<BatchPtr> LogReader::read_partition(Assigned& from, size_t max_bytes, size_t* bytes) {
  TM_ASSIGN(log::Fetched fetched,
            log_.read(from.tp, from.next.offset, max_bytes, log::Isolation::kReadCommitted));
  from.at_end = fetched.at_end;
  if (fetched.end.offset <= from.next.offset) return BatchPtr();
  *bytes = 0;
  auto batch = std::make_unique<Batch>();
  batch->source = from.tp;
  batch->first = from.next.offset;
  batch->end = fetched.end;
  batch->timestamp_type = timestamp_type_;
  if (fetched.batches != nullptr && !fetched.batches->empty()) {
    auto set = batch->set_record_batches(fetched.batches, from.next.offset, options_.max_decompressed_bytes);
    if (!set.ok()) {
      return std::move(set).error().within(from.tp.to_string() + " at offset " +
                                           std::to_string(from.next.offset.value()));
    }
    if (*set) {
      batch->end = **set;
      from.at_end = false;
    }
    *bytes = std::max(fetched.batches->size(), batch->payload_bytes());
    if (batch->size() > 0) event_bytes_ = fetched.batches->size() / batch->size() + 1;
  }
  batch->select_all();
  from.next = batch->end;
  return batch;
}

void LogReader::committed(const std::vector<std::pair<TopicPartition, Position>>& positions) {
  for (const auto& [tp, position] : positions) {
    for (Assigned& one : assigned_) {
      if (one.tp == tp) one.uncommitted = position.offset;
    }
  }
  hold();
}

void LogReader::hold() {
  std::vector<std::pair<TopicPartition, Offset>> from;
  for (const Assigned& one : assigned_) from.emplace_back(one.tp, one.uncommitted);
  log_.hold_retention(holder_, from);
}

int64_t LogReader::lag(const TopicPartition& tp, const Position& position) {
  auto info = log_.partition(tp);
  if (!info.ok()) return -1;
  return std::max<int64_t>(0, info->last_stable.since(position.offset));
}

}  // namespace

std::string durability_weakness(log::Durability durability) {
  switch (durability) {
    case log::Durability::kSync:
      return {};
    case log::Durability::kInterval:
      return "durability: interval: a power cut may lose what the log acknowledged since its last sync";
    case log::Durability::kNone:
      return "durability: none: a power cut may lose what the log acknowledged and the system had not "
             "written";
  }
  return {};
}

Result<std::unique_ptr<LogSource>> LogSource::open(log::Log& log, LogSourceOptions options) {
  auto topic = log.topic(options.topic);
  if (!topic.ok()) {
    if (topic.error().code != Code::kNotFound) return std::move(topic).error();
    std::string known;
    for (const log::TopicInfo& info : log.topics()) {
      if (!info.internal) known += (known.empty() ? "" : ", ") + info.name;
    }
    return user_error("ingest.log.topic: there is no topic " + options.topic + "; the log has " +
                          (known.empty() ? "none" : known),
                      Code::kNotFound);
  }
  return std::unique_ptr<LogSource>(new LogSource(log, std::move(options), topic->config));
}

pipeline::SourceTraits LogSource::traits() const {
  pipeline::SourceTraits traits;
  traits.system = "embedded log, topic " + options_.topic;
  traits.timestamp_type = config_.timestamp_type;
  traits.weakness = options_.weakness;
  traits.start_moves = options_.start == LogSourceOptions::Start::kLatest;
  return traits;
}

Result<std::vector<TopicPartition>> LogSource::partitions() {
  std::vector<TopicPartition> all;
  for (int32_t i = 0; i < config_.partitions; ++i) all.push_back({options_.topic, Partition(i)});
  return all;
}

Result<std::unique_ptr<pipeline::SourceReader>> LogSource::open_reader(int task) {
  return std::unique_ptr<pipeline::SourceReader>(std::make_unique<LogReader>(log_, options_, config_, task));
}

Result<std::vector<std::pair<TopicPartition, Offset>>> LogSource::ends() {
  std::vector<std::pair<TopicPartition, Offset>> all;
  TM_ASSIGN(std::vector<TopicPartition> partitions, this->partitions());
  for (const TopicPartition& tp : partitions) {
    TM_ASSIGN(log::PartitionInfo info, log_.partition(tp));
    all.emplace_back(tp, info.last_stable);
  }
  return all;
}

}  // namespace tidemill::ingest
