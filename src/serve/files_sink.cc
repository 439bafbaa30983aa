#include "serve/files_sink.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/logging.h"
#include "serve/files_output.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

class FilesWriter final : public pipeline::SinkWriter {
 public:
  explicit FilesWriter(FilesSink& sink) : sink_(sink) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override;
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(
        std::make_unique<FilesOutput>(sink_.options_.form, sink_.fields_));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;

 private:
  using Partition = FilesSink::Partition;

  Status recover(const TopicPartition& source, Partition& partition);
  Status write(FilesOutput& output, const PartitionEpoch& part, Partition& partition, PartitionState* next);
  Result<std::optional<ChainFile>> write_chain(FilesChain& chain, Offset start, bool force_close,
                                               const std::vector<std::string>& pieces);
  bool due(const ChainFile& file) const;
  // Accepts what the journal now holds.
  void accept(const PartitionState& next, Partition& partition);
  static void roll(FilesChain& chain);
  // Closes the open files of partitions that this writer owns, all or only those that are due by age.
  Status close_files(const std::vector<TopicPartition>& sources, bool only_due);

  FilesSink& sink_;
  std::map<TopicPartition, Incarnation> owned_;
};

Status FilesWriter::recover(const TopicPartition& source, Partition& partition) {
  if (partition.recovered) return {};
  auto found = sink_.found_.find(source);
  if (found != sink_.found_.end()) partition.state = found->second;
  TM_TRY(partition.rows.recover(partition.state.rows));
  TM_TRY(partition.dead.recover(partition.state.dead));
  partition.recovered = true;
  return {};
}

Result<std::vector<Committed>> FilesWriter::acquire(std::span<const TopicPartition> partitions) {
  std::vector<Committed> result;
  for (const TopicPartition& source : partitions) {
    Partition& partition = sink_.partition(source);
    std::lock_guard lock(partition.mutex);
    TM_TRY(recover(source, partition));
    PartitionState next = partition.state;
    ++next.committed.owner;
    TM_TRY(sink_.journal_->append({{source, next}}));
    partition.state = next;
    owned_[source] = next.committed.owner;
    result.push_back(next.committed);
  }
  return result;
}

void FilesWriter::release(std::span<const TopicPartition> partitions) {
  if (Status closed = close_files({partitions.begin(), partitions.end()}, false); !closed.ok()) {
    // The rows are committed; the next run closes the files.
    log_warning("files: an open file stays under its temporary name: " + closed.error().message);
  }
  for (const TopicPartition& source : partitions) owned_.erase(source);
}

Result<std::vector<Committed>> FilesWriter::committed(std::span<const TopicPartition> partitions) {
  // After a failed sync only the disk knows, and it is asked at the next start.
  TM_TRY(sink_.journal_->check());
  std::vector<Committed> result;
  for (const TopicPartition& source : partitions) {
    Partition& partition = sink_.partition(source);
    std::lock_guard lock(partition.mutex);
    auto found = sink_.found_.find(source);
    bool from_journal = !partition.recovered && found != sink_.found_.end();
    result.push_back(from_journal ? found->second.committed : partition.state.committed);
  }
  return result;
}

Status FilesWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  // In the order of their names, so that two commits never wait for one another.
  std::map<TopicPartition, const PartitionEpoch*> parts;
  for (const PartitionEpoch& part : request.partitions) parts[part.source] = &part;
  std::vector<std::unique_lock<std::mutex>> locks;
  for (const auto& [source, part] : parts) {
    Partition& partition = sink_.partition(source);
    locks.emplace_back(partition.mutex);
    const Committed& held = partition.state.committed;
    if (!partition.recovered || part->owner != held.owner || part->expected != held.position) {
      return external_error("files: " + source.to_string() + ": another owner took over", Code::kFenced);
    }
  }

  PartitionStates next;
  Status written;
  for (const auto& [source, part] : parts) {
    written = write(static_cast<FilesOutput&>(output), *part, sink_.partition(source), &next[source]);
    if (!written.ok()) break;
  }
  if (written.ok()) written = sink_.journal_->append(next);
  if (!written.ok()) {
    Error error = std::move(written).error();
    if (error.code == Code::kUnknown) return error;
    for (const auto& [source, part] : parts) {
      for (FilesChain* chain : {&sink_.partition(source).rows, &sink_.partition(source).dead}) {
        if (Status cut = chain->cut(); !cut.ok()) {
          error.retryable = false;
          error.message += "; and what was written could not be cut again: " + cut.error().message;
        }
      }
    }
    return error;
  }
  for (const auto& [source, state] : next) accept(state, sink_.partition(source));
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

Status FilesWriter::write(FilesOutput& output, const PartitionEpoch& part, Partition& partition,
                          PartitionState* next) {
  const FilesOutput::Lines& lines = output.lines(part.source);
  Offset start = part.expected ? part.expected->offset : lines.first.value_or(Offset(0));
  next->committed = {part.next, part.epoch, part.owner, part.counters, part.owner};
  TM_ASSIGN(next->rows, write_chain(partition.rows, start, false, lines.rows));
  TM_ASSIGN(next->dead, write_chain(partition.dead, start, false, lines.dead));
  return {};
}

