#include "verify/commit_journal.h"

#include <cstdio>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace tidemill::verify {
namespace {

constexpr std::string_view kJournalMagic = "TMJ1";
constexpr size_t kJournalHeaderBytes = 12;  // magic, length, checksum

std::optional<JournalFile> read_file(ByteReader& reader, uint8_t kind) {
  if (kind == 0) return std::nullopt;
  JournalFile file;
  file.closed = kind == 2;
  file.start = reader.varint();
  file.length_bytes = reader.varuint();
  file.crc32c = reader.le<uint32_t>();
  reader.varint();  // when it was begun
  return file;
}

void read_state(ByteReader& reader, JournalStates* states) {
  std::string topic(reader.sized());
  auto partition = static_cast<int32_t>(reader.varint());
  reader.varint();  // owner
  if (reader.le<uint8_t>() != 0) {
    reader.varint();  // next offset
    reader.varint();  // its leader epoch
  }
  reader.varint();                               // epoch
  reader.varint();                               // incarnation
  for (int n = 0; n < 4; ++n) reader.varuint();  // counters
  JournalState state;
  auto kind = reader.le<uint8_t>();
  if (kind == 3) {
    for (uint64_t count = reader.varuint(); count > 0 && reader.ok(); --count) {
      std::string name(reader.sized());
      state.files.push_back({std::move(name), reader.varuint()});
    }
  } else {
    state.rows = read_file(reader, kind);
  }
  state.dead = read_file(reader, reader.le<uint8_t>());
  if (reader.ok()) (*states)[{std::move(topic), partition}] = state;
}

std::optional<std::string_view> whole_record(std::string_view bytes) {
  ByteReader reader(bytes);
  std::string_view magic = reader.bytes(kJournalMagic.size());
  auto length = reader.le<uint32_t>();
  auto crc = reader.le<uint32_t>();
  std::string_view payload = reader.bytes(length);
  if (!reader.ok() || magic != kJournalMagic || crc32c(payload) != crc) return std::nullopt;
  return payload;
}

}  // namespace

std::string partition_folder(std::string_view topic, int32_t partition) {
  static constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  std::string out;
  for (char c : topic) {
    if (kPlain.find(c) != std::string_view::npos && !(c == '.' && out.empty())) {
      out += c;
    } else {
      char text[4];
      std::snprintf(text, sizeof text, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += text;
    }
  }
  return out + "-" + std::to_string(partition);
}

Result<JournalStates> read_journal(std::string_view bytes) {
  JournalStates states;
  size_t at = 0;
  while (at < bytes.size()) {
    auto payload = whole_record(bytes.substr(at));
    if (!payload) {
      // Only what nothing whole follows can have been torn by a crash.
      for (size_t later = bytes.find(kJournalMagic, at + 1); later != std::string_view::npos;
           later = bytes.find(kJournalMagic, later + 1)) {
        if (whole_record(bytes.substr(later)))
          return internal_error("the record at byte " + std::to_string(at) + " is damaged", Code::kCorrupt);
      }
      return states;
    }
    ByteReader fields(*payload);
    for (uint64_t count = fields.varuint(); count > 0 && fields.ok(); --count) read_state(fields, &states);
    if (!fields.ok() || fields.remaining() != 0)
      return internal_error("the record at byte " + std::to_string(at) + " is no list of states",
                            Code::kCorrupt);
    at += kJournalHeaderBytes + payload->size();
  }
  return states;
}

}  // namespace tidemill::verify
