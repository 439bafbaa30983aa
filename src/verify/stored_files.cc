// Rows and dead letters in files of JSON Lines (docs/formats/files.md).
//
// Committed is what stands in files that have their final names, and in the newest file of each chain up to
// the length that the journal says, whatever its name.
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <set>

#include "base/crc32c.h"
#include "verify/commit_journal.h"
#include "verify/stored_json.h"
#include "verify/stores.h"

namespace tidemill::verify {
namespace {

constexpr uint64_t kMaxJournalBytes = 1u << 30;
constexpr size_t kReadBytes = 1u << 20;

std::string final_name(int64_t start) {
  char text[32];
  std::snprintf(text, sizeof text, "%020lld.jsonl", static_cast<long long>(start));
  return text;
}

// A file as far as it is committed.
struct CommittedFile {
  std::string path;
  uint64_t size_bytes = 0;
};

struct FileChain {
  int32_t partition = 0;
  std::vector<CommittedFile> files;  // in the order of their rows
};

Result<CommittedFile> newest_file(FileSystem& files, const std::string& folder, const JournalFile& newest) {
  // While it is read an open file may get its final name: the one or the other is there.
  std::string name = final_name(newest.start);
  for (const std::string& path : {join_path(folder, "." + name + ".open"), join_path(folder, name)}) {
    auto opened = files.open(path, OpenMode::kRead);
    if (!opened.ok() && opened.error().code == Code::kNotFound) continue;
    if (!opened.ok()) return std::move(opened).error();
    TM_ASSIGN(uint64_t size, (*opened)->size());
    if (size < newest.length_bytes) {
      return internal_error(path + ": it has " + std::to_string(size) + " bytes, " +
                                std::to_string(newest.length_bytes) + " are committed",
                            Code::kCorrupt);
    }
    uint32_t crc = 0;
    std::string buffer(kReadBytes, '\0');
    for (uint64_t at = 0; at < newest.length_bytes;) {
      auto wanted = static_cast<size_t>(std::min<uint64_t>(kReadBytes, newest.length_bytes - at));
      TM_ASSIGN(size_t got, (*opened)->read_at(at, buffer.data(), wanted));
      if (got == 0) break;
      crc = crc32c(std::string_view(buffer).substr(0, got), crc);
      at += got;
    }
    if (crc != newest.crc32c)
      return internal_error(path + ": it holds other bytes than were committed", Code::kCorrupt);
    return CommittedFile{path, newest.length_bytes};
  }
  return external_error(join_path(folder, name) + ": it is committed, but not there", Code::kNotFound);
}

Result<FileChain> open_chain(FileSystem& files, const std::string& folder, int32_t partition,
                             const std::optional<JournalFile>& newest) {
  FileChain chain;
  chain.partition = partition;
  std::vector<std::string> names;
  if (files.exists(folder)) {
    TM_ASSIGN(names, files.list(folder));
  }
  const std::string newest_name = newest ? final_name(newest->start) : "";
  for (const std::string& name : names) {
    if (name.starts_with('.') || !name.ends_with(".jsonl") || name == newest_name) continue;
    std::string path = join_path(folder, name);
    TM_ASSIGN(auto file, files.open(path, OpenMode::kRead));
    TM_ASSIGN(uint64_t size, file->size());
    chain.files.push_back({std::move(path), size});
  }
  if (newest) {
    TM_ASSIGN(CommittedFile file, newest_file(files, folder, *newest));
    chain.files.push_back(std::move(file));
  }
  return chain;
}

// Every folder in `directory` must be one of those expected: rows that nobody accounts for are a fault.
Status check_folders(FileSystem& files, const std::string& directory, const std::set<std::string>& expected) {
  if (!files.exists(directory)) return ok_status();
  TM_ASSIGN(std::vector<std::string> names, files.list(directory));
  for (const std::string& name : names) {
    if (name.starts_with('.') || expected.contains(name)) continue;
    return user_error(join_path(directory, name) + ": it belongs to no partition of the input");
  }
  return ok_status();
}

Result<std::vector<FileChain>> open_chains(FileSystem& files, const FilesFolder& folder, bool dead) {
  JournalStates states;
  std::string journal = folder.journal;
  if (journal.empty()) journal = join_path(join_path(folder.directory, ".tidemill"), "journal");
  if (files.exists(journal)) {
    TM_ASSIGN(std::string bytes, read_file(files, journal, kMaxJournalBytes));
    auto read = read_journal(bytes);
    if (!read.ok()) return std::move(read).error().within(journal);
    states = std::move(*read);
  }
  std::string directory = dead ? join_path(folder.directory, folder.dead_folder) : folder.directory;
  std::vector<FileChain> chains;
  std::set<std::string> expected;
  if (!dead) expected.insert(folder.dead_folder);
  for (int32_t partition : folder.partitions) {
    const JournalState& state = states[{folder.topic, partition}];
    std::string name = partition_folder(folder.topic, partition);
    expected.insert(name);
    TM_ASSIGN(FileChain chain,
              open_chain(files, join_path(directory, name), partition, dead ? state.dead : state.rows));
    chains.push_back(std::move(chain));
  }
  TM_TRY(check_folders(files, directory, expected));
  return chains;
}

// The lines of all chains, one chain after another.
class Lines {
 public:
  Lines(FileSystem& files, const std::vector<FileChain>& chains) : files_(files), chains_(chains) {}

