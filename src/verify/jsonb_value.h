// What PostgreSQL's jsonb keeps of a JSON text.
#pragma once

#include <string>
#include <string_view>

namespace tidemill::verify {

// The text's value, written one way: members by name, of equal names the last; strings without needless
// escapes; numbers as integers where they are (up to 64 bits), else as the nearest double's fewest digits:
// 1e2, 100.0 and 100 are one, as are 1.5e300 and its 301 digits. `out` is appended to. False where it is no
// JSON.
bool jsonb_value(std::string_view text, std::string* out);

}  // namespace tidemill::verify
