#include "ingest/kafka_source.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/clock.h"
#include "base/logging.h"
#include "ingest/kafka_merge.h"
#include "kafka/topic_pattern.h"

namespace tidemill::ingest {

using pipeline::Polled;
using pipeline::PollRequest;

namespace {

constexpr size_t kMergedBytes = 64u << 10;
constexpr size_t kMergedEvents = 16'384;  // of one poll, for the merge
constexpr int64_t kHeldPollUs = 5'000;    // while batches wait for others
constexpr size_t kNamed = 8;              // of the topics of a pattern

std::string lost(Offset from, Offset to) {
  return "events " + std::to_string(from.value()) + " to " + std::to_string(to.value() - 1) + " (" +
         std::to_string(to.since(from)) + ")";
}

// `brokers_ms`: the session timeout that the brokers set for groups; 0: nobody has told.
std::string sharing(const kafka::Membership& membership, int32_t partitions, int64_t brokers_ms) {
  const std::string number = std::to_string(partitions);
  std::string text = "up to " + number + " tasks, of any number of processes, share " + number +
                     " partitions; those of a killed process are taken over ";
  const bool by_brokers = membership.protocol == kafka::Membership::Protocol::kConsumer;
  const int64_t silent_ms = (by_brokers ? brokers_ms : int64_t{membership.session_timeout_ms}) + 1000;
  const std::string within = "within " + std::to_string(silent_ms / 1000) + " s (";
  if (!by_brokers) {
    text += within + "session_timeout and 1 s)";
  } else if (brokers_ms > 0) {
    text += within + "the brokers' group.consumer.session.timeout.ms and 1 s)";
  } else {
    text += "1 s after the session timeout that the brokers set for groups";
  }
  if (!membership.instance.empty()) return text + ", those of a stopped one too, as it is a static member";
  return text + ", those of a stopped one within 1 s";
}

pipeline::AssignmentChange::Kind kind_of(kafka::GroupChange::Kind kind) {
  switch (kind) {
    case kafka::GroupChange::kAssigned:
      return pipeline::AssignmentChange::kAssigned;
    case kafka::GroupChange::kRevoked:
      return pipeline::AssignmentChange::kRevoked;
    case kafka::GroupChange::kLost:
      break;
  }
  return pipeline::AssignmentChange::kLost;
}

}  // namespace

class KafkaSourceReader final : public pipeline::SourceReader {
 public:
  KafkaSourceReader(KafkaSource& source, int task, std::unique_ptr<kafka::Reader> reader)
      : source_(source), task_(task), reader_(std::move(reader)) {
    if (source.options_.by_time) merge_.emplace(KafkaMerge::Limits{});
  }
  ~KafkaSourceReader() override {
    if (source_.leaves_) reader_->leave_for_good();
  }

  Status check_position(const TopicPartition& tp, const Position& position) override;
  Result<Position> resume_position(const TopicPartition& tp, const Position& position) override;
  Result<Position> start_position(const TopicPartition& tp) override { return source_.start_position(tp); }
  Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) override {
    for (const auto& [tp, position] : partitions) {
      if (merge_) merge_->assign(tp);
    }
    return reader_->assign(partitions);
  }
  void unassign(const std::vector<TopicPartition>& partitions) override {
    for (const TopicPartition& tp : partitions) {
      if (merge_) merge_->unassign(tp);
    }
    reader_->unassign(partitions);
  }
  Result<Polled> poll(const PollRequest& request) override {
    Polled polled;
    TM_TRY(add_new_partitions());
    auto batches = reader_->poll(limits_of(request));
    if (!batches.ok() && batches.error().code == Code::kExists) return join_again(batches.error());
    if (!batches.ok() && batches.error().code == Code::kOutOfRange && source_.options_.skip_deleted) {
      TM_TRY(skip_deleted(batches.error()));
      return polled;
    }
    TM_ASSIGN(polled.batches, std::move(batches));
    if (merge_) put_in_order(request, &polled);
    const bool all_given = !merge_ || merge_->empty();
    polled.caught_up = all_given && reader_->at_end();
    polled.idle = all_given && reader_->idle();
    if (!added_.empty())
      polled.changes.push_back({pipeline::AssignmentChange::kAssigned, std::exchange(added_, {})});
    for (kafka::GroupChange& change : reader_->take_changes()) {
      if (change.kind == kafka::GroupChange::kAssigned) TM_TRY(check_number(change.partitions));
      polled.changes.push_back({kind_of(change.kind), std::move(change.partitions)});
    }
    return polled;
  }
  std::string commit_token() override { return reader_->member_token(); }
  void committed(const std::vector<std::pair<TopicPartition, Position>>& positions) override {
    if (source_.tells_group_ && !positions.empty()) reader_->tell(positions);
  }
  int64_t lag(const TopicPartition& tp, const Position& position) override {
    return reader_->lag(tp, position.offset);
  }

