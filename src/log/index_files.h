// The three index files beside a segment, in Kafka's formats (big-endian; docs/formats/log.md).
//
//   .index      {i32 last offset of a batch − base, i32 the batch's position}
//   .timeindex  {i64 largest timestamp so far, i32 last offset of the batch holding it − base}
//   .txnindex   {i16 0, i64 producer, i64 first, i64 last, i64 last stable offset}: aborted transactions
//
// Indexes are derived from the segment. The active segment's are held in memory and written behind
// it; they are complete on disk once the segment is sealed, and are not trusted before.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "event/position.h"

namespace tidemill::log {

struct OffsetEntry {
  static constexpr size_t kSize = 8;
  int32_t relative_offset = 0;
  int32_t position = 0;
  void encode(char* to) const;
  static OffsetEntry decode(const char* from);
  int64_t key() const { return relative_offset; }
};

struct TimeEntry {
  static constexpr size_t kSize = 12;
  int64_t timestamp_ms = 0;
  int32_t relative_offset = 0;
  void encode(char* to) const;
  static TimeEntry decode(const char* from);
  int64_t key() const { return timestamp_ms; }
};

struct AbortedTransaction {
  static constexpr size_t kSize = 34;
  int64_t producer_id = -1;
  Offset first;
  Offset last;  // of its marker
  Offset last_stable;
  void encode(char* to) const;
  static AbortedTransaction decode(const char* from);
};

// The index of a segment that still grows. Not thread-safe.
template <class Entry>
class ActiveIndex {
 public:
  // Starts with the entries given and writes all of them anew at the next flush.
  Status open(FileSystem& files, const std::string& path, std::vector<Entry> entries);
  void add(const Entry& entry) { entries_.push_back(entry); }
  const std::vector<Entry>& entries() const { return entries_; }
  // Entries that are in memory only.
  size_t pending() const { return entries_.size() - written_; }
  Status flush();
  Status sync() { return file_->sync(); }

 private:
  std::unique_ptr<File> file_;
  std::vector<Entry> entries_;
  size_t written_ = 0;
};

// The last entry whose key is at most `key`, by binary search on the file of a sealed segment.
template <class Entry>
Result<std::optional<Entry>> search_index(FileSystem& files, const std::string& path, int64_t key);
// The last entry; nullopt where there is none. Errors: kCorrupt where the size is not whole entries.
template <class Entry>
Result<std::optional<Entry>> last_entry(FileSystem& files, const std::string& path);
// Every entry. Errors: kCorrupt where the size is not whole entries.
template <class Entry>
Result<std::vector<Entry>> read_index(FileSystem& files, const std::string& path);

}  // namespace tidemill::log
