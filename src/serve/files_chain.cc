#include "serve/files_chain.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/crc32c.h"
#include "base/steps.h"

namespace tidemill::serve {
namespace {

constexpr std::string_view kSuffix = ".jsonl";
constexpr std::string_view kOpenSuffix = ".jsonl.open";

std::string number_name(Offset start) {
  char buffer[24];
  std::snprintf(buffer, sizeof buffer, "%020lld", static_cast<long long>(start.value()));
  return buffer;
}

// The start of an open file by its name; nullopt for any other file.
std::optional<Offset> open_file_start(std::string_view name) {
  if (!name.starts_with('.') || !name.ends_with(kOpenSuffix)) return {};
  name = name.substr(1, name.size() - 1 - kOpenSuffix.size());
  int64_t start = 0;
  auto result = std::from_chars(name.data(), name.data() + name.size(), start);
  if (result.ec != std::errc{} || result.ptr != name.data() + name.size()) return {};
  return Offset(start);
}

}  // namespace

std::string folder_name(const TopicPartition& tp) {
  std::string name;
  for (char c : tp.topic) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = std::isalnum(byte) != 0 || c == '_' || c == '-' || (c == '.' && !name.empty());
    if (plain && byte < 0x80) {
      name += c;
    } else {
      char buffer[4];
      std::snprintf(buffer, sizeof buffer, "%%%02X", byte);
      name += buffer;
    }
  }
  return name + "-" + std::to_string(tp.partition.value());
}

std::string FilesChain::open_path(Offset start) const {
  return join_path(directory_, "." + number_name(start) + std::string(kOpenSuffix));
}
std::string FilesChain::final_path(Offset start) const {
  return join_path(directory_, number_name(start) + std::string(kSuffix));
}

Status FilesChain::recover(const std::optional<ChainFile>& newest) {
  // Its own name, and that of the folder of dead letters.
  TM_TRY(create_durable_directories(files_, directory_, 2));
  TM_ASSIGN(std::vector<std::string> names, files_.list(directory_));
  bool has_open = false;
  for (const std::string& name : names) {
    std::optional<Offset> start = open_file_start(name);
    if (!start) continue;
    if (newest && *start == newest->start) {
      has_open = true;
    } else {
      // Begun by an epoch that was never committed.
      TM_TRY(files_.remove(join_path(directory_, name)));
    }
  }
  newest_ = newest;
  file_.reset();
  broken_.reset();
  unsynced_cut_ = false;
  if (!newest) return {};
  return recover_newest(*newest, has_open, files_.exists(final_path(newest->start)));
}

Status FilesChain::recover_newest(const ChainFile& newest, bool has_open, bool has_final) {
  // The final name is given only after the journal said that the file is closed. Readers may have
  // taken it away since.
  if (newest.closed && !has_open) return {};
  if (newest.closed && has_final) {
    TM_ASSIGN(auto file, files_.open(final_path(newest.start), OpenMode::kReadWrite));
    TM_TRY(check_content(*file, newest));
    return files_.remove(open_path(newest.start));
  }
  if (!has_open) {
    return external_error(open_path(newest.start) + ": is missing; its " +
                              std::to_string(newest.length_bytes) +
                              " bytes are committed: bring the file back, or start a new run with --fresh",
                          Code::kCorrupt);
  }
  TM_ASSIGN(auto file, files_.open(open_path(newest.start), OpenMode::kReadWrite));
  TM_TRY(check_content(*file, newest));
  file_ = std::move(file);
  file_start_ = newest.start;
  return newest.closed ? roll() : Status();
}

Status FilesChain::check_content(File& file, const ChainFile& expected) {
  TM_ASSIGN(uint64_t size, file.size());
  uint32_t crc = 0;
  std::string buffer(1u << 20, '\0');
  for (uint64_t at = 0; at < expected.length_bytes && size >= expected.length_bytes;) {
    auto want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), expected.length_bytes - at));
    TM_ASSIGN(size_t got, file.read_at(at, buffer.data(), want));
    if (got == 0) break;
    crc = crc32c(std::string_view(buffer).substr(0, got), crc);
    at += got;
  }
  if (size < expected.length_bytes || crc != expected.crc32c) {
    return internal_error(file.path() + ": the first " + std::to_string(expected.length_bytes) +
                              " bytes are committed, but " +
                              (size < expected.length_bytes ? "the file has only " + std::to_string(size)
                                                            : "their checksum does not match") +
                              ": the file was damaged; bring back a copy, or start a new run with --fresh",
                          Code::kCorrupt);
  }
  if (size > expected.length_bytes) TM_TRY(file.truncate(expected.length_bytes));
  // Also where nothing was to be cut: who cut it may have died before this.
  return file.sync();
}

Status FilesChain::create(Offset start) {
  if (files_.exists(final_path(start))) {
    return external_error(
        final_path(start) +
            ": is whole, but not in the journal, which was damaged or is an older copy; bring "
            "back the one of these files, or start a new run with --fresh",
        Code::kCorrupt);
  }
  auto created = files_.open(open_path(start), OpenMode::kCreateNew);
  if (!created.ok()) {
    Error error = std::move(created).error();
    if (error.code == Code::kExists) error.code = Code::kFenced;
    return error;
  }
  file_ = std::move(created).value();
  file_start_ = start;
  return files_.sync_directory(directory_);
}

Result<ChainFile> FilesChain::write(Offset start, int64_t now_us,
                                    const std::vector<std::string_view>& parts) {
  if (broken_) return *broken_;
  TM_CHECK(!roll_due(), "a closed file takes no rows");
  ChainFile next;
  if (open()) {
    next = *newest_;
  } else {
    TM_TRY(create(start));
    next.start = start;
    next.opened_us = now_us;
  }
  TM_TRY(file_->write_at(next.length_bytes, parts));
  commit_step("files.rows.written");
  Status synced = file_->sync();
  if (!synced.ok()) {
    // The kernel may have dropped what it could not write.
    broken_ = external_error(synced.error().message + "; what the disk holds is unknown: restart to go on");
    return *broken_;
  }
  for (std::string_view part : parts) {
    next.crc32c = crc32c(part, next.crc32c);
    next.length_bytes += part.size();
  }
  unsynced_cut_ = false;
  return next;
}

Status FilesChain::cut() {
  if (broken_ || file_ == nullptr) return {};
  Status done;
  if (open() && newest_->start == file_start_) {
    done = file_->truncate(newest_->length_bytes);
    unsynced_cut_ = true;
  } else if (!roll_due()) {
    file_.reset();
    done = files_.remove(open_path(file_start_));
  }
  if (!done.ok()) broken_ = done.error();
  return done;
}

Status FilesChain::roll() {
  TM_CHECK(roll_due());
  if (broken_) return *broken_;
  if (unsynced_cut_) {
    // Else a power cut could bring back, in a file that is whole, rows that stand in the next one too.
    Status synced = file_->sync();
    if (!synced.ok()) {
      broken_ = std::move(synced).error();
      return *broken_;
    }
    unsynced_cut_ = false;
  }
  commit_step("files.roll.synced");  // by write(), by recover() or here
  if (!linked_) {
    Status linked = files_.link(open_path(newest_->start), final_path(newest_->start));
    if (!linked.ok()) {
      Error error = std::move(linked).error();
      if (error.code == Code::kExists) error.code = Code::kFenced;
      return error;
    }
    linked_ = true;
  }
  commit_step("files.roll.renamed");
  TM_TRY(files_.sync_directory(directory_));
  linked_ = false;
  file_.reset();
  return files_.remove(open_path(newest_->start));
}

}  // namespace tidemill::serve
