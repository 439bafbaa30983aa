#include "solution/query_text.h"

#include <algorithm>

namespace tidemill::solution {
namespace {

constexpr size_t kWidestCell = 60;

}  // namespace

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string clipped(std::string text) {
  if (width_of(text) <= kWidestCell) return text;
  size_t end = 0;
  for (size_t width = 0; width < kWidestCell; ++end) {
    if (end + 1 == text.size() || (text[end + 1] & 0xc0) != 0x80) ++width;
  }
  return text.substr(0, end) + "…";
}

std::string table_line(const std::vector<std::string>& cells, const std::vector<size_t>& widths,
                       const std::vector<bool>& right) {
  std::string line;
  for (size_t c = 0; c < cells.size(); ++c) {
    size_t width = width_of(cells[c]);
    std::string pad(widths[c] > width ? widths[c] - width : 0, ' ');
    if (c > 0) line += "  ";
    line += right[c] ? pad + cells[c] : cells[c] + pad;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line + "\n";
}

std::string pattern_of(const std::string& path) {
  std::string out;
  for (char c : path) {
    const bool special = c == '[' || c == '*' || c == '?';
    out += special ? std::string("[") + c + "]" : std::string(1, c);
  }
  return out;
}

}  // namespace tidemill::solution