Result<std::optional<ChainFile>> FilesWriter::write_chain(FilesChain& chain, Offset start, bool force_close,
                                                          const std::vector<std::string>& pieces) {
  // A file whose name could not be given last time.
  if (chain.roll_due()) TM_TRY(chain.roll());
  std::optional<ChainFile> next = chain.newest();
  if (!pieces.empty()) {
    TM_ASSIGN(next, chain.write(start, sink_.clock_.wall_us(), {pieces.begin(), pieces.end()}));
  }
  if (next && !next->closed) next->closed = force_close || due(*next);
  return next;
}

bool FilesWriter::due(const ChainFile& file) const {
  int64_t age_us = sink_.clock_.wall_us() - file.opened_us;
  return file.length_bytes >= sink_.options_.roll_bytes || age_us >= sink_.options_.roll_interval_us;
}

void FilesWriter::accept(const PartitionState& next, Partition& partition) {
  partition.state = next;
  if (next.rows) partition.rows.accept(*next.rows);
  if (next.dead) partition.dead.accept(*next.dead);
  roll(partition.rows);
  roll(partition.dead);
}

void FilesWriter::roll(FilesChain& chain) {
  if (!chain.roll_due()) return;
  if (Status rolled = chain.roll(); !rolled.ok()) {
    // The commit is durable whatever becomes of the name; the next one tries again.
    log_warning("files: a full file keeps its temporary name for now: " + rolled.error().message);
  }
}

Status FilesWriter::close_files(const std::vector<TopicPartition>& sources, bool only_due) {
  for (const TopicPartition& source : sources) {
    auto owned = owned_.find(source);
    if (owned == owned_.end()) continue;
    Partition& partition = sink_.partition(source);
    std::lock_guard lock(partition.mutex);
    if (partition.state.committed.owner != owned->second) continue;
    PartitionState next = partition.state;
    bool changes = false;
    for (std::optional<ChainFile>* file : {&next.rows, &next.dead}) {
      if (!*file || (*file)->closed || (only_due && !due(**file))) continue;
      (*file)->closed = changes = true;
    }
    if (changes) {
      TM_TRY(sink_.journal_->append({{source, next}}));
      accept(next, partition);
    }
  }
  return {};
}

FilesSink::FilesSink(FileSystem& files, Clock& clock, FilesSinkOptions options)
    : files_(files), clock_(clock), options_(std::move(options)) {}
FilesSink::~FilesSink() = default;

pipeline::SinkTraits FilesSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "files in " + options_.directory;
  traits.preferred_rows = 50'000;
  traits.visibility_delay_us = options_.roll_interval_us;
  return traits;
}

pipeline::SinkNeeds FilesSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.added_members = options_.form == JsonForm::kSplice;
  needs.all_columns = options_.form == JsonForm::kRebuild;
  return needs;
}

Status FilesSink::prepare(const Schema& schema) {
  const std::string& dead = options_.dead_folder;
  if (dead.starts_with('.') || dead.find('/') != std::string::npos ||
      (!dead.empty() && std::isdigit(static_cast<unsigned char>(dead.back())) != 0)) {
    return user_error("dead_letters.name: " + dead +
                      " cannot be a folder beside the partitions' folders; choose a name without '/', not "
                      "beginning with '.' and not ending in a digit");
  }
  fields_ = schema.fields;
  std::string own = join_path(options_.directory, ".tidemill");
  // As long as nothing is committed all that leads here may be new.
  bool fresh = !files_.exists(join_path(own, "journal"));
  TM_TRY(create_durable_directories(files_, own, fresh ? SIZE_MAX : 0));
  auto locked = files_.lock(join_path(own, "lock"));
  if (!locked.ok()) return std::move(locked).error().within("serve.files.directory");
  lock_ = std::move(locked).value();
  found_.clear();
  TM_ASSIGN(journal_, FilesJournal::open(files_, join_path(own, "journal"), options_.journal, &found_));
  return {};
}

Result<std::unique_ptr<pipeline::SinkWriter>> FilesSink::open_writer(int) {
  TM_CHECK(journal_ != nullptr, "prepare() comes first");
  return std::unique_ptr<pipeline::SinkWriter>(std::make_unique<FilesWriter>(*this));
}

FilesSink::Partition& FilesSink::partition(const TopicPartition& source) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Partition>& found = partitions_[source];
  if (found == nullptr) {
    std::string dead = options_.dead_folder.empty() ? "dead-letters" : options_.dead_folder;
    std::string name = folder_name(source);
    found = std::make_unique<Partition>(files_, join_path(options_.directory, name),
                                        join_path(join_path(options_.directory, dead), name));
  }
  return *found;
}

}  // namespace tidemill::serve
