#include "pipeline/testing/sink_session.h"

#include <algorithm>
#include <utility>

namespace tidemill::pipeline::testing {
namespace {

std::string describe(const Committed& committed) {
  if (!committed.position) return "nothing";
  return "offset " + std::to_string(committed.position->offset.value()) + " leader epoch " +
         std::to_string(committed.position->leader_epoch.value()) + " epoch " +
         std::to_string(committed.epoch.value()) + " token " + std::to_string(committed.incarnation.value()) +
         " read " + std::to_string(committed.counters.read) + " stored " +
         std::to_string(committed.counters.stored) + " dead " + std::to_string(committed.counters.dead) +
         " dropped " + std::to_string(committed.counters.dropped);
}
std::string describe(const HarnessId& id) {
  return std::to_string(id.partition.value()) + "/" + std::to_string(id.offset.value());
}

template <class T>
std::string first_difference(const std::vector<T>& expected, const std::vector<T>& stored) {
  size_t at = 0;
  while (at < expected.size() && at < stored.size() && expected[at] == stored[at]) ++at;
  return "expected " + std::to_string(expected.size()) + ", stored " + std::to_string(stored.size()) +
         ", first difference at number " + std::to_string(at);
}

}  // namespace

Error harness_error(const std::string& what) {
  return internal_error("sink harness: " + what);
}

StoreModel::StoreModel() {
  for (int32_t p = 0; p < kHarnessPartitions; ++p) committed_[p] = {};
}

void StoreModel::apply(const FilledEpoch& epoch) {
  for (const PartitionEpoch& part : epoch.request.partitions) {
    int32_t partition = part.source.partition.value();
    committed_[partition] = {part.next, part.epoch, part.owner, part.counters, part.owner};
    auto& frames = frames_[partition];
    frames.insert(frames.end(), part.frame.begin(), part.frame.end());
  }
  for (const HarnessId& id : epoch.rows) rows_[id.partition.value()].push_back(id);
  dead_letters_.insert(dead_letters_.end(), epoch.dead_letters.begin(), epoch.dead_letters.end());
}

Status StoreModel::compare(const StoredContents& stored, bool ordered, bool frames) const {
  std::map<int32_t, std::vector<HarnessId>> by_partition;
  for (const HarnessId& id : stored.rows) by_partition[id.partition.value()].push_back(id);
  for (auto& [partition, ids] : by_partition) {
    if (!ordered) std::sort(ids.begin(), ids.end());
    if (!rows_.contains(partition))
      return harness_error("rows of a partition that has none: " + describe(ids[0]));
  }
  for (const auto& [partition, expected] : rows_) {
    const std::vector<HarnessId>& ids = by_partition[partition];
    if (ids != expected) {
      return harness_error("rows of partition " + std::to_string(partition) + ": " +
                           first_difference(expected, ids));
    }
  }
  std::vector<StoredDeadLetter> expected = dead_letters_;
  std::vector<StoredDeadLetter> letters = stored.dead_letters;
  std::sort(expected.begin(), expected.end());
  std::sort(letters.begin(), letters.end());
  if (letters != expected) return harness_error("dead letters: " + first_difference(expected, letters));
  if (!frames) return {};
  for (const auto& [partition, expected_frames] : frames_) {
    auto found = stored.frames.find(partition);
    const std::vector<std::string> none;
    const std::vector<std::string>& have = found == stored.frames.end() ? none : found->second;
    if (have != expected_frames) {
      return harness_error("changelog of partition " + std::to_string(partition) + ": " +
                           first_difference(expected_frames, have));
    }
  }
  return {};
}

Status StoreModel::compare(int32_t partition, const Committed& stored) const {
  const Committed& expected = committed_.at(partition);
  if (stored.position == expected.position && stored.epoch == expected.epoch &&
      stored.incarnation == expected.incarnation && stored.counters == expected.counters) {
    return {};
  }
  return harness_error("partition " + std::to_string(partition) + ": the sink holds " + describe(stored) +
                       ", expected " + describe(expected));
}

Result<SinkSession> SinkSession::open(Sink& sink, int task) {
  SinkSession session;
  session.needs_ = sink.needs();
  session.sink_ = &sink;
  session.takes_frames_ = sink.traits().changelog_in_transaction;
  TM_ASSIGN(session.writer_, sink.open_writer(task));
  return session;
}

Status SinkSession::acquire(const std::vector<int32_t>& partitions, const StoreModel& model) {
  std::vector<TopicPartition> asked;
  for (int32_t partition : partitions) asked.push_back(harness_partition(partition));
  TM_ASSIGN(std::vector<Committed> held, writer_->acquire(asked));
  if (held.size() != partitions.size()) return harness_error("acquire: not one answer for each partition");
  for (size_t i = 0; i < held.size(); ++i) {
    TM_TRY(model.compare(partitions[i], held[i]));
    Incarnation before = model.committed(partitions[i]).incarnation;
    if (auto mine = tokens_.find(partitions[i]); mine != tokens_.end())
      before = std::max(before, mine->second);
    if (held[i].owner <= before) {
      return harness_error("acquire: token " + std::to_string(held[i].owner.value()) +
                           " does not rise above " + std::to_string(before.value()));
    }
    tokens_[partitions[i]] = held[i].owner;
  }
  return {};
}

Result<FilledEpoch> SinkSession::fill(const std::vector<int32_t>& partitions, size_t records,
                                      const StoreModel& model, size_t batch_records) {
  FilledEpoch epoch;
  TM_ASSIGN(epoch.output, writer_->begin());
  std::vector<Offset> at;
  for (int32_t partition : partitions) {
    const Committed& from = model.committed(partition);
    PartitionEpoch part;
    part.source = harness_partition(partition);
    part.epoch = from.epoch.next();
    part.owner = tokens_.at(partition);
    part.expected = from.position;
    part.counters = from.counters;
    // The first events of a partition are not at offset 0, as after retention.
    at.push_back(from.position ? from.position->offset : Offset(100 + partition));
    part.next = {at.back().next(static_cast<int64_t>(records)), LeaderEpoch(1)};
    if (takes_frames_) {
      part.frame = {"frame of " + describe(HarnessId{Partition(partition), part.next.offset})};
      if (records % 3 == 1) part.frame.push_back("its second part");
    }
    epoch.request.partitions.push_back(std::move(part));
  }
  // Batches of the partitions alternate, as a task's do.
  for (size_t done = 0, batch_size = 0; done < records; done += batch_size) {
    batch_size = std::min(batch_records, records - done);
    for (size_t i = 0; i < partitions.size(); ++i) {
      PartitionEpoch& part = epoch.request.partitions[i];
      BatchPtr batch = harness_batch(part.source, at[i], batch_size, needs_, (done / batch_records) % 2 == 0);
      part.counters.read += batch->size();
      sink_->screen(*batch);
      part.counters.stored += batch->selected.size();
      part.counters.dead += batch->dead_letters.size();
      part.counters.dropped += batch->dropped;
      for (uint32_t row : batch->selected) {
        epoch.rows.push_back({part.source.partition, batch->records()[row].offset});
      }
      for (const DeadLetter& letter : batch->dead_letters) {
        epoch.dead_letters.push_back({{part.source.partition, letter.offset}, letter.reason, letter.value});
      }
      at[i] = batch->end.offset;
      TM_TRY(epoch.output->write(batch));
    }
  }
  if (epoch.output->rows() != epoch.rows.size()) {
    return harness_error("output: says " + std::to_string(epoch.output->rows()) + " rows, was given " +
                         std::to_string(epoch.rows.size()));
  }
  if (!epoch.rows.empty() && epoch.output->bytes() == 0) {
    return harness_error("output: says that its rows have no bytes");
  }
  return epoch;
}

Status SinkSession::commit_to(FilledEpoch& epoch, StoreModel* model) {
  TM_TRY(commit(epoch));
  model->apply(epoch);
  return check(*model);
}

Status SinkSession::expect_fenced(FilledEpoch& epoch, const StoreModel& model) {
  Status status = commit(epoch);
  if (status.ok()) return harness_error("a commit that had to be fenced succeeded");
  if (status.error().code != Code::kFenced) {
    return harness_error("a commit had to be fenced, but: " + status.error().message);
  }
  return check(model);
}

Status SinkSession::check(const StoreModel& model) {
  std::vector<TopicPartition> asked;
  // Not in ascending order: the answer comes in the order asked for.
  for (int32_t p = kHarnessPartitions - 1; p >= 0; --p) asked.push_back(harness_partition(p));
  TM_ASSIGN(std::vector<Committed> held, writer_->committed(asked));
  if (held.size() != asked.size()) return harness_error("committed: not one answer for each partition");
  for (size_t i = 0; i < held.size(); ++i) {
    TM_TRY(model.compare(asked[i].partition.value(), held[i]));
    if (held[i].owner < held[i].incarnation) {
      return harness_error("committed: the token that holds is below that of the last commit");
    }
  }
  return {};
}

}  // namespace tidemill::pipeline::testing
