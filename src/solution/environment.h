// ${NAME} and ${NAME:-default} in the values of a solution file.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::solution {

// The value of an environment variable; nullopt where it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
// Of this process.
Environment process_environment();

struct Substituted {
  std::string text;
  std::vector<std::string> names;  // of the variables that gave a value
  // One of them sounds like a secret (PASSWORD, SECRET, TOKEN, KEY, CREDENTIAL, CONNECTION_STRING): what it
  // gave is never printed.
  bool secret = false;
};

// As in a shell: the default stands in where the variable is unset or empty; `$${` is a plain `${`.
// Errors (kUser, "what is wrong; what would be right"): a variable that is not set and has no
// default, a `${` without its `}`, a name that is none.
Result<Substituted> substitute(std::string_view text, const Environment& environment);

}  // namespace tidemill::solution
