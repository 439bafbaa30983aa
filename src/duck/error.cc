#include "duck/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace tidemill::duck {
namespace {

struct Class {
  std::string_view prefix;
  Domain domain;
  Code code;
  bool retryable;
};

constexpr std::array kClasses = {
    Class{"INTERRUPT Error", Domain::kExternal, Code::kStopped, false},
    Class{"Failed to append: Interrupted!", Domain::kExternal, Code::kStopped, false},
    Class{"INTERNAL Error", Domain::kInternal, Code::kFailed, false},
    Class{kFatal, Domain::kExternal, Code::kFailed, false},
    Class{"IO Error", Domain::kExternal, Code::kFailed, false},
    Class{"Out of Memory Error", Domain::kExternal, Code::kFailed, true},
    Class{"TransactionContext Error", Domain::kExternal, Code::kFailed, true},
    Class{"Serialization Error", Domain::kExternal, Code::kCorrupt, false},
    Class{"Connection Error", Domain::kExternal, Code::kFailed, false},
    Class{"Permission Error", Domain::kExternal, Code::kFailed, false},
};

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

Error error_of(std::string message) {
  // Its advice is for whoever may change its settings.
  message.resize(std::min(message.size(), message.find("\n\nPossible solutions:")));
  while (!message.empty() && (message.back() == '\n' || message.back() == '.')) message.pop_back();
  if (contains(message, "No space left on device") || contains(message, "Disk quota exceeded")) {
    // DuckDB marks the database as failed when the write-ahead log could not be written; then only
    // opening it again helps.
    bool failed = message.starts_with(kFatal);
    return external_error(std::move(message), Code::kDiskFull, !failed);
  }
  for (const auto& known : kClasses) {
    if (message.starts_with(known.prefix)) {
      return Error{known.domain, known.code, known.retryable, std::move(message)};
    }
  }
  // Everything else is about what was asked: syntax, names, types, constraints, settings.
  Code code = Code::kInvalid;
  if (contains(message, "does not exist") || contains(message, "could not be found")) {
    code = Code::kNotFound;
  } else if (contains(message, "already exists") || contains(message, "Duplicate key")) {
    code = Code::kExists;
  }
  return user_error(std::move(message), code);
}

Error open_error(const std::string& path, std::string message) {
  if (!contains(message, "Could not set lock on file")) {
    return error_of(std::move(message)).within(fmt::format("cannot open the DuckDB database {}", path));
  }
  std::string holder = "another process";
  constexpr std::string_view kHolder = "Conflicting lock is held in ";
  if (auto start = message.find(kHolder); start != std::string::npos) {
    start += kHolder.size();
    // "/usr/bin/program (PID 12)", and after it advice for DuckDB's own users.
    if (auto end = message.find(')', start); end != std::string::npos) {
      holder = message.substr(start, end + 1 - start);
    }
  }
  return external_error(
      fmt::format("cannot open the DuckDB database {}: it is in use by {}, and DuckDB lets one "
                  "process at a time write to a file; stop that one first, or query through it",
                  path, holder),
      Code::kFailed, /*retryable=*/true);
}

}  // namespace tidemill::duck
