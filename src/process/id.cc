#include "process/id.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tidemill::process {
namespace {

constexpr size_t kUuidText = 36;

#if defined(__AVX2__)

// The hex digits of both halves, 16 each, next to one another.
__m256i digits_of(const char* text) {
  auto load = [text](size_t at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at)); };
  uint16_t behind;
  std::memcpy(&behind, text + 16, sizeof behind);
  __m128i first =
      _mm_shuffle_epi8(load(0), _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, -1, -1));
  first = _mm_insert_epi16(first, behind, 7);
  __m128i second =
      _mm_shuffle_epi8(load(20), _mm_setr_epi8(-1, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  second = _mm_insert_epi8(second, text[19], 0);
  return _mm256_set_m128i(second, first);
}

// False: one of the digits is none, or upper case.
bool pack_digits(const char* text, Uuid* uuid) {
  const __m256i there = digits_of(text);
  const __m256i number = _mm256_sub_epi8(there, _mm256_set1_epi8('0'));
  const __m256i letter = _mm256_sub_epi8(there, _mm256_set1_epi8('a'));
  const __m256i is_number = _mm256_cmpeq_epi8(_mm256_min_epu8(number, _mm256_set1_epi8(9)), number);
  const __m256i is_letter = _mm256_cmpeq_epi8(_mm256_min_epu8(letter, _mm256_set1_epi8(5)), letter);
  if (_mm256_movemask_epi8(_mm256_or_si256(is_number, is_letter)) != -1) return false;
  const __m256i nibbles =
      _mm256_blendv_epi8(_mm256_add_epi8(letter, _mm256_set1_epi8(10)), number, is_number);
  const __m256i pairs =
      _mm256_maddubs_epi16(nibbles, _mm256_set1_epi16(0x0110));  // 16 x the first + the second
  const __m256i bytes = _mm256_packus_epi16(pairs, pairs);
  uuid->first = static_cast<uint64_t>(_mm256_extract_epi64(bytes, 0));
  uuid->second = static_cast<uint64_t>(_mm256_extract_epi64(bytes, 2));
  return true;
}

#else

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

bool pack_digits(const char* at, Uuid* uuid) {
  uint32_t part[4];
  bool good = hex8(load8(at), &part[0]);
  good &= hex8(join(at + 9, at + 14), &part[1]);
  good &= hex8(join(at + 19, at + 24), &part[2]);
  good &= hex8(load8(at + 28), &part[3]);
  uuid->first = part[0] | (static_cast<uint64_t>(part[1]) << 32);
  uuid->second = part[2] | (static_cast<uint64_t>(part[3]) << 32);
  return good;
}

#endif

}  // namespace

bool pack_uuid(std::string_view text, Uuid* uuid) {
  if (text.size() != kUuidText) return false;
  const char* at = text.data();
  if (at[8] != '-' || at[13] != '-' || at[18] != '-' || at[23] != '-') return false;
  return pack_digits(at, uuid);
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
