#include "serve/journaled_sink.h"

#include <algorithm>
#include <utility>

#include "base/logging.h"
#include "serve/dead_letters.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::PartitionEpoch;

void JournaledOutput::note(const Batch& batch) {
  Letters& letters = letters_[batch.source];
  if (!letters.first) letters.first = batch.first;
  rows_ += batch.selected.size();
  for (const DeadLetter& letter : batch.dead_letters) {
    std::string& to = piece(&letters.lines);
    size_t before = to.size();
    append_dead_letter_json(letter, &to);
    to += '\n';
    bytes_ += to.size() - before;
  }
}

std::string& JournaledOutput::piece(std::vector<std::string>* pieces) {
  constexpr size_t kPieceBytes = 1u << 20;
  if (pieces->empty() || pieces->back().size() >= kPieceBytes) {
    pieces->emplace_back();
    pieces->back().reserve(kPieceBytes + (kPieceBytes >> 3));
  }
  return pieces->back();
}

Status JournaledWriter::recover(const TopicPartition& source, JournaledPartition& partition) {
  if (partition.recovered) return {};
  auto found = base_.found_.find(source);
  if (found != base_.found_.end()) partition.state = found->second;
  TM_TRY(partition.recover_rows());
  TM_TRY(partition.dead.recover(partition.state.dead));
  partition.recovered = true;
  return {};
}

Result<std::vector<Committed>> JournaledWriter::acquire(std::span<const TopicPartition> partitions) {
  std::vector<Committed> result;
  for (const TopicPartition& source : partitions) {
    JournaledPartition& partition = base_.partition(source);
    std::lock_guard lock(partition.mutex);
    TM_TRY(recover(source, partition));
    PartitionState next = partition.state;
    ++next.committed.owner;
    TM_TRY(base_.journal_->append({{source, next}}));
    partition.state = next;
    owned_[source] = next.committed.owner;
    result.push_back(next.committed);
  }
  return result;
}

void JournaledWriter::release(std::span<const TopicPartition> partitions) {
  if (Status closed = close_files({partitions.begin(), partitions.end()}, false); !closed.ok()) {
    // The rows are committed; the next run closes the files.
    log_warning("files: an open file stays under its temporary name: " + closed.error().message);
  }
  for (const TopicPartition& source : partitions) owned_.erase(source);
}

Result<std::vector<Committed>> JournaledWriter::committed(std::span<const TopicPartition> partitions) {
  // After a failed sync only the disk knows, and it is asked at the next start.
  TM_TRY(base_.journal_->check());
  std::vector<Committed> result;
  for (const TopicPartition& source : partitions) {
    JournaledPartition& partition = base_.partition(source);
    std::lock_guard lock(partition.mutex);
    auto found = base_.found_.find(source);
    bool from_journal = !partition.recovered && found != base_.found_.end();
    result.push_back(from_journal ? found->second.committed : partition.state.committed);
  }
  return result;
}

Status JournaledWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  // In the order of their names, so that two commits never wait for one another.
  std::map<TopicPartition, const PartitionEpoch*> parts;
  for (const PartitionEpoch& part : request.partitions) parts[part.source] = &part;
  std::vector<std::unique_lock<std::mutex>> locks;
  for (const auto& [source, part] : parts) {
    JournaledPartition& partition = base_.partition(source);
    locks.emplace_back(partition.mutex);
    const Committed& held = partition.state.committed;
    if (!partition.recovered || part->owner != held.owner || part->expected != held.position) {
      return external_error("files: " + source.to_string() + ": another owner took over", Code::kFenced);
    }
  }

  PartitionStates next;
  Status written;
  for (const auto& [source, part] : parts) {
    written = write(static_cast<JournaledOutput&>(output), *part, base_.partition(source), &next[source]);
    if (!written.ok()) break;
  }
  if (written.ok()) written = base_.journal_->append(next);
  if (!written.ok()) {
    Error error = std::move(written).error();
    if (error.code == Code::kUnknown) return error;
    for (const auto& [source, part] : parts) {
      JournaledPartition& partition = base_.partition(source);
      for (const Status& cut : {partition.cut_rows(), partition.dead.cut()}) {
        if (cut.ok()) continue;
        error.retryable = false;
        error.message += "; and what was written could not be cut again: " + cut.error().message;
      }
    }
    return error;
  }
  for (const auto& [source, state] : next) accept(state, base_.partition(source));
  locks.clear();

  std::vector<TopicPartition> others;
  for (const auto& [source, token] : owned_) {
    if (!parts.contains(source)) others.push_back(source);
  }
  if (Status closed = close_files(others, true); !closed.ok()) {
    log_warning("files: an open file is closed later: " + closed.error().message);
  }
  return {};
}

