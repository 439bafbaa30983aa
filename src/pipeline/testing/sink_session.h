// The sink harness's model of a store, and a sink session beside it. Not for use outside the harness.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/testing/sink_harness.h"

namespace tidemill::pipeline::testing {

inline const std::string kHarnessTopic = "harness";
inline TopicPartition harness_partition(int32_t number) {
  return {kHarnessTopic, Partition(number)};
}
inline constexpr int32_t kHarnessPartitions = 3;

Error harness_error(const std::string& what);

// An epoch that was given to a sink: what the store must hold more once it is committed.
struct FilledEpoch {
  std::unique_ptr<SinkOutput> output;
  CommitRequest request;
  std::vector<HarnessId> rows;
  std::vector<StoredDeadLetter> dead_letters;
};

// What the store must hold.
class StoreModel {
 public:
  StoreModel();
  const Committed& committed(int32_t partition) const { return committed_.at(partition); }
  void apply(const FilledEpoch& epoch);
  Status compare(const StoredContents& stored, bool ordered, bool frames) const;
  // Whether it is what the model says, the token that holds now aside.
  Status compare(int32_t partition, const Committed& stored) const;

 private:
  std::map<int32_t, Committed> committed_;
  std::map<int32_t, std::vector<HarnessId>> rows_;
  std::vector<StoredDeadLetter> dead_letters_;
  std::map<int32_t, std::vector<std::string>> frames_;
};

// A writer with what it owns.
class SinkSession {
 public:
  // Opens a writer; `sink` must outlive the session.
  static Result<SinkSession> open(Sink& sink, int task);

  // Takes partitions over and checks what the sink says of them against the model.
  Status acquire(const std::vector<int32_t>& partitions, const StoreModel& model);
  // One epoch of `records` each of these partitions, in batches of different sizes.
  Result<FilledEpoch> fill(const std::vector<int32_t>& partitions, size_t records, const StoreModel& model,
                           size_t batch_records = 100);
  Status commit(FilledEpoch& epoch) { return writer_->commit(*epoch.output, epoch.request); }
  // Commits and moves the model on.
  Status commit_to(FilledEpoch& epoch, StoreModel* model);
  // The commit must be fenced and leave what the model says.
  Status expect_fenced(FilledEpoch& epoch, const StoreModel& model);
  // committed() against the model.
  Status check(const StoreModel& model);
  // Goes on as the owner with this token, without a takeover.
  void assume_token(int32_t partition, Incarnation token) { tokens_[partition] = token; }
  SinkWriter& writer() { return *writer_; }

 private:
  const Sink* sink_ = nullptr;
  SinkNeeds needs_;
  bool takes_frames_ = false;
  std::unique_ptr<SinkWriter> writer_;
  std::map<int32_t, Incarnation> tokens_;
};

}  // namespace tidemill::pipeline::testing