 private:
  kafka::Reader::Limits limits_of(const PollRequest& request) const;
  void put_in_order(const PollRequest& request, Polled* polled);
  Status add_new_partitions();
  Status check_number(const std::vector<TopicPartition>& partitions) const;
  Error join_again(const Error& why);
  Result<Position> behind_deleted(const TopicPartition& tp, const Position& position);
  Status skip_deleted(const Error& why);

  KafkaSource& source_;
  const int task_;
  std::unique_ptr<kafka::Reader> reader_;
  std::optional<KafkaMerge> merge_;  // by time
  int64_t looked_ns_ = Clock::system().steady_ns();
  std::vector<TopicPartition> added_;  // and in no poll's answer yet: one that fails passes none over
};

// What is asked for is given out of what is held, of which there may be more.
kafka::Reader::Limits KafkaSourceReader::limits_of(const PollRequest& request) const {
  kafka::Reader::Limits limits{request.max_events, request.max_bytes, request.timeout_us};
  if (!merge_) return limits;
  limits.max_events = merge_->full() ? 1 : kMergedEvents;
  if (!merge_->empty()) limits.timeout_us = std::min(limits.timeout_us, kHeldPollUs);
  return limits;
}

void KafkaSourceReader::put_in_order(const PollRequest& request, Polled* polled) {
  for (BatchPtr& batch : polled->batches) merge_->put(std::move(batch));
  polled->batches.clear();
  Clock& clock = Clock::system();
  const KafkaMerge::Now now{clock.steady_ns(), clock.wall_us() / 1000,
                            [this](const TopicPartition& tp) { return reader_->at_end(tp); }};
  merge_->take(request.max_bytes, request.max_events, now, &polled->batches);
}

// Where no group shares the partitions out: those that were added to the topic, and topics that have come to
// match the pattern, are the first task's.
Status KafkaSourceReader::add_new_partitions() {
  const bool looks = task_ == 0 && !source_.options_.membership;
  const int64_t now_ns = Clock::system().steady_ns();
  if (!looks || now_ns - looked_ns_ < source_.options_.look_us * 1000) return {};
  looked_ns_ = now_ns;
  auto added = source_.new_partitions();
  // A cluster that does not answer is what the poll is about to find, and to wait for.
  if (!added.ok() && added.error().retryable) return {};
  if (!added.ok()) return std::move(added).error();
  TM_TRY(check_number(*added));
  added_.insert(added_.end(), added->begin(), added->end());
  return {};
}

Status KafkaSourceReader::check_position(const TopicPartition& tp, const Position& position) {
  TM_ASSIGN(auto begin, source_.admin_->offsets({tp}, {kafka::OffsetQuery::kEarliest, 0}));
  TM_ASSIGN(auto end, source_.admin_->offsets({tp}, {kafka::OffsetQuery::kEnd, 0}));
  const std::string what =
      tp.to_string() + ": the pipeline has committed up to offset " + std::to_string(position.offset.value());
  const std::string way_out =
      "; to go on without them, give the solution another name" + source_.forgetting(tp);
  const std::string skipping =
      "; to go on without them, give ingest.kafka.deleted: skip, or keep events for longer";
  if (position.offset < begin.front().offset) {
    return external_error(what + ", but the topic begins at " + std::to_string(begin.front().offset.value()) +
                              ": " + lost(position.offset, begin.front().offset) + " were deleted" + skipping,
                          Code::kOutOfRange);
  }
  if (position.offset > end.front().offset) {
    return external_error(what + ", but the topic ends at " + std::to_string(end.front().offset.value()) +
                              ": " + lost(end.front().offset, position.offset) +
                              " were lost, or it was deleted and created again" + way_out,
                          Code::kOutOfRange);
  }
  if (position.leader_epoch > end.front().leader_epoch) {
    return external_error(what + " in leader epoch " + std::to_string(position.leader_epoch.value()) +
                              ", but the topic is at " + std::to_string(end.front().leader_epoch.value()) +
                              ": it is another topic, or was created again; give the solution another name",
                          Code::kOutOfRange);
  }
  // Whether an earlier epoch reached this far is asked when reading begins (KIP-320).
  return {};
}

