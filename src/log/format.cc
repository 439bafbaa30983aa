#include "log/format.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace tidemill::log {

std::string segment_stem(Offset base) {
  char text[32];
  std::snprintf(text, sizeof text, "%020lld", static_cast<long long>(base.value()));
  return text;
}

std::optional<Offset> parse_segment_name(std::string_view name, std::string_view suffix) {
  if (name.size() != 20 + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  std::optional<int64_t> value = parse_integer(name.substr(0, 20));
  if (!value || *value < 0) return std::nullopt;
  return Offset(*value);
}

Status check_topic_name(const std::string& name) {
  bool legal = !name.empty() && name.size() <= 249 && name != "." && name != "..";
  legal = legal && std::all_of(name.begin(), name.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                   c == '_' || c == '-';
          });
  if (legal) return {};
  return user_error("topic '" + name + "': a name is 1 to 249 letters, digits, '.', '_' or '-'");
}

std::optional<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Error corrupt_segment(const std::string& path, uint64_t position, const std::string& what) {
  return Error{Domain::kExternal, Code::kCorrupt, false,
               path + ": byte " + std::to_string(position) + ": " + what +
                   "; `tidemill log repair` shows the damage and, on request, cuts it"};
}

}  // namespace tidemill::log
