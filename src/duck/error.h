// DuckDB's error messages as Errors.
#pragma once

#include <string>

#include "base/result.h"

namespace tidemill::duck {

// DuckDB says what went wrong only by the first words of its message ("Catalog Error: …"): the C API
// has no error type for statements that fail before they run.
Error error_of(std::string message);

// The error of opening `path`; says who holds the file where another process does.
Error open_error(const std::string& path, std::string message);

}  // namespace tidemill::duck
