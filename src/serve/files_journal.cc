#include "serve/files_journal.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/steps.h"

namespace tidemill::serve {
namespace {

constexpr uint32_t kMagic = 0x314a4d54;  // "TMJ1"
constexpr size_t kHeaderBytes = 12;      // magic, length, crc32c
constexpr uint8_t kWholeFiles = 3;       // in place of the newest file of rows

void encode_file(const std::optional<ChainFile>& file, ByteWriter& writer) {
  writer.le<uint8_t>(file ? (file->closed ? 2 : 1) : 0);
  if (!file) return;
  writer.varint(file->start.value());
  writer.varuint(file->length_bytes);
  writer.le(file->crc32c);
  writer.varint(file->opened_us);
}
std::optional<ChainFile> decode_file(ByteReader& reader) {
  auto kind = reader.le<uint8_t>();
  if (kind == 0) return {};
  ChainFile file;
  file.closed = kind == 2;
  file.start = Offset(reader.varint());
  file.length_bytes = reader.varuint();
  file.crc32c = reader.le<uint32_t>();
  file.opened_us = reader.varint();
  return file;
}

void encode_rows(const PartitionState& state, ByteWriter& writer) {
  if (state.files.empty()) return encode_file(state.rows, writer);
  writer.le<uint8_t>(kWholeFiles);
  writer.varuint(state.files.size());
  for (const WholeFile& file : state.files) {
    writer.sized(file.name);
    writer.varuint(file.size_bytes);
  }
}
void decode_rows(ByteReader& reader, PartitionState* state) {
  ByteReader ahead = reader;
  if (ahead.le<uint8_t>() != kWholeFiles) {
    state->rows = decode_file(reader);
    return;
  }
  reader = ahead;
  for (uint64_t count = reader.varuint(); count > 0 && reader.ok(); --count) {
    WholeFile file;
    file.name = reader.sized();
    file.size_bytes = reader.varuint();
    state->files.push_back(std::move(file));
  }
}

void encode_state(const TopicPartition& tp, const PartitionState& state, ByteWriter& writer) {
  const pipeline::Committed& committed = state.committed;
  writer.sized(tp.topic);
  writer.varint(tp.partition.value());
  writer.varint(committed.owner.value());
  writer.le<uint8_t>(committed.position ? 1 : 0);
  if (committed.position) {
    writer.varint(committed.position->offset.value());
    writer.varint(committed.position->leader_epoch.value());
  }
  writer.varint(committed.epoch.value());
  writer.varint(committed.incarnation.value());
  writer.varuint(committed.counters.read);
  writer.varuint(committed.counters.stored);
  writer.varuint(committed.counters.dead);
  writer.varuint(committed.counters.dropped);
  encode_rows(state, writer);
  encode_file(state.dead, writer);
}

void decode_state(ByteReader& reader, PartitionStates* states) {
  TopicPartition tp;
  tp.topic = reader.sized();
  tp.partition = Partition(reader.varint32());
  PartitionState state;
  pipeline::Committed& committed = state.committed;
  committed.owner = pipeline::Incarnation(reader.varint32());
  if (reader.le<uint8_t>() != 0) {
    Offset offset(reader.varint());
    committed.position = {offset, LeaderEpoch(reader.varint32())};
  }
  committed.epoch = pipeline::Epoch(reader.varint());
  committed.incarnation = pipeline::Incarnation(reader.varint32());
  committed.counters.read = reader.varuint();
  committed.counters.stored = reader.varuint();
  committed.counters.dead = reader.varuint();
  committed.counters.dropped = reader.varuint();
  decode_rows(reader, &state);
  state.dead = decode_file(reader);
  if (reader.ok()) states->insert_or_assign(std::move(tp), std::move(state));
}

// The payload of the whole record at the start of `bytes`; nullopt where there is none.
std::optional<std::string_view> whole_record(std::string_view bytes) {
  ByteReader reader(bytes);
  auto magic = reader.le<uint32_t>();
  auto length = reader.le<uint32_t>();
  auto crc = reader.le<uint32_t>();
  std::string_view payload = reader.bytes(length);
  if (!reader.ok() || magic != kMagic || crc32c(payload) != crc) return {};
  return payload;
}

}  // namespace

Status create_durable_directories(FileSystem& files, const std::string& path, size_t levels) {
  constexpr size_t kOwnLevels = 3;  // <data directory>/<solution>/<run>/<files>
  size_t missing = 0;
  for (std::string at = path; !files.exists(at) && at != parent_path(at); at = parent_path(at)) ++missing;
  TM_TRY(files.create_directories(path));
  std::string at = path;
  for (size_t level = 0; level < std::max(missing, levels) && parent_path(at) != at; ++level) {
    at = parent_path(at);
    Status synced = files.sync_directory(at);
    if (synced.ok()) continue;
    if (level < std::max(missing, kOwnLevels)) return synced;
    break;
  }
  return {};
}

std::string encode_journal_record(const PartitionStates& states) {
  std::string payload;
  ByteWriter writer(payload);
  writer.varuint(states.size());
  for (const auto& [tp, state] : states) encode_state(tp, state, writer);
  std::string record;
  ByteWriter header(record);
  header.le(kMagic);
  header.le(static_cast<uint32_t>(payload.size()));
  header.le(crc32c(payload));
  return record + payload;
}

Result<size_t> replay_journal(std::string_view journal, PartitionStates* states) {
  size_t at = 0;
  while (at < journal.size()) {
    auto payload = whole_record(journal.substr(at));
    if (!payload) {
      // A record is synced before the next is begun: only the last one can be torn by a crash. A whole
      // one further on means that this one was damaged later.
      // What looks like records must not make the search quadratic.
      uint64_t budget = 4 * uint64_t{journal.size()};
      for (size_t later = at + 1; later + kHeaderBytes <= journal.size(); ++later) {
        if (load_le<uint32_t>(journal.data() + later) != kMagic) continue;
        uint64_t length = load_le<uint32_t>(journal.data() + later + 4);
        if (length > budget) continue;
        budget -= length;
        if (whole_record(journal.substr(later))) {
          return internal_error("the record at byte " + std::to_string(at) + " is damaged", Code::kCorrupt);
        }
      }
      return at;
    }
    ByteReader reader(*payload);
    for (uint64_t count = reader.varuint(); count > 0 && reader.ok(); --count) decode_state(reader, states);
    if (!reader.ok() || reader.remaining() != 0) {
      return internal_error("the record at byte " + std::to_string(at) + " cannot be read", Code::kCorrupt);
    }
    at += kHeaderBytes + payload->size();
  }
  return at;
}

Result<std::unique_ptr<FilesJournal>> FilesJournal::open(FileSystem& files, const std::string& path,
                                                         const Options& options, PartitionStates* states) {
  std::unique_ptr<FilesJournal> journal(new FilesJournal(files, path, options));
  TM_ASSIGN(journal->file_, files.open(path, OpenMode::kCreate));
  TM_ASSIGN(std::string content, read_file(files, path, UINT64_MAX));
  // Also one that was there: whoever made it may have died before this.
  if (content.empty()) TM_TRY(files.sync_directory(parent_path(path)));
  auto whole = replay_journal(content, states);
  if (!whole.ok()) return std::move(whole).error().within(path);
  if (*whole < content.size()) {
    TM_TRY(journal->file_->truncate(*whole));
    TM_TRY(journal->file_->sync());
  }
  journal->size_ = *whole;
  journal->newest_ = *states;
  // Written anew, because after a sync that failed the system may give back what the disk never got, and
  // take it for clean: no later sync would keep it.
  if (*whole > 0) TM_TRY(journal->compact_locked());
  return journal;
}

Status FilesJournal::append(const PartitionStates& states) {
  std::lock_guard lock(mutex_);
  if (broken_) return *broken_;
  if (size_ > options_.compact_bytes) TM_TRY(compact_locked());
  std::string record = encode_journal_record(states);
  Status written = file_->write_at(size_, record);
  if (!written.ok()) {
    Error error = std::move(written).error();
    // The part that was written must not stand before the next record.
    if (Status cut = file_->truncate(size_); !cut.ok()) {
      broken_ = std::move(cut).error();
      broken_->retryable = error.retryable = false;
    }
    return error;
  }
  commit_step("files.record.written");
  Status synced = file_->sync();
  if (!synced.ok()) {
    broken_ =
        external_error(synced.error().message + "; what the disk holds is unknown: restart to read it again");
    Error unknown = *broken_;
    unknown.code = Code::kUnknown;
    return unknown;
  }
  commit_step("files.record.durable");
  size_ += record.size();
  for (const auto& [tp, state] : states) newest_.insert_or_assign(tp, state);
  return {};
}

Status FilesJournal::check() {
  std::lock_guard lock(mutex_);
  return broken_ ? Status(*broken_) : Status();
}

Status FilesJournal::compact_locked() {
  std::string content = encode_journal_record(newest_);
  std::string temporary = path_ + ".tmp";
  TM_ASSIGN(auto fresh, files_.open(temporary, OpenMode::kCreate));
  TM_TRY(fresh->truncate(0));
  TM_TRY(fresh->write_at(0, content));
  TM_TRY(fresh->sync());
  TM_TRY(files_.rename(temporary, path_));
  // From here on the old file has no name: what were appended to it would be lost.
  file_ = std::move(fresh);
  size_ = content.size();
  Status synced = files_.sync_directory(parent_path(path_));
  if (synced.ok()) return {};
  broken_ = std::move(synced).error();
  broken_->retryable = false;
  return *broken_;
}

}  // namespace tidemill::serve
