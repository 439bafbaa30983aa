#include "process/id.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tidemill::process {
namespace {

constexpr size_t kUuidText = 36;
constexpr uint64_t kOnes = 0x0101010101010101;

uint64_t load8(const char* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Eight lower-case hex digits (little-endian in `word`, so the first is the lowest byte) to their
// number. What was read is written back as text and compared: nothing but those 16 characters passes.
bool hex8(uint64_t word, uint32_t* number) {
  uint64_t nibbles = (word & (kOnes * 0x0f)) + ((word >> 6) & kOnes) * 9;
  uint64_t letters = ((nibbles + kOnes * 6) >> 4) & kOnes;
  uint64_t text = nibbles + kOnes * '0' + letters * ('a' - '0' - 10);
  uint64_t pairs = ((nibbles << 4) | (nibbles >> 8)) & 0x00ff00ff00ff00ff;
  pairs = (pairs | (pairs >> 8)) & 0x0000ffff0000ffff;
  *number = static_cast<uint32_t>(pairs | (pairs >> 16));
  return text == word && (nibbles & (kOnes * 0xf0)) == 0;
}

// Four characters from `low`, four from `high`, as one word.
uint64_t join(const char* low, const char* high) {
  uint32_t a;
  uint32_t b;
  std::memcpy(&a, low, sizeof a);
  std::memcpy(&b, high, sizeof b);
  return a | (static_cast<uint64_t>(b) << 32);
}

}  // namespace

bool pack_uuid(std::string_view text, Uuid* uuid) {
  if (text.size() != kUuidText) return false;
  const char* at = text.data();
  if (at[8] != '-' || at[13] != '-' || at[18] != '-' || at[23] != '-') return false;
  uint32_t part[4];
  bool good = hex8(load8(at), &part[0]);
  good &= hex8(join(at + 9, at + 14), &part[1]);
  good &= hex8(join(at + 19, at + 24), &part[2]);
  good &= hex8(load8(at + 28), &part[3]);
  uuid->first = part[0] | (static_cast<uint64_t>(part[1]) << 32);
  uuid->second = part[2] | (static_cast<uint64_t>(part[3]) << 32);
  return good;
}

std::string unpack_uuid(const Uuid& uuid) {
  static constexpr char kDigits[] = "0123456789abcdef";
  unsigned char bytes[16];
  std::memcpy(bytes, &uuid, sizeof bytes);
  std::string text;
  for (size_t i = 0; i < sizeof bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text.push_back(kDigits[bytes[i] >> 4]);
    text.push_back(kDigits[bytes[i] & 15]);
  }
  return text;
}

uint64_t Id::hash() const {
  if (packed_) {
    uint64_t mixed = (uuid_.first ^ (uuid_.second >> 32 | uuid_.second << 32)) * 0x9e3779b97f4a7c15;
    return (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93;
  }
  return XXH3_64bits(text_.data(), text_.size());
}

}  // namespace tidemill::process
