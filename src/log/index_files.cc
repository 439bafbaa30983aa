#include "log/index_files.h"

#include <algorithm>

#include "base/bytes.h"

namespace tidemill::log {

void OffsetEntry::encode(char* to) const {
  store_be(to, relative_offset);
  store_be(to + 4, position);
}
OffsetEntry OffsetEntry::decode(const char* from) {
  return {load_be<int32_t>(from), load_be<int32_t>(from + 4)};
}

void TimeEntry::encode(char* to) const {
  store_be(to, timestamp_ms);
  store_be(to + 8, relative_offset);
}
TimeEntry TimeEntry::decode(const char* from) {
  return {load_be<int64_t>(from), load_be<int32_t>(from + 8)};
}

void AbortedTransaction::encode(char* to) const {
  store_be(to, int16_t{0});
  store_be(to + 2, producer_id);
  store_be(to + 10, first.value());
  store_be(to + 18, last.value());
  store_be(to + 26, last_stable.value());
}
AbortedTransaction AbortedTransaction::decode(const char* from) {
  return {load_be<int64_t>(from + 2), Offset(load_be<int64_t>(from + 10)),
          Offset(load_be<int64_t>(from + 18)), Offset(load_be<int64_t>(from + 26))};
}

template <class Entry>
Status ActiveIndex<Entry>::open(FileSystem& files, const std::string& path, std::vector<Entry> entries) {
  TM_ASSIGN(file_, files.open(path, OpenMode::kCreate));
  TM_TRY(file_->truncate(0));
  entries_ = std::move(entries);
  written_ = 0;
  return {};
}

template <class Entry>
Status ActiveIndex<Entry>::flush() {
  if (pending() == 0) return {};
  std::string bytes(pending() * Entry::kSize, '\0');
  char* to = bytes.data();
  for (size_t i = written_; i < entries_.size(); ++i, to += Entry::kSize) entries_[i].encode(to);
  TM_TRY(file_->write_at(written_ * Entry::kSize, bytes));
  written_ = entries_.size();
  return {};
}

namespace {

template <class Entry>
Result<uint64_t> entry_count(File& file) {
  TM_ASSIGN(uint64_t size, file.size());
  if (size % Entry::kSize != 0) {
    return external_error(file.path() + ": " + std::to_string(size) + " bytes are not whole index entries",
                          Code::kCorrupt);
  }
  return size / Entry::kSize;
}

template <class Entry>
Result<Entry> entry_at(File& file, uint64_t number) {
  char bytes[Entry::kSize];
  TM_ASSIGN(size_t read, file.read_at(number * Entry::kSize, bytes, sizeof bytes));
  if (read != sizeof bytes) return external_error(file.path() + ": ends early", Code::kCorrupt);
  return Entry::decode(bytes);
}

}  // namespace

template <class Entry>
Result<std::optional<Entry>> search_index(FileSystem& files, const std::string& path, int64_t key) {
  TM_ASSIGN(auto file, files.open(path, OpenMode::kRead));
  TM_ASSIGN(uint64_t high, entry_count<Entry>(*file));
  uint64_t low = 0;  // entries below `low` are at most `key`, those from `high` on are above it
  std::optional<Entry> found;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    TM_ASSIGN(Entry entry, entry_at<Entry>(*file, middle));
    if (entry.key() <= key) {
      found = entry;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return found;
}

template <class Entry>
Result<std::optional<Entry>> last_entry(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto file, files.open(path, OpenMode::kRead));
  TM_ASSIGN(uint64_t count, entry_count<Entry>(*file));
  if (count == 0) return std::optional<Entry>();
  TM_ASSIGN(Entry entry, entry_at<Entry>(*file, count - 1));
  return std::optional<Entry>(entry);
}

template <class Entry>
Result<std::vector<Entry>> read_index(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto file, files.open(path, OpenMode::kRead));
  TM_ASSIGN(uint64_t count, entry_count<Entry>(*file));
  std::string bytes(count * Entry::kSize, '\0');
  TM_ASSIGN(size_t read, file->read_at(0, bytes.data(), bytes.size()));
  if (read != bytes.size()) return external_error(path + ": ends early", Code::kCorrupt);
  std::vector<Entry> entries;
  entries.reserve(count);
  for (uint64_t i = 0; i < count; ++i) entries.push_back(Entry::decode(bytes.data() + i * Entry::kSize));
  return entries;
}

template class ActiveIndex<OffsetEntry>;
template class ActiveIndex<TimeEntry>;
template class ActiveIndex<AbortedTransaction>;
template Result<std::optional<OffsetEntry>> search_index(FileSystem&, const std::string&, int64_t);
template Result<std::optional<TimeEntry>> search_index(FileSystem&, const std::string&, int64_t);
template Result<std::optional<OffsetEntry>> last_entry(FileSystem&, const std::string&);
template Result<std::optional<TimeEntry>> last_entry(FileSystem&, const std::string&);
template Result<std::vector<OffsetEntry>> read_index(FileSystem&, const std::string&);
template Result<std::vector<TimeEntry>> read_index(FileSystem&, const std::string&);
template Result<std::vector<AbortedTransaction>> read_index(FileSystem&, const std::string&);

}  // namespace tidemill::log
