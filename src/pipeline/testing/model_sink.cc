#include "pipeline/testing/model_sink.h"

#include <chrono>
#include <utility>

#include "event/json_splice.h"

namespace tidemill::pipeline::testing {
namespace {

std::string spliced(const Batch& batch, uint32_t row) {
  std::string object(batch.records()[row].value);
  if (batch.added.empty()) return object;
  std::vector<std::string_view> names;
  for (uint32_t column : batch.added) names.push_back(batch.columns[column].name());
  // Always the slow way: it is right whether or not the event has such a member.
  object = remove_members(object, names);
  SplicePoint point = find_splice_point(object);
  std::string value(point.head);
  if (point.comma) value += ',';
  append_added_members(batch, row, &value);
  return value + '}';
}

class ModelOutput final : public SinkOutput {
 public:
  explicit ModelOutput(bool splice) : splice_(splice) {}

  Status write(BatchPtr& batch) override {
    for (uint32_t row : batch->selected) {
      const Record& record = batch->records()[row];
      rows_.push_back(
          {batch->source, record.offset, splice_ ? spliced(*batch, row) : std::string(record.value)});
      bytes_ += sizeof(ModelRow) + rows_.back().value.size();
    }
    for (DeadLetter& letter : batch->dead_letters) {
      bytes_ += sizeof(DeadLetter) + letter.value.size();
      dead_letters_.push_back(std::move(letter));
    }
    batch.reset();
    return {};
  }
  size_t rows() const override { return rows_.size(); }
  size_t bytes() const override { return bytes_; }

  const std::vector<ModelRow>& stored_rows() const { return rows_; }
  const std::vector<DeadLetter>& stored_dead_letters() const { return dead_letters_; }

 private:
  bool splice_;
  size_t bytes_ = 0;
  std::vector<ModelRow> rows_;
  std::vector<DeadLetter> dead_letters_;
};

}  // namespace

class ModelWriter final : public SinkWriter {
 public:
  ModelWriter(std::shared_ptr<ModelStore> store, bool splice) : store_(std::move(store)), splice_(splice) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override {
    std::lock_guard lock(store_->mutex_);
    TM_TRY(store_->check_reachable());
    if (store_->failing_acquires_ > 0) {
      --store_->failing_acquires_;
      return external_error("model store: not reachable", Code::kFailed, true);
    }
    std::vector<Committed> result;
    for (const TopicPartition& source : partitions) {
      Committed& state = store_->partitions_[source];
      ++state.owner;
      result.push_back(state);
    }
    return result;
  }

  Result<std::unique_ptr<SinkOutput>> begin() override {
    return std::unique_ptr<SinkOutput>(std::make_unique<ModelOutput>(splice_));
  }

  Status commit(SinkOutput& output, const CommitRequest& request) override {
    std::unique_lock lock(store_->mutex_);
    TM_TRY(store_->check_reachable());
    time_share_ = store_->most_rows_ == SIZE_MAX
                      ? 0
                      : static_cast<double>(output.rows()) / static_cast<double>(store_->most_rows_);
    if (time_share_ >= 1) return external_error("model store: it took too long", Code::kFailed, true);
    Outcome outcome = Outcome::kSucceed;
    if (!store_->outcomes_.empty()) {
      outcome = store_->outcomes_.front();
      store_->outcomes_.pop_front();
    }
    switch (outcome) {
      case Outcome::kFailRetryable:
        return external_error("model store: busy", Code::kFailed, true);
      case Outcome::kFail:
        return external_error("model store: refused");
      case Outcome::kLostAndUnknown:
        return external_error("model store: no answer", Code::kUnknown);
      case Outcome::kHangBefore:
        hang(lock);
        break;
      default:
        break;
    }
    TM_TRY(store(static_cast<const ModelOutput&>(output), request));
    if (outcome == Outcome::kHangAfter) hang(lock);
    if (outcome == Outcome::kStoredButUnknown) {
      return external_error("model store: no answer", Code::kUnknown);
    }
    return {};
  }

  double time_share() const override { return time_share_; }

  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override {
    {
      std::lock_guard lock(store_->mutex_);
      TM_TRY(store_->check_reachable());
    }
    std::vector<Committed> result;
    for (const TopicPartition& source : partitions) result.push_back(store_->committed(source));
    return result;
  }

 private:
  void hang(std::unique_lock<std::mutex>& lock) {
    store_->hanging_ = true;
    store_->released_ = false;
    store_->changed_.notify_all();
    store_->changed_.wait(lock, [&] { return store_->released_; });
    store_->hanging_ = false;
  }

