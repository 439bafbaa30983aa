// PostgreSQL's errors as Errors.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::pg {

// What a server said of a statement. `sqlstate` has five characters, or is empty where the connection was
// lost. Classes 08, 40 and 53, and 57P0x (the server ends, or is not yet ready) can be tried again.
struct Said {
  std::string sqlstate;
  std::string message;  // one line
  std::string detail;
  std::string hint;
};
Error error_of(const Said& said);

// Why a connection could not be opened; `place`: "telemetry at db:5432".
Error connect_error(const std::string& place, std::string_view message);

// One line, without its end and without repeating who says it ("ERROR:  ").
std::string one_line(std::string_view message);

}  // namespace tidemill::pg
