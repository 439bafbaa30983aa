// The strings of JSON (RFC 8259 section 7): what stands between the quotes of one, already known to
// be UTF-8 without control characters. For the fast decoder.
#pragma once

#include <string>
#include <string_view>

namespace tidemill::json {

// Replaces `out` by the text with its escapes resolved. False where an escape is none of JSON's, or
// names half a surrogate pair, which is no character.
bool unescape(std::string_view inside, std::string* out);
// Whether unescape would succeed.
bool has_valid_escapes(std::string_view inside);

}  // namespace tidemill::json