Status JournaledWriter::write(JournaledOutput& output, const PartitionEpoch& part,
                              JournaledPartition& partition, PartitionState* next) {
  const JournaledOutput::Letters& letters = output.letters(part.source);
  Offset start = part.expected ? part.expected->offset : letters.first.value_or(Offset(0));
  next->committed = {part.next, part.epoch, part.owner, part.counters, part.owner};
  TM_TRY(write_rows(output, part.source, start, partition, next));
  TM_ASSIGN(next->dead, write_chain(partition.dead, start, letters.lines));
  return {};
}

Result<std::optional<ChainFile>> JournaledWriter::write_chain(FilesChain& chain, Offset start,
                                                              const std::vector<std::string>& pieces) {
  // A file whose name could not be given last time.
  if (chain.roll_due()) TM_TRY(chain.roll());
  std::optional<ChainFile> next = chain.newest();
  if (!pieces.empty()) {
    TM_ASSIGN(next, chain.write(start, base_.clock_.wall_us(), {pieces.begin(), pieces.end()}));
  }
  if (next && !next->closed) next->closed = due(*next);
  return next;
}

bool JournaledWriter::due(const ChainFile& file) const {
  int64_t age_us = base_.clock_.wall_us() - file.opened_us;
  return file.length_bytes >= base_.journaled_.roll_bytes || age_us >= base_.journaled_.roll_interval_us;
}

void JournaledWriter::accept(const PartitionState& next, JournaledPartition& partition) {
  partition.state = next;
  if (next.dead) partition.dead.accept(*next.dead);
  partition.accept_rows(next);
  roll_chain(partition.dead);
}

void roll_chain(FilesChain& chain) {
  if (!chain.roll_due()) return;
  if (Status rolled = chain.roll(); !rolled.ok()) {
    // The commit is durable whatever becomes of the name; the next one tries again.
    log_warning("files: a full file keeps its temporary name for now: " + rolled.error().message);
  }
}

Status JournaledWriter::close_files(const std::vector<TopicPartition>& sources, bool only_due) {
  for (const TopicPartition& source : sources) {
    auto owned = owned_.find(source);
    if (owned == owned_.end()) continue;
    JournaledPartition& partition = base_.partition(source);
    std::lock_guard lock(partition.mutex);
    if (partition.state.committed.owner != owned->second) continue;
    PartitionState next = partition.state;
    bool changes = false;
    for (std::optional<ChainFile>* file : {&next.rows, &next.dead}) {
      if (!*file || (*file)->closed || (only_due && !due(**file))) continue;
      (*file)->closed = changes = true;
    }
    if (changes) {
      TM_TRY(base_.journal_->append({{source, next}}));
      accept(next, partition);
    }
  }
  return {};
}

JournaledSink::JournaledSink(FileSystem& files, Clock& clock, JournaledSinkOptions options)
    : files_(files), clock_(clock), journaled_(std::move(options)) {}

Status JournaledSink::open_journal() {
  const std::string own = join_path(journaled_.directory, ".tidemill");
  // As long as nothing is committed all that leads here may be new.
  bool fresh = !files_.exists(join_path(own, "journal"));
  if (Status made = create_durable_directories(files_, own, fresh ? SIZE_MAX : 0); !made.ok()) {
    Error error = std::move(made).error();
    error.message += "; " + journaled_.setting + " names a folder that can be written";
    return error;
  }
  auto locked = files_.lock(join_path(own, "lock"));
  if (!locked.ok()) return std::move(locked).error().within(journaled_.setting);
  lock_ = std::move(locked).value();
  found_.clear();
  TM_ASSIGN(journal_, FilesJournal::open(files_, join_path(own, "journal"), journaled_.journal, &found_));
  return {};
}

JournaledPartition& JournaledSink::partition(const TopicPartition& source) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<JournaledPartition>& found = partitions_[source];
  if (found == nullptr)
    found = make_partition(source, join_path(journaled_.dead_directory, folder_name(source)));
  return *found;
}

}  // namespace tidemill::serve
