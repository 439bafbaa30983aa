// The sum of hashes by which a manifest names a multiset of records, whatever their order.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"

namespace tidemill::simulate {

// XXH3-128 of the value's bytes; the high half in the upper 64 bits.
Uint128 content_hash(std::string_view value);

// 32 hex digits, lower case. The parser returns false for anything else.
std::string hex128(Uint128 value);
bool parse_hex128(std::string_view text, Uint128* value);

}  // namespace tidemill::simulate
