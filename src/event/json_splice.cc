#include "event/json_splice.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "event/json_string.h"
#include "event/timestamp.h"

namespace tidemill {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Steps over the parts of a valid object. Bounded on any bytes, meaningful only on valid ones.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ >= text_.size(); }
  size_t position() const { return at_; }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void step() { ++at_; }
  void skip_space() {
    while (!at_end() && is_space(text_[at_])) ++at_;
  }
  // Precondition: at its opening quote. Returns what is between the quotes.
  std::string_view string() {
    size_t begin = ++at_;
    while (!at_end() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    size_t end = std::min(at_, text_.size());
    ++at_;
    return text_.substr(begin, end - begin);
  }
  void value() {
    size_t open = 0;
    do {
      char c = peek();
      if (c == '"') {
        string();
        continue;
      }
      if (open == 0 && (c == ',' || c == '}')) return;
      if (c == '{' || c == '[') ++open;
      if (c == '}' || c == ']') --open;
      step();
      if (open == 0 && (c == '}' || c == ']')) return;
    } while (!at_end());
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

bool is_named(std::string_view inside, const std::vector<std::string_view>& names) {
  std::string unescaped;
  if (inside.find('\\') != std::string_view::npos && json::unescape(inside, &unescaped)) inside = unescaped;
  return std::find(names.begin(), names.end(), inside) != names.end();
}

template <class T>
void append_number(T value, std::string* out) {
  char buffer[32];
  auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  out->append(buffer, static_cast<size_t>(result.ptr - buffer));
}

void append_value(const Column& column, size_t row, std::string* out) {
  if (!column.valid(row)) {
    out->append("null");
    return;
  }
  switch (column.type()) {
    case Type::kBoolean:
      out->append(column.bool_at(row) ? "true" : "false");
      return;
    case Type::kInteger:
    case Type::kBigint:
      append_number(column.int64_at(row), out);
      return;
    case Type::kDouble:
      if (!std::isfinite(column.double_at(row))) {
        out->append("null");  // JSON has no other word for it
        return;
      }
      append_number(column.double_at(row), out);
      return;
    case Type::kTimestamp: {
      char buffer[kTimestampTextSize];
      out->push_back('"');
      out->append(buffer, format_timestamp(column.int64_at(row), 6, buffer));
      out->push_back('"');
      return;
    }
    case Type::kVarchar:
      append_json_string(column.text_at(row), out);
      return;
    case Type::kJson:
      out->append(column.text_at(row));
      return;
  }
}

// Whether two rows surely have the same value; texts are not compared.
bool same_value(const Column& column, size_t a, size_t b) {
  if (!column.fixed_width()) return false;
  if (!column.valid(a) || !column.valid(b)) return column.valid(a) == column.valid(b);
  return column.words()[a] == column.words()[b];
}

}  // namespace

void append_added_members(const Batch& batch, uint32_t row, std::string* out) {
  bool first = true;
  for (uint32_t index : batch.added) {
    const Column& column = batch.columns[index];
    if (!first) out->push_back(',');
    first = false;
    append_json_string(column.name(), out);
    out->push_back(':');
    append_value(column, row, out);
  }
}

void AddedMembers::begin(const Batch& batch) {
  members_.clear();
  for (uint32_t index : batch.added) {
    Member member;
    member.column = &batch.columns[index];
    member.name = ",";
    append_json_string(member.column->name(), &member.name);
    member.name.push_back(':');
    members_.push_back(std::move(member));
  }
  written_ = false;
}

std::string_view AddedMembers::text(uint32_t row) {
  size_t first = 0;
  if (written_) {
    while (first < members_.size() && same_value(*members_[first].column, last_row_, row)) ++first;
    last_row_ = row;
    if (first == members_.size()) return text_;
    text_.resize(members_[first].begins);
  } else {
    text_.clear();
    written_ = true;
    last_row_ = row;
  }
  for (; first < members_.size(); ++first) {
    Member& member = members_[first];
    member.begins = text_.size();
    text_.append(member.name);
    append_value(*member.column, row, &text_);
  }
  text_.push_back('}');
  return text_;
}

SplicePoint find_splice_point(std::string_view object) {
  size_t end = object.rfind('}');
  SplicePoint point;
  point.head = object.substr(0, end == std::string_view::npos ? object.size() : end);
  while (!point.head.empty() && is_space(point.head.back())) point.head.remove_suffix(1);
  // Before the last brace of a valid object stands a brace only where nothing is between the two.
  point.comma = !point.head.ends_with('{');
  return point;
}

std::string remove_members(std::string_view object, const std::vector<std::string_view>& names) {
  std::string kept = "{";
  Scanner scanner(object);
  while (!scanner.at_end() && scanner.peek() != '{') scanner.step();
  scanner.step();
  for (;;) {
    scanner.skip_space();
    if (scanner.peek() != '"') break;
    size_t begin = scanner.position();
    bool removed = is_named(scanner.string(), names);
    while (!scanner.at_end() && scanner.peek() != ':') scanner.step();
    scanner.step();
    scanner.skip_space();
    scanner.value();
    std::string_view member = object.substr(begin, scanner.position() - begin);
    while (!member.empty() && is_space(member.back())) member.remove_suffix(1);
    if (!removed) {
      if (kept.size() > 1) kept.push_back(',');
      kept.append(member);
    }
    scanner.skip_space();
    if (scanner.peek() != ',') break;
    scanner.step();
  }
  kept.push_back('}');
  return kept;
}

void append_json_string(std::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out->append(text.substr(plain, i - plain));
    plain = i + 1;
    out->push_back('\\');
    switch (c) {
      case '\n':
        out->push_back('n');
        break;
      case '\r':
        out->push_back('r');
        break;
      case '\t':
        out->push_back('t');
        break;
      case '"':
      case '\\':
        out->push_back(static_cast<char>(c));
        break;
      default:
        out->append("u00");
        out->push_back(kHex[c >> 4]);
        out->push_back(kHex[c & 15]);
    }
  }
  out->append(text.substr(plain));
  out->push_back('"');
}

}  // namespace tidemill