// The first event that the topic still has, where that is behind `position`.
Result<Position> KafkaSourceReader::behind_deleted(const TopicPartition& tp, const Position& position) {
  TM_ASSIGN(auto begin, source_.admin_->offsets({tp}, {kafka::OffsetQuery::kEarliest, 0}));
  if (position.offset >= begin.front().offset) return position;
  log_warning(tp.to_string() + ": " + lost(position.offset, begin.front().offset) +
              " were deleted before they were read; skipped (ingest.kafka.deleted)");
  return begin.front();
}

Result<Position> KafkaSourceReader::resume_position(const TopicPartition& tp, const Position& position) {
  Position from = position;
  if (source_.options_.skip_deleted) {
    TM_ASSIGN(from, behind_deleted(tp, position));
  }
  TM_TRY(check_position(tp, from));
  return from;
}

// While it reads.
Status KafkaSourceReader::skip_deleted(const Error& why) {
  std::vector<std::pair<TopicPartition, Position>> moved;
  for (const auto& [tp, position] : reader_->positions()) {
    TM_ASSIGN(Position from, behind_deleted(tp, position));
    if (from != position) moved.emplace_back(tp, from);
  }
  if (moved.empty()) return why;
  return reader_->assign(moved);
}

// librdkafka's client is of no use after that; it holds no partitions yet.
Error KafkaSourceReader::join_again(const Error& why) {
  auto opened = source_.open_member(task_);
  if (!opened.ok()) return std::move(opened).error();
  reader_ = std::move(*opened);
  Error again = why;
  again.retryable = true;
  return again;
}

// Whoever adds partitions to a topic moves keys to them, but not what is remembered of the keys.
Status KafkaSourceReader::check_number(const std::vector<TopicPartition>& partitions) const {
  if (!source_.options_.keyed) return {};
  for (const TopicPartition& tp : partitions) {
    if (tp.partition.value() < source_.topic_.partitions) continue;
    return user_error(
        "Kafka topic " + tp.topic + " had " + std::to_string(source_.topic_.partitions) +
            " partitions and now has partition " + std::to_string(tp.partition.value()) +
            ": keys moved to it, away from the state that is kept for them. Let the pipeline read what came "
            "before, then give the solution another name; nothing is lost: positions stay where they are",
        Code::kInvalid);
  }
  return {};
}

// Where the group holds the positions. One that is set anew, instead, would not have what belongs to it.
std::string KafkaSource::forgetting(const TopicPartition& tp) const {
  if (tells_group_ || !options_.membership) return {};
  return ", or stop every process of it and delete its position: kafka-consumer-groups --bootstrap-server " +
         kafka::address_of(options_.connection) + " --group " + options_.pipeline + " --topic " + tp.topic +
         ":" + std::to_string(tp.partition.value()) +
         " --delete-offsets; the partition is then read from its start";
}

Result<Position> KafkaSource::given_start(const TopicPartition& tp, int64_t offset) {
  TM_ASSIGN(auto begin, admin_->offsets({tp}, {kafka::OffsetQuery::kEarliest, 0}));
  TM_ASSIGN(auto end, admin_->offsets({tp}, {kafka::OffsetQuery::kEnd, 0}));
  const Offset from(offset), first = begin.front().offset, last = end.front().offset;
  if (from >= first && from <= last) return Position{from, LeaderEpoch(-1)};
  return user_error("ingest.kafka.start_offsets: " + tp.to_string() + " has no offset " +
                        std::to_string(offset) + "; give one from " + std::to_string(first.value()) +
                        ", its first event, to " + std::to_string(last.value()) + ", its end",
                    Code::kOutOfRange);
}

Result<Position> KafkaSource::start_position(const TopicPartition& tp) {
  auto given = options_.start_offsets.find(tp.partition.value());
  if (given != options_.start_offsets.end()) return given_start(tp, given->second);
  kafka::OffsetQuery query;
  switch (options_.start) {
    case KafkaSourceOptions::Start::kEarliest:
      break;
    case KafkaSourceOptions::Start::kLatest:
      // Whoever was assigned it later begins there, too.
      if (auto found = latest_.find(tp); found != latest_.end()) return found->second;
      // Of a topic that came to match since, or of a partition that was added, nothing is passed over.
      break;
    case KafkaSourceOptions::Start::kTime:
      query = {kafka::OffsetQuery::kTime, options_.start_time_us / 1000};
      break;
  }
  TM_ASSIGN(auto found, admin_->offsets({tp}, query));
  return found.front();
}

