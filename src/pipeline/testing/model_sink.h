// A transactional store in memory that stands in for real ones: its commits succeed, fail, hang, or
// succeed and report failure, as a test says; several writers may own one partition, one after
// another. The store outlives the sinks over it, as a real store outlives a process.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pipeline/changelog.h"
#include "pipeline/sink.h"

namespace tidemill::pipeline::testing {

// What the next commit does; one is used up by each commit, kSucceed where there is none left.
enum class Outcome {
  kSucceed,
  kFailRetryable,     // nothing is stored; the same commit may be tried again
  kFail,              // nothing is stored, for good
  kStoredButUnknown,  // everything is stored, the answer is lost
  kLostAndUnknown,    // nothing is stored, and the answer is lost
  kHangBefore,        // waits for release(), then goes on as a commit that was delayed on its way
  kHangAfter,         // stores, then waits for release() before it answers
};

struct ModelRow {
  TopicPartition source;
  Offset offset;
  std::string value;  // the event with its added members
};

// Thread-safe.
class ModelStore {
 public:
  struct Options {
    bool changelog_in_transaction = false;
    size_t preferred_rows = 100'000;
    Capability capability = Capability::kTransactional;
    bool rows_at_once = false;  // as the traits have it
  };
  ModelStore() = default;
  explicit ModelStore(Options options) : options_(options) {}

  void inject(Outcome outcome);
  // The store works again: what no commit has used up is dropped.
  void forget_injected();
  // Waits until a commit hangs; false if none does within `timeout_us`.
  bool wait_hanging(int64_t timeout_us);
  void release();
  // Asked at every call: where it answers false, the call fails for good and changes nothing. For a
  // process that is dead while its objects still run.
  void set_reachable(std::function<bool()> reachable);
  // A commit of so many rows or more takes longer than the store allows, and others so much less.
  void set_most_rows(size_t rows);
  // acquire() fails so many times, retryably.
  void fail_acquires(int times);

  const Options& options() const { return options_; }
  std::vector<ModelRow> rows() const;  // in the order of their commits
  std::vector<DeadLetter> dead_letters() const;
  Committed committed(const TopicPartition& source) const;
  uint64_t commits() const;
  std::string last_commit_token() const;
  // As an empty store in its place: rows, positions and owners are gone. The changelog stays.
  void forget();

 private:
  friend class ModelWriter;
  friend class ModelChangelog;
  // One partition's changelog. Truncation keeps positions: `first` is that of records[0].
  struct ChangelogState {
    int64_t first = 0;
    std::deque<std::string> records;
  };

  Status check_reachable() const;  // needs mutex_

  Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Outcome> outcomes_;
  bool hanging_ = false;
  bool released_ = false;
  int failing_acquires_ = 0;
  size_t most_rows_ = SIZE_MAX;
  std::function<bool()> reachable_;
  uint64_t commits_ = 0;
  std::string commit_token_;
  std::map<TopicPartition, Committed> partitions_;
  std::vector<ModelRow> rows_;
  std::vector<DeadLetter> dead_letters_;
  std::map<TopicPartition, ChangelogState> changelog_;
};

class ModelSink final : public Sink {
 public:
  // `splice` false: the sink asks for no added members, and stores the events' bytes as they came.
  explicit ModelSink(std::shared_ptr<ModelStore> store, bool splice = true)
      : store_(std::move(store)), splice_(splice) {}
  SinkTraits traits() const override;
  SinkNeeds needs() const override;
  Status prepare(const Schema& schema) override;
  Result<std::unique_ptr<SinkWriter>> open_writer(int task) override;

 private:
  std::shared_ptr<ModelStore> store_;
  bool splice_;
};

// The store's changelog; a sink with changelog_in_transaction appends to it by itself.
class ModelChangelog final : public Changelog {
 public:
  explicit ModelChangelog(std::shared_ptr<ModelStore> store) : store_(std::move(store)) {}
  size_t max_record_bytes() const override { return SIZE_MAX; }
  Status append(const TopicPartition& source, const std::vector<std::string>& records) override;
  Status sync() override { return {}; }
  Status read(const TopicPartition& source,
              const std::function<Status(int64_t at, std::string_view value)>& each) override;
  Result<int64_t> end(const TopicPartition& source) override;
  Status truncate_before(const TopicPartition& source, int64_t at) override;

 private:
  std::shared_ptr<ModelStore> store_;
};

}  // namespace tidemill::pipeline::testing
