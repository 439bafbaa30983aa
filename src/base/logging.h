// Diagnostics to stderr, one line each. What a command is asked for goes to stdout, not here.
// Never log a secret. Thread-safe.
#pragma once

#include <string>

namespace tidemill {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void set_log_level(LogLevel level);
void log_debug(const std::string& message);
void log_info(const std::string& message);
void log_warning(const std::string& message);
void log_error(const std::string& message);

}  // namespace tidemill
