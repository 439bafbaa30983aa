#include "simulate/content_hash.h"

// Compiled into this file with this file's instruction set: the system's library is built for the
// oldest processors.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tidemill::simulate {

Uint128 content_hash(std::string_view value) {
  const XXH128_hash_t hash = XXH3_128bits(value.data(), value.size());
  return (static_cast<Uint128>(hash.high64) << 64) | hash.low64;
}

std::string hex128(Uint128 value) {
  std::string text(32, '0');
  for (size_t i = 32; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[static_cast<unsigned>(value & 15)];
  return text;
}

bool parse_hex128(std::string_view text, Uint128* value) {
  if (text.size() != 32) return false;
  *value = 0;
  for (char c : text) {
    unsigned digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a') + 10;
    } else {
      return false;
    }
    *value = (*value << 4) | digit;
  }
  return true;
}

}  // namespace tidemill::simulate
