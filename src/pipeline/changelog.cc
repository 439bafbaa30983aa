#include "pipeline/changelog.h"

#include "base/bytes.h"

namespace tidemill::pipeline {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kLastPart = 1;

std::string encode_part(const ChangelogRecord& record, std::string_view deltas) {
  std::string out;
  out.reserve(deltas.size() + 64);
  ByteWriter writer(out);
  writer.be<uint8_t>(kVersion);
  writer.be<uint8_t>(record.kind);
  writer.be<uint8_t>(record.last_part ? kLastPart : 0);
  writer.varint(record.epoch.value());
  writer.varint(record.incarnation.value());
  writer.varint(record.end.offset.value());
  writer.varint(record.end.leader_epoch.value());
  writer.varuint(record.counters.read);
  writer.varuint(record.counters.stored);
  writer.varuint(record.counters.dead);
  writer.varuint(record.counters.dropped);
  writer.varuint(record.part);
  writer.bytes(deltas);
  return out;
}

// The length of the longest prefix of whole deltas within `limit`.
Result<size_t> whole_deltas(std::string_view deltas, size_t limit) {
  ByteReader reader(deltas);
  size_t end = 0;
  while (reader.remaining() > 0) {
    const uint64_t index = reader.varuint();
    reader.sized();
    TM_CHECK(reader.ok(), "deltas come from a DeltaWriter");
    size_t next = deltas.size() - reader.remaining();
    if (next > limit && end == 0) {
      return internal_error("a change of the state of operator " + std::to_string(index + 1) + " has " +
                            std::to_string(next) + " bytes, and the changelog takes " +
                            std::to_string(limit) + " in one record");
    }
    if (next > limit) break;
    end = next;
  }
  return end;
}

}  // namespace

Result<std::vector<std::string>> encode_changelog(ChangelogRecord record, std::string_view deltas,
                                                  size_t part_bytes) {
  std::vector<std::string> parts;
  record.part = 0;
  do {
    size_t size = deltas.size();
    if (size > part_bytes) {
      TM_ASSIGN(size, whole_deltas(deltas, part_bytes));
    }
    record.last_part = size == deltas.size();
    parts.push_back(encode_part(record, deltas.substr(0, size)));
    deltas.remove_prefix(size);
    ++record.part;
  } while (!deltas.empty());
  return parts;
}

Result<ChangelogRecord> decode_changelog(std::string_view value) {
  ByteReader reader(value);
  auto version = reader.be<uint8_t>();
  if (reader.ok() && version != kVersion) {
    return internal_error(
        "changelog record of version " + std::to_string(version) + "; this program reads version 1",
        Code::kCorrupt);
  }
  ChangelogRecord record;
  auto kind = reader.be<uint8_t>();
  record.kind = static_cast<ChangelogRecord::Kind>(kind);
  record.last_part = (reader.be<uint8_t>() & kLastPart) != 0;
  record.epoch = Epoch(reader.varint());
  record.incarnation = Incarnation(reader.varint32());
  record.end.offset = Offset(reader.varint());
  record.end.leader_epoch = LeaderEpoch(reader.varint32());
  record.counters.read = reader.varuint();
  record.counters.stored = reader.varuint();
  record.counters.dead = reader.varuint();
  record.counters.dropped = reader.varuint();
  record.part = static_cast<uint32_t>(reader.varuint());
  record.deltas = reader.bytes(reader.remaining());
  if (!reader.ok() || (kind != ChangelogRecord::kFrame && kind != ChangelogRecord::kSnapshot)) {
    return internal_error("malformed changelog record", Code::kCorrupt);
  }
  return record;
}

Status for_each_delta(std::string_view deltas,
                      const std::function<Status(uint32_t, std::string_view)>& each) {
  ByteReader reader(deltas);
  while (reader.remaining() > 0) {
    auto index = static_cast<uint32_t>(reader.varuint());
    std::string_view delta = reader.sized();
    if (!reader.ok()) return internal_error("malformed deltas in a changelog record", Code::kCorrupt);
    TM_TRY(each(index, delta));
  }
  return {};
}

}  // namespace tidemill::pipeline
