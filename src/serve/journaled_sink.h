// A sink in a folder that commits by a journal (files_journal.h): what those of JSON Lines and of Parquet
// have in common. Of each input partition, one after another: the lock, the compare of the commit, the dead
// letters, the record that decides. What the rows are is the derived class's.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "pipeline/sink.h"
#include "serve/files_chain.h"

namespace tidemill::serve {

struct JournaledSinkOptions {
  std::string directory;
  std::string dead_directory;  // the partitions' folders of dead letters are in it
  // A chain's file is closed when it has grown to this, or was opened this long ago and a commit comes by;
  // and at the end of the run.
  uint64_t roll_bytes = 128u << 20;
  int64_t roll_interval_us = 60'000'000;
  std::string setting;  // that names the directory, for messages
  FilesJournal::Options journal;
};

// One input partition. Whoever commits or takes over holds the lock from its first write to the end: a
// takeover waits a commit out. All functions are called with it held.
class JournaledPartition {
 public:
  JournaledPartition(FileSystem& files, const std::string& dead_directory) : dead(files, dead_directory) {}
  virtual ~JournaledPartition() = default;
  // Brings the rows to what `state` says, which the journal holds.
  virtual Status recover_rows() = 0;
  // Takes back what was written and is not in the journal.
  virtual Status cut_rows() = 0;
  // `next` is in the journal now.
  virtual void accept_rows(const PartitionState& next) = 0;

  std::mutex mutex;
  bool recovered = false;
  PartitionState state;
  FilesChain dead;
};

// An epoch's dead letters, and where it begins; its rows are the derived class's.
class JournaledOutput : public pipeline::SinkOutput {
 public:
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }

  // Of one input partition. Pieces end anywhere; together they are whole lines.
  struct Letters {
    std::optional<Offset> first;  // of the first batch
    std::vector<std::string> lines;
  };
  const Letters& letters(const TopicPartition& source) { return letters_[source]; }

 protected:
  // The part of write() that is not about rows.
  void note(const Batch& batch);
  // Where the next line goes: pieces of about 1 MiB, which are never moved once they are full.
  static std::string& piece(std::vector<std::string>* pieces);

  size_t rows_ = 0;
  size_t bytes_ = 0;

 private:
  std::map<TopicPartition, Letters> letters_;
};

class JournaledSink : public pipeline::Sink {
 public:
  JournaledSink(FileSystem& files, Clock& clock, JournaledSinkOptions options);

 protected:
  friend class JournaledWriter;
  // Takes the directory's lock and reads its journal. Errors: kExists while another process has it; kCorrupt.
  Status open_journal();
  bool journal_open() const { return journal_ != nullptr; }
  // What the journal held when it was opened.
  const PartitionStates& found() const { return found_; }
  virtual std::unique_ptr<JournaledPartition> make_partition(const TopicPartition& source,
                                                             const std::string& dead_directory) = 0;
  JournaledPartition& partition(const TopicPartition& source);

  FileSystem& files_;
  Clock& clock_;
  const JournaledSinkOptions journaled_;

 private:
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<FilesJournal> journal_;
  PartitionStates found_;
  std::mutex mutex_;  // of the map
  std::map<TopicPartition, std::unique_ptr<JournaledPartition>> partitions_;
};

class JournaledWriter : public pipeline::SinkWriter {
 public:
  explicit JournaledWriter(JournaledSink& sink) : base_(sink) {}

  Result<std::vector<pipeline::Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override;
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<pipeline::Committed>> committed(std::span<const TopicPartition> partitions) override;

 protected:
  // Writes the epoch's rows of one partition, which begins at `start`, durably, and says in `next` what the
  // journal is to say of them.
  virtual Status write_rows(pipeline::SinkOutput& output, const TopicPartition& source, Offset start,
                            JournaledPartition& partition, PartitionState* next) = 0;
  // The same of a chain.
  Result<std::optional<ChainFile>> write_chain(FilesChain& chain, Offset start,
                                               const std::vector<std::string>& pieces);
  bool due(const ChainFile& file) const;

 private:
  Status recover(const TopicPartition& source, JournaledPartition& partition);
  Status write(JournaledOutput& output, const pipeline::PartitionEpoch& part, JournaledPartition& partition,
               PartitionState* next);
  // Accepts what the journal now holds.
  void accept(const PartitionState& next, JournaledPartition& partition);
  // Closes the open files of partitions that this writer owns, all or only those that are due by age.
  Status close_files(const std::vector<TopicPartition>& sources, bool only_due);

  JournaledSink& base_;
  std::map<TopicPartition, pipeline::Incarnation> owned_;
};

// Gives a closed file its final name, if that is due. Its rows are committed whatever becomes of the name:
// where that fails, the next commit tries again.
void roll_chain(FilesChain& chain);

}  // namespace tidemill::serve
