#include "simulate/event_id.h"

#include "base/check.h"
#include "simulate/randomness.h"

namespace tidemill::simulate {
namespace {

constexpr uint64_t kHalfMask = (uint64_t{1} << 61) - 1;
constexpr uint64_t kHighMask = (uint64_t{1} << 60) - 1;
constexpr uint64_t kLowMask = (uint64_t{1} << 62) - 1;

struct HexTable {
  char pairs[512];
};
constexpr HexTable make_hex_table() {
  HexTable table{};
  for (int i = 0; i < 256; ++i) {
    table.pairs[2 * i] = "0123456789abcdef"[i >> 4];
    table.pairs[2 * i + 1] = "0123456789abcdef"[i & 15];
  }
  return table;
}
constexpr HexTable kHex = make_hex_table();

void write_byte(uint64_t word, int shift, char* to) {
  const char* pair = kHex.pairs + 2 * ((word >> shift) & 0xff);
  to[0] = pair[0];
  to[1] = pair[1];
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

void write_uuid(uint64_t high, uint64_t low, char* to) {
  const uint64_t first = ((high >> 12) << 16) | 0x4000 | (high & 0xfff);
  const uint64_t second = (uint64_t{2} << 62) | (low & kLowMask);
  write_byte(first, 56, to);
  write_byte(first, 48, to + 2);
  write_byte(first, 40, to + 4);
  write_byte(first, 32, to + 6);
  to[8] = '-';
  write_byte(first, 24, to + 9);
  write_byte(first, 16, to + 11);
  to[13] = '-';
  write_byte(first, 8, to + 14);
  write_byte(first, 0, to + 16);
  to[18] = '-';
  write_byte(second, 56, to + 19);
  write_byte(second, 48, to + 21);
  to[23] = '-';
  for (int i = 0; i < 6; ++i) write_byte(second, 40 - 8 * i, to + 24 + 2 * i);
}

EventIds::EventIds(uint64_t seed) {
  const uint64_t key = KeyStream(seed, Purpose::kEventIds, 0).key(0);
  for (size_t r = 0; r < rounds_.size(); ++r) rounds_[r] = word(key, r);
}

void EventIds::write(uint64_t instance, uint64_t index, char* to) const {
  uint64_t left = (instance << 48) + index;
  uint64_t right = 0;
  for (uint64_t round : rounds_) {
    const uint64_t next = left ^ (mix(round + right) & kHalfMask);
    left = right;
    right = next;
  }
  // X = left × 2^61 + right, cut into 60 and 62 bits.
  write_uuid(left >> 1, ((left & 1) << 61) | right, to);
}

std::optional<EventIds::Origin> EventIds::read(std::string_view text) const {
  if (text.size() != kEventIdSize) return std::nullopt;
  uint64_t words[2] = {0, 0};
  int digits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    const int digit = hex_digit(text[i]);
    if (digit < 0) return std::nullopt;
    uint64_t& target = words[digits++ / 16];
    target = (target << 4) | static_cast<uint64_t>(digit);
  }
  if (((words[0] >> 12) & 0xf) != 4 || (words[1] >> 62) != 2) return std::nullopt;
  const uint64_t high = ((words[0] >> 16) << 12) | (words[0] & 0xfff);
  const uint64_t low = words[1] & kLowMask;
  static_assert(kHighMask == kHalfMask >> 1);
  uint64_t left = (high << 1) | (low >> 61);
  uint64_t right = low & kHalfMask;
  for (size_t r = rounds_.size(); r-- > 0;) {
    const uint64_t previous = right ^ (mix(rounds_[r] + left) & kHalfMask);
    right = left;
    left = previous;
  }
  if (right != 0) return std::nullopt;
  return Origin{left >> 48, left & ((uint64_t{1} << 48) - 1)};
}

}  // namespace tidemill::simulate
