// DuckDB's error messages as Errors.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::duck {

inline constexpr std::string_view kFatal = "FATAL Error";  // begins what says that the database is given up

// DuckDB says what went wrong only by the first words of its message ("Catalog Error: …"): the C API
// has no error type for statements that fail before they run.
Error error_of(std::string message);

// The error of opening `path`; says who holds the file where another process does.
Error open_error(const std::string& path, std::string message);

}  // namespace tidemill::duck