  Status store(const ModelOutput& output, const CommitRequest& request) {
    for (const PartitionEpoch& part : request.partitions) {
      const Committed& state = store_->partitions_[part.source];
      if (part.owner != state.owner || part.expected != state.position) {
        return external_error("model store: " + part.source.to_string() + ": another owner took over",
                              Code::kFenced);
      }
    }
    for (const PartitionEpoch& part : request.partitions) {
      store_->partitions_[part.source] = {part.next, part.epoch, part.owner, part.counters, part.owner};
      if (!store_->options_.changelog_in_transaction) continue;
      std::deque<std::string>& records = store_->changelog_[part.source].records;
      records.insert(records.end(), part.frame.begin(), part.frame.end());
    }
    store_->rows_.insert(store_->rows_.end(), output.stored_rows().begin(), output.stored_rows().end());
    store_->dead_letters_.insert(store_->dead_letters_.end(), output.stored_dead_letters().begin(),
                                 output.stored_dead_letters().end());
    store_->commit_token_ = request.commit_token;
    ++store_->commits_;
    return {};
  }

  std::shared_ptr<ModelStore> store_;
  bool splice_;
  double time_share_ = 0;
};

void ModelStore::inject(Outcome outcome) {
  std::lock_guard lock(mutex_);
  outcomes_.push_back(outcome);
}
void ModelStore::forget_injected() {
  std::lock_guard lock(mutex_);
  outcomes_.clear();
}
bool ModelStore::wait_hanging(int64_t timeout_us) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::microseconds(timeout_us),
                           [&] { return hanging_ && !released_; });
}
void ModelStore::release() {
  std::lock_guard lock(mutex_);
  released_ = true;
  changed_.notify_all();
}
void ModelStore::set_reachable(std::function<bool()> reachable) {
  std::lock_guard lock(mutex_);
  reachable_ = std::move(reachable);
}
Status ModelStore::check_reachable() const {
  if (!reachable_ || reachable_()) return {};
  return external_error("model store: the process is gone");
}
void ModelStore::set_most_rows(size_t rows) {
  std::lock_guard lock(mutex_);
  most_rows_ = rows;
}
void ModelStore::fail_acquires(int times) {
  std::lock_guard lock(mutex_);
  failing_acquires_ = times;
}
std::vector<ModelRow> ModelStore::rows() const {
  std::lock_guard lock(mutex_);
  return rows_;
}
std::vector<DeadLetter> ModelStore::dead_letters() const {
  std::lock_guard lock(mutex_);
  return dead_letters_;
}
Committed ModelStore::committed(const TopicPartition& source) const {
  std::lock_guard lock(mutex_);
  auto found = partitions_.find(source);
  return found == partitions_.end() ? Committed{} : found->second;
}
uint64_t ModelStore::commits() const {
  std::lock_guard lock(mutex_);
  return commits_;
}
void ModelStore::forget() {
  std::lock_guard lock(mutex_);
  partitions_.clear();
  rows_.clear();
  dead_letters_.clear();
}

std::string ModelStore::last_commit_token() const {
  std::lock_guard lock(mutex_);
  return commit_token_;
}

SinkTraits ModelSink::traits() const {
  SinkTraits traits;
  traits.store = "model store";
  traits.capability = store_->options().capability;
  traits.changelog_in_transaction = store_->options().changelog_in_transaction;
  traits.preferred_rows = store_->options().preferred_rows;
  traits.rows_at_once = store_->options().rows_at_once;
  return traits;
}
SinkNeeds ModelSink::needs() const {
  SinkNeeds needs;
  needs.added_members = splice_;
  return needs;
}
Status ModelSink::prepare(const Schema&) {
  return {};
}
Result<std::unique_ptr<SinkWriter>> ModelSink::open_writer(int) {
  return std::unique_ptr<SinkWriter>(std::make_unique<ModelWriter>(store_, splice_));
}

Status ModelChangelog::append(const TopicPartition& source, const std::vector<std::string>& records) {
  std::lock_guard lock(store_->mutex_);
  std::deque<std::string>& kept = store_->changelog_[source].records;
  kept.insert(kept.end(), records.begin(), records.end());
  return {};
}
Status ModelChangelog::read(const TopicPartition& source,
                            const std::function<Status(int64_t at, std::string_view value)>& each) {
  ModelStore::ChangelogState copy;
  {
    std::lock_guard lock(store_->mutex_);
    copy = store_->changelog_[source];
  }
  int64_t at = copy.first;
  for (const std::string& record : copy.records) TM_TRY(each(at++, record));
  return {};
}
Result<int64_t> ModelChangelog::end(const TopicPartition& source) {
  std::lock_guard lock(store_->mutex_);
  const ModelStore::ChangelogState& state = store_->changelog_[source];
  return state.first + static_cast<int64_t>(state.records.size());
}
Status ModelChangelog::truncate_before(const TopicPartition& source, int64_t at) {
  std::lock_guard lock(store_->mutex_);
  ModelStore::ChangelogState& state = store_->changelog_[source];
  for (; state.first < at && !state.records.empty(); ++state.first) state.records.pop_front();
  return {};
}

}  // namespace tidemill::pipeline::testing