  // False at the end. What it gives is borrowed until the next call.
  Result<bool> next(std::string_view* line) {
    for (;;) {
      size_t end = buffer_.find('\n', from_);
      if (end != std::string::npos) {
        *line = std::string_view(buffer_).substr(from_, end - from_);
        from_ = end + 1;
        ++number_;
        return true;
      }
      TM_ASSIGN(bool more, read_on());
      if (!more) return false;
    }
  }
  int32_t partition() const { return chains_[chain_].partition; }
  const std::string& path() const { return file().path; }
  int64_t number() const { return number_; }  // of the last line in its file, from 1

 private:
  const CommittedFile& file() const { return chains_[chain_].files[file_at_]; }

  // Fills the buffer with more of the file, or of the next one. False: there is no more.
  Result<bool> read_on() {
    for (; chain_ < chains_.size(); ++chain_, file_at_ = 0) {
      for (; file_at_ < chains_[chain_].files.size(); ++file_at_, file_.reset()) {
        if (!file_) {
          TM_ASSIGN(file_, files_.open(file().path, OpenMode::kRead));
          at_ = 0;
          number_ = 0;
        }
        if (at_ < file().size_bytes) {
          TM_TRY(read_piece());
          return true;
        }
        if (from_ < buffer_.size()) {
          return internal_error(file().path + ": its last line has no end", Code::kCorrupt);
        }
      }
    }
    return false;
  }
  Status read_piece() {
    buffer_.erase(0, from_);
    from_ = 0;
    if (buffer_.size() > JsonRows::kMaxRowBytes)
      return internal_error(
          file().path + ": a line is longer than " + std::to_string(JsonRows::kMaxRowBytes) + " bytes",
          Code::kCorrupt);
    size_t before = buffer_.size();
    auto wanted = static_cast<size_t>(std::min<uint64_t>(kReadBytes, file().size_bytes - at_));
    buffer_.resize(before + wanted);
    TM_ASSIGN(size_t got, file_->read_at(at_, buffer_.data() + before, wanted));
    buffer_.resize(before + got);
    at_ += got;
    if (got < wanted)
      return internal_error(file().path + ": it became shorter while it was read", Code::kCorrupt);
    return ok_status();
  }

  FileSystem& files_;
  const std::vector<FileChain>& chains_;
  size_t chain_ = 0;
  size_t file_at_ = 0;
  std::unique_ptr<File> file_;
  uint64_t at_ = 0;
  std::string buffer_;
  size_t from_ = 0;
  int64_t number_ = 0;
};

class FileRows final : public StoredRows {
 public:
  FileRows(FileSystem& files, const std::vector<FileChain>& chains, const JsonLayout& layout,
           const std::vector<FieldSpec>& fields)
      : lines_(files, chains), json_(layout, fields) {}

  Result<bool> next(StoredRow* row) override {
    std::string_view line;
    TM_ASSIGN(bool more, lines_.next(&line));
    if (!more) return false;
    row->output_partition = lines_.partition();
    row->file = lines_.path();
    row->place = lines_.number();
    row->stored_us.reset();
    json_.read(line, row);
    return true;
  }

 private:
  Lines lines_;
  JsonRows json_;
};

class FileRowStore final : public RowStore {
 public:
  FileRowStore(FileSystem& files, std::vector<FileChain> chains, JsonLayout layout,
               const std::vector<FieldSpec>& fields, const std::vector<std::string>& projected)
      : files_(files),
        chains_(std::move(chains)),
        layout_(std::move(layout)),
        fields_(stored_fields(fields, projected, &shape_.has_field)) {
    shape_.whole = projected.empty();
  }