Result<std::unique_ptr<KafkaSource>> KafkaSource::open(KafkaSourceOptions options) {
  auto source = std::unique_ptr<KafkaSource>(new KafkaSource(std::move(options)));
  TM_ASSIGN(source->admin_, kafka::Admin::open(source->options_.connection, source->options_.timeout_ms));
  if (kafka::is_pattern(source->options_.topic)) {
    TM_TRY(source->look_for_topics());
    TM_TRY(source->note_latest());
    return source;
  }
  auto topic = source->admin_->describe(source->options_.topic);
  if (!topic.ok()) return std::move(topic).error().within("ingest.kafka");
  source->topic_ = *topic;
  source->told_[source->options_.topic] = topic->partitions;
  for (const auto& [partition, offset] : source->options_.start_offsets) {
    if (partition < topic->partitions) continue;
    return user_error("ingest.kafka.start_offsets: topic " + source->options_.topic + " has " +
                      std::to_string(topic->partitions) + " partitions, and none of the number " +
                      std::to_string(partition) + "; give 0 to " + std::to_string(topic->partitions - 1));
  }
  TM_TRY(source->note_latest());
  source->note_session();
  return source;
}

// Where nobody may ask, or the brokers are older, it is not said.
void KafkaSource::note_session() {
  if (!options_.membership || options_.membership->protocol != kafka::Membership::Protocol::kConsumer) return;
  auto told = admin_->broker_setting("group.consumer.session.timeout.ms");
  if (!told.ok()) return;
  (void)std::from_chars(told->data(), told->data() + told->size(), brokers_session_ms_);
}

Status KafkaSource::note_latest() {
  if (options_.start != KafkaSourceOptions::Start::kLatest) return {};
  TM_ASSIGN(std::vector<TopicPartition> all, partitions());
  TM_ASSIGN(std::vector<Position> ends, admin_->offsets(all, {kafka::OffsetQuery::kStableEnd, 0}));
  for (size_t i = 0; i < all.size(); ++i) latest_[all[i]] = ends[i];
  return {};
}

Status KafkaSource::look_for_topics() {
  TM_ASSIGN(auto found, admin_->matching(options_.topic));
  topic_ = {0, TimestampType::kLogAppendTime};
  for (const auto& [name, partitions] : found) {
    TM_ASSIGN(kafka::TopicDescription one, admin_->describe(name));
    topic_.partitions += partitions;
    if (one.timestamp_type == TimestampType::kCreateTime) topic_.timestamp_type = one.timestamp_type;
  }
  std::lock_guard lock(mutex_);
  told_ = found;
  topics_ = std::move(found);
  return {};
}

Result<std::map<std::string, int32_t>> KafkaSource::found_now() {
  if (kafka::is_pattern(options_.topic)) return admin_->matching(options_.topic);
  TM_ASSIGN(int32_t count, admin_->partitions_now(options_.topic));
  return std::map<std::string, int32_t>{{options_.topic, count}};
}

Result<std::vector<TopicPartition>> KafkaSource::new_partitions() {
  TM_ASSIGN(auto found, found_now());
  std::lock_guard lock(mutex_);
  std::vector<TopicPartition> added;
  for (const auto& [name, partitions] : found) {
    int32_t& told = told_[name];
    for (; told < partitions; ++told) added.push_back({name, Partition(told)});
  }
  topics_ = std::move(found);
  return added;
}

Status KafkaSource::look_again() {
  TM_ASSIGN(auto found, admin_->matching(options_.topic));
  std::lock_guard lock(mutex_);
  // A group finds its topics itself. Else nobody reads those that no reader was told of.
  if (!options_.membership) {
    for (auto& [name, partitions] : found) {
      auto told = told_.find(name);
      partitions = told == told_.end() ? 0 : std::min(partitions, told->second);
    }
    std::erase_if(found, [](const auto& one) { return one.second == 0; });
  }
  if (found.empty() && !std::exchange(said_none_, true)) {
    log_warning("Kafka at " + kafka::address_of(options_.connection) + ": no topic matches " +
                options_.topic + " now");
  }
  topics_ = std::move(found);
  return {};
}

std::unique_ptr<KafkaSource> KafkaSource::assume(KafkaSourceOptions options, int32_t partitions) {
  auto source = std::unique_ptr<KafkaSource>(new KafkaSource(std::move(options)));
  source->topic_ = {partitions, TimestampType::kLogAppendTime};
  return source;
}

Result<std::string> KafkaSource::cluster_id() {
  if (admin_ == nullptr) return std::string();
  return admin_->cluster_id();
}

