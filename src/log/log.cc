#include "log/log.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/steps.h"
#include "log/log_impl.h"

namespace tidemill::log {

Result<std::unique_ptr<Log>> Log::open(FileSystem& files, Clock& clock, Random& random,
                                       const std::string& directory, const Options& options) {
  auto log = std::make_unique<LogImpl>(files, clock, random, directory, options);
  TM_TRY(log->recover());
  return std::unique_ptr<Log>(std::move(log));
}

LogImpl::LogImpl(FileSystem& files, Clock& clock, Random& random, const std::string& directory,
                 const Options& options)
    : shared_(files, clock, directory, options), random_(random) {
  coordinator_ =
      std::make_unique<Coordinator>(shared_, [this](const TopicPartition& tp) { return find(tp); });
  shared_.gate = coordinator_.get();
}

Status LogImpl::usable() const {
  if (closed_.load(std::memory_order_acquire)) return user_error("the log is closed", Code::kStopped);
  return shared_.fatal.check();
}

std::shared_ptr<PartitionLog> LogImpl::find(const TopicPartition& tp) const {
  std::shared_lock lock(topics_mutex_);
  auto found = topics_.find(tp.topic);
  if (found == topics_.end()) return nullptr;
  const auto& partitions = found->second.partitions;
  auto number = static_cast<size_t>(tp.partition.value());
  if (tp.partition.value() < 0 || number >= partitions.size()) return nullptr;
  return partitions[number];
}

Result<std::shared_ptr<PartitionLog>> LogImpl::need(const TopicPartition& tp) const {
  TM_TRY(usable());
  if (auto partition = find(tp)) return partition;
  return user_error("the log has no partition " + tp.to_string(), Code::kNotFound);
}

std::vector<std::shared_ptr<PartitionLog>> LogImpl::all_partitions() const {
  std::shared_lock lock(topics_mutex_);
  std::vector<std::shared_ptr<PartitionLog>> all;
  for (const auto& [name, topic] : topics_)
    all.insert(all.end(), topic.partitions.begin(), topic.partitions.end());
  return all;
}

// ---- topics

TopicId LogImpl::new_topic_id() {
  TopicId id;
  store_be(id.data(), random_.next());
  store_be(id.data() + 8, random_.next());
  return id;
}

TopicsFile LogImpl::topics_file() const {
  TopicsFile file;
  file.leader_epoch = shared_.leader_epoch;
  file.durability = noted_durability_;
  std::shared_lock lock(topics_mutex_);
  for (const auto& [name, topic] : topics_) file.topics[name] = topic.entry;
  return file;
}

Status LogImpl::create_topic(const std::string& name, const TopicConfig& config) {
  TM_TRY(usable());
  TM_TRY(check_topic_name(name));
  if (config.partitions < 1) return user_error("topic " + name + ": needs at least one partition");
  std::lock_guard admin(admin_mutex_);
  bool exists = false;
  {
    std::shared_lock lock(topics_mutex_);
    auto found = topics_.find(name);
    if (found != topics_.end() && found->second.entry.config.partitions != config.partitions) {
      return user_error("topic " + name + " exists with " +
                            std::to_string(found->second.entry.config.partitions) + " partitions, not " +
                            std::to_string(config.partitions),
                        Code::kExists);
    }
    if (found != topics_.end()) {
      TopicConfig now = found->second.entry.config;
      if (now.retention_us == config.retention_us && now.retention_bytes == config.retention_bytes) return {};
    }
    exists = found != topics_.end();
  }
  if (exists) return change_retention(name, config);
  return add_topic(name, config);
}

Status LogImpl::change_retention(const std::string& name, const TopicConfig& config) {
  TopicsFile file = topics_file();
  TopicConfig& noted = file.topics[name].config;
  noted.retention_us = config.retention_us;
  noted.retention_bytes = config.retention_bytes;
  TM_TRY(file.save(shared_.files, path(kTopicsName)));
  std::unique_lock lock(topics_mutex_);
  Topic& topic = topics_.find(name)->second;
  topic.entry.config = noted;
  for (const auto& partition : topic.partitions) partition->set_retention(noted);
  return {};
}

// The partitions stand on disk before the topics file names them: it decides.
Status LogImpl::add_topic(const std::string& name, const TopicConfig& config) {
  Topic topic;
  topic.entry = {config, new_topic_id(), false};
  for (int32_t i = 0; i < config.partitions; ++i) {
    TM_ASSIGN(auto partition, PartitionLog::create(shared_, {name, Partition(i)}, config, topic.entry.id));
    topic.partitions.push_back(std::move(partition));
  }
  TM_TRY(shared_.files.sync_directory(shared_.directory));
  TopicsFile file = topics_file();
  file.topics[name] = topic.entry;
  TM_TRY(file.save(shared_.files, path(kTopicsName)));
  std::unique_lock lock(topics_mutex_);
  topics_[name] = std::move(topic);
  return {};
}

Status LogImpl::delete_topic(const std::string& name) {
  TM_TRY(usable());
  if (name == kTransactionsTopic) return user_error("topic " + name + " is the log's own");
  std::lock_guard admin(admin_mutex_);
  // Noted first: whatever happens from here on, the next opening goes on with it.
  TopicsFile file = topics_file();
  auto noted = file.topics.find(name);
  if (noted == file.topics.end()) return user_error("the log has no topic " + name, Code::kNotFound);
  noted->second.deleting = true;
  TM_TRY(file.save(shared_.files, path(kTopicsName)));
  Topic gone;
  {
    std::unique_lock lock(topics_mutex_);
    auto found = topics_.find(name);
    gone = std::move(found->second);
    topics_.erase(found);
  }
  for (const auto& partition : gone.partitions) partition->mark_deleted();
  TM_TRY(coordinator_->forget_topic(name));
  return finish_deletions(&file);
}

std::vector<TopicInfo> LogImpl::topics() const {
  std::shared_lock lock(topics_mutex_);
  std::vector<TopicInfo> infos;
  for (const auto& [name, topic] : topics_) infos.push_back({name, topic.entry.config, internal_topic(name)});
  return infos;
}

Result<TopicInfo> LogImpl::topic(const std::string& name) const {
  std::shared_lock lock(topics_mutex_);
  auto found = topics_.find(name);
  if (found == topics_.end()) return user_error("the log has no topic " + name, Code::kNotFound);
  return TopicInfo{name, found->second.entry.config, internal_topic(name)};
}

Result<PartitionInfo> LogImpl::partition(const TopicPartition& tp) const {
  TM_ASSIGN(auto partition, need(tp));
  return partition->info();
}

// ---- producing

Result<Producer> LogImpl::init_idempotent(const std::string& name) {
  TM_TRY(usable());
  return coordinator_->init_idempotent(name);
}

Result<std::optional<int32_t>> LogImpl::last_sequence(const TopicPartition& tp, Producer producer) const {
  TM_ASSIGN(auto partition, need(tp));
  return partition->last_sequence(producer);
}

Result<Producer> LogImpl::init_transactional(const std::string& transactional_id) {
  TM_TRY(usable());
  return coordinator_->init_transactional(transactional_id);
}

Result<Appended> LogImpl::append(const TopicPartition& tp, std::string& batch, bool sealed) {
  TM_ASSIGN(auto partition, need(tp));
  if (tp.topic == kTransactionsTopic) return user_error("topic " + tp.topic + " is the log's own");
  return partition->append(batch, sealed);
}

Status LogImpl::wait_durable(uint64_t sync_ticket) {
  TM_TRY(usable());
  if (!shared_.sync_mode()) return {};
  TM_ASSIGN(bool synced_here, shared_.group.wait(sync_ticket));
  if (synced_here) commit_step("log.append.synced");
  return {};
}

// ---- transactions

Status LogImpl::commit(std::span<const TransactionCommit> transactions) {
  TM_TRY(usable());
  std::vector<PositionCommit> positions;
  for (const TransactionCommit& transaction : transactions) {
    positions.insert(positions.end(), transaction.positions.begin(), transaction.positions.end());
  }
  return coordinator_->commit(transactions, positions);
}

Status LogImpl::commit_positions(std::span<const PositionCommit> positions) {
  TM_TRY(usable());
  return coordinator_->commit({}, positions);
}

Status LogImpl::abort(Producer producer) {
  TM_TRY(usable());
  return coordinator_->abort(producer);
}

std::optional<CommittedPosition> LogImpl::committed_position(const std::string& group,
                                                             const TopicPartition& source) const {
  return coordinator_->committed_position(group, source);
}

// ---- reading

Result<Fetched> LogImpl::read(const TopicPartition& tp, Offset from, size_t max_bytes, Isolation isolation) {
  TM_ASSIGN(auto partition, need(tp));
  return partition->read(from, max_bytes, isolation);
}

Result<Offset> LogImpl::leader_epoch_end(const TopicPartition& tp, LeaderEpoch epoch) const {
  TM_ASSIGN(auto partition, need(tp));
  return partition->leader_epoch_end(epoch);
}

Result<Offset> LogImpl::offset_for_time(const TopicPartition& tp, int64_t timestamp_ms) {
  TM_ASSIGN(auto partition, need(tp));
  return partition->offset_for_time(timestamp_ms);
}

uint64_t LogImpl::wait_visible(uint64_t seen, int64_t timeout_us) {
  return shared_.visible.wait(seen, timeout_us);
}

}  // namespace tidemill::log