  Status prepare() {
    shape_.in_order = true;
    TM_ASSIGN(auto first, rows(true));
    StoredRow row;
    TM_ASSIGN(bool any, first->next(&row));
    if (!any) return ok_status();
    shape_.positions = row.partition.has_value() && row.offset.has_value();
    shape_.enqueued_at = row.enqueued_us.has_value();
    shape_.stored_at = row.stored_us.has_value();
    return ok_status();
  }
  const StoreShape& shape() const override { return shape_; }
  Result<std::unique_ptr<StoredRows>> rows(bool) override {
    return std::unique_ptr<StoredRows>(std::make_unique<FileRows>(files_, chains_, layout_, fields_));
  }
  std::string describe(const StoredRow& row) const override {
    return std::string(row.file) + ":" + std::to_string(row.place);
  }

 private:
  FileSystem& files_;
  std::vector<FileChain> chains_;
  JsonLayout layout_;
  StoreShape shape_;
  std::vector<FieldSpec> fields_;
};

// RFC 4648; false where it is none.
bool decode_base64(std::string_view text, std::string* out) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.size() % 4 != 0) return false;
  out->clear();
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  uint32_t bits = 0;
  int have = 0;
  for (char c : text) {
    size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out->push_back(static_cast<char>(bits >> have & 0xff));
  }
  return true;
}

class FileDeadLetterRows final : public DeadLetterRows {
 public:
  FileDeadLetterRows(FileSystem& files, const std::vector<FileChain>& chains) : lines_(files, chains) {}

  Result<bool> next(DeadLetter* letter) override {
    std::string_view line;
    TM_ASSIGN(bool more, lines_.next(&line));
    if (!more) return false;
    int64_t partition = 0;
    simdjson::dom::element root;
    padded_ = simdjson::padded_string(line);
    bool readable = parser_.parse(padded_).get(root) == simdjson::SUCCESS &&
                    root["topic"].get(letter->topic) == simdjson::SUCCESS &&
                    root["partition"].get(partition) == simdjson::SUCCESS &&
                    root["offset"].get(letter->offset) == simdjson::SUCCESS &&
                    text(root, "reason", "reasonBase64", &reason_, &letter->reason) &&
                    text(root, "value", "valueBase64", &value_, &letter->value);
    if (!readable) {
      return internal_error(lines_.path() + ":" + std::to_string(lines_.number()) + ": no dead letter",
                            Code::kCorrupt);
    }
    letter->partition = static_cast<int32_t>(partition);
    return true;
  }

 private:
  static bool text(simdjson::dom::element root, const char* plain, const char* encoded, std::string* scratch,
                   std::string_view* out) {
    if (root[plain].get(*out) == simdjson::SUCCESS) return true;
    std::string_view base64;
    if (root[encoded].get(base64) != simdjson::SUCCESS || !decode_base64(base64, scratch)) return false;
    *out = *scratch;
    return true;
  }

  Lines lines_;
  simdjson::dom::parser parser_;
  simdjson::padded_string padded_;
  std::string reason_, value_;
};

class FileDeadLetterStore final : public DeadLetterStore {
 public:
  FileDeadLetterStore(FileSystem& files, std::vector<FileChain> chains)
      : files_(files), chains_(std::move(chains)) {}
  Result<std::unique_ptr<DeadLetterRows>> rows() override {
    return std::unique_ptr<DeadLetterRows>(std::make_unique<FileDeadLetterRows>(files_, chains_));
  }

 private:
  FileSystem& files_;
  std::vector<FileChain> chains_;
};

}  // namespace

Result<std::unique_ptr<RowStore>> open_file_rows(FileSystem& files, const FilesFolder& folder,
                                                 const StoreColumns& columns,
                                                 const std::vector<std::string>& added,
                                                 const std::vector<FieldSpec>& fields,
                                                 const std::vector<std::string>& projected) {
  TM_ASSIGN(std::vector<FileChain> chains, open_chains(files, folder, /*dead=*/false));
  auto store =
      std::make_unique<FileRowStore>(files, std::move(chains), JsonLayout(columns, added), fields, projected);
  TM_TRY(store->prepare());
  return std::unique_ptr<RowStore>(std::move(store));
}

Result<std::unique_ptr<DeadLetterStore>> open_file_dead_letters(FileSystem& files,
                                                                const FilesFolder& folder) {
  TM_ASSIGN(std::vector<FileChain> chains, open_chains(files, folder, /*dead=*/true));
  return std::unique_ptr<DeadLetterStore>(std::make_unique<FileDeadLetterStore>(files, std::move(chains)));
}

}  // namespace tidemill::verify