pipeline::SourceTraits KafkaSource::traits() const {
  pipeline::SourceTraits traits;
  traits.system = "Kafka topic " + options_.topic + " at " + kafka::address_of(options_.connection);
  if (kafka::is_pattern(options_.topic)) {
    std::lock_guard lock(mutex_);
    std::string names;
    size_t named = 0;
    for (const auto& [name, partitions] : topics_) {
      if (++named <= kNamed) names += (named == 1 ? "" : ", ") + name;
    }
    if (named > kNamed) names += " and " + std::to_string(named - kNamed) + " more";
    traits.system = "Kafka topics " + options_.topic + " at " + kafka::address_of(options_.connection) +
                    (names.empty() ? ": none now" : ": " + names);
  }
  traits.timestamp_type = topic_.timestamp_type;
  traits.assigns = options_.membership.has_value();
  traits.start_moves = options_.start == KafkaSourceOptions::Start::kLatest;
  if (options_.membership)
    traits.sharing = sharing(*options_.membership, topic_.partitions, brokers_session_ms_);
  return traits;
}

Result<std::vector<TopicPartition>> KafkaSource::partitions() {
  std::vector<TopicPartition> all;
  std::lock_guard lock(mutex_);
  // Of one topic all that are read: those that were added with them.
  const std::map<std::string, int32_t> one{{options_.topic, topic_.partitions}};
  const std::map<std::string, int32_t>& told = told_.empty() ? one : told_;
  for (const auto& [name, count] : kafka::is_pattern(options_.topic) ? topics_ : told) {
    for (int32_t i = 0; i < count; ++i) all.push_back({name, Partition(i)});
  }
  return all;
}

Result<std::unique_ptr<kafka::Reader>> KafkaSource::open_member(int task) {
  kafka::ReaderOptions options;
  options.group = options_.pipeline;
  if (options_.membership) {
    options.membership = options_.membership;
    options.membership->topic = options_.topic;
    if (!options.membership->instance.empty()) options.membership->instance += "-" + std::to_string(task);
  }
  options.queue_bytes = options_.queue_bytes;
  options.fetch_wait_ms = options_.fetch_wait_ms;
  if (options_.by_time) options.batch_bytes = kMergedBytes;
  return kafka::Reader::open(options_.connection, options);
}

Result<std::unique_ptr<pipeline::SourceReader>> KafkaSource::open_reader(int task) {
  TM_ASSIGN(auto reader, open_member(task));
  return std::unique_ptr<pipeline::SourceReader>(
      std::make_unique<KafkaSourceReader>(*this, task, std::move(reader)));
}

Result<std::vector<std::pair<TopicPartition, Offset>>> KafkaSource::ends() {
  std::vector<std::pair<TopicPartition, Offset>> all;
  const bool pattern = kafka::is_pattern(options_.topic);
  if (pattern) TM_TRY(look_again());
  if (!pattern && options_.membership && !options_.keyed) {
    // The group reads those that were added within seconds.
    TM_ASSIGN(int32_t count, admin_->partitions_now(options_.topic));
    std::lock_guard lock(mutex_);
    told_[options_.topic] = std::max(told_[options_.topic], count);
  }
  TM_ASSIGN(std::vector<TopicPartition> partitions, this->partitions());
  if (partitions.empty()) return all;
  auto asked = admin_->offsets(partitions, {kafka::OffsetQuery::kStableEnd, 0});
  // A topic that was deleted since is not missed the next time.
  if (pattern && !asked.ok() && asked.error().code == Code::kNotFound) {
    Error error = std::move(asked).error();
    error.retryable = true;
    return error;
  }
  TM_ASSIGN(auto found, std::move(asked));
  for (size_t i = 0; i < partitions.size(); ++i) all.emplace_back(partitions[i], found[i].offset);
  return all;
}

Result<bool> KafkaSource::holds_events(const TopicPartition& tp, const std::optional<Position>& from,
                                       Offset to) {
  Position begin;
  if (from) {
    begin = *from;
  } else {
    TM_ASSIGN(begin, start_position(tp));
  }
  // What was deleted since is not there to be found.
  TM_ASSIGN(auto first, admin_->offsets({tp}, {kafka::OffsetQuery::kEarliest, 0}));
  begin.offset = std::max(begin.offset, first.front().offset);
  if (begin.offset >= to) return false;
  // However many offsets of aborted transactions there are; of what was committed one is enough.
  bool found = false;
  Status read = kafka::read_range(options_.connection, tp, begin.offset, to, [&](const Record&) -> Status {
    found = true;
    return internal_error("one is enough");
  });
  if (!read.ok() && !found) return std::move(read).error();
  return found;
}

}  // namespace tidemill::ingest
