#include "solution/environment.h"

#include <algorithm>
#include <cstdlib>

#include "base/text.h"

namespace tidemill::solution {
namespace {

bool is_name(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool sounds_secret(std::string_view name) {
  std::string lowered = to_lower(name);
  for (std::string_view part :
       {"password", "passwd", "secret", "token", "key", "credential", "connection_string"}) {
    if (lowered.find(part) != std::string::npos) return true;
  }
  return false;
}

// One reference, without ${ and }.
Status append_value(std::string_view reference, const Environment& environment, Substituted& result) {
  size_t separator = reference.find(":-");
  std::string name(reference.substr(0, separator));
  if (!is_name(name)) {
    return user_error(
        "${" + std::string(reference) +
        "} does not name an environment variable; give ${NAME} or ${NAME:-default}, or $${ for a plain ${");
  }
  std::optional<std::string> value = environment(name);
  if (value && !(value->empty() && separator != std::string_view::npos)) {
    result.text += *value;
    result.names.push_back(name);
    result.secret = result.secret || sounds_secret(name);
    return {};
  }
  if (separator == std::string_view::npos) {
    return user_error("the environment variable " + name + " is not set; set it, or give a default: ${" +
                      name + ":-default}");
  }
  result.text += reference.substr(separator + 2);
  return {};
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
  };
}

Result<Substituted> substitute(std::string_view text, const Environment& environment) {
  Substituted result;
  for (size_t at = 0; at < text.size();) {
    std::string_view rest = text.substr(at);
    if (rest.starts_with("$${")) {
      result.text += "${";
      at += 3;
    } else if (rest.starts_with("${")) {
      size_t end = rest.find('}');
      if (end == std::string_view::npos) {
        return user_error("${ without its }; write ${NAME}, or $${ for a plain ${");
      }
      TM_TRY(append_value(rest.substr(2, end - 2), environment, result));
      at += end + 1;
    } else {
      result.text += text[at++];
    }
  }
  return result;
}

}  // namespace tidemill::solution
