#include "simulate/template_parser.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>

namespace tidemill::simulate {
namespace {

using Arguments = std::vector<std::string>;

struct Variable {
  std::string_view name;
  std::string_view usage;
  size_t min_arguments;
  size_t max_arguments;
  Template::Kind kind;
  bool (*fill)(const Arguments&, Template::Part*);  // false: an argument is wrong
};

template <class T>
bool read(const std::string& text, T* value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  if constexpr (std::is_floating_point_v<T>) return std::isfinite(*value);
  return true;
}

bool read_digits(const Arguments& arguments, size_t at, int max, int* digits) {
  return arguments.size() <= at || (read(arguments[at], digits) && *digits >= 0 && *digits <= max);
}

bool fill_counter(const Arguments& a, Template::Part* part) {
  return (a.empty() || read(a[0], &part->start)) && (a.size() < 2 || read(a[1], &part->step));
}
bool fill_nothing(const Arguments&, Template::Part*) {
  return true;
}
bool fill_int(const Arguments& a, Template::Part* part) {
  return read(a[0], &part->min_int) && read(a[1], &part->max_int) && part->min_int <= part->max_int;
}
bool fill_double(const Arguments& a, Template::Part* part) {
  return read(a[0], &part->low) && read(a[1], &part->high) && part->low <= part->high &&
         std::isfinite(part->high - part->low) && read_digits(a, 2, 17, &part->digits);
}
bool fill_gaussian(const Arguments& a, Template::Part* part) {
  constexpr double kLimit = 1e300;  // leaves room for every deviation that can be drawn (below 9 sd)
  return read(a[0], &part->mean) && read(a[1], &part->sd) && part->sd >= 0 && part->sd <= kLimit &&
         std::fabs(part->mean) <= kLimit && read_digits(a, 2, 17, &part->digits);
}
bool fill_choice(const Arguments& a, Template::Part* part) {
  part->items = a;
  return true;
}
bool fill_time(const Arguments& a, Template::Part* part) {
  part->digits = 6;
  if (a.empty() || a[0] == "iso") return read_digits(a, 1, 9, &part->digits);
  if (a[0] == "unix") part->kind = Template::Kind::kUnixTime;
  if (a[0] == "unix_ms") part->kind = Template::Kind::kUnixMsTime;
  if (a[0] == "unix_us") part->kind = Template::Kind::kUnixUsTime;
  return a.size() == 1 && part->kind != Template::Kind::kIsoTime;
}

constexpr size_t kAnyNumber = 10'000;
constexpr Variable kVariables[] = {
    {"counter", "counter, counter(start) or counter(start, step) with integers", 0, 2,
     Template::Kind::kCounter, fill_counter},
    {"device_counter", "device_counter or device_counter(start) with an integer", 0, 1,
     Template::Kind::kDeviceCounter, fill_counter},
    {"device", "device, without arguments", 0, 0, Template::Kind::kDevice, fill_nothing},
    {"device_number", "device_number, without arguments", 0, 0, Template::Kind::kDeviceNumber, fill_nothing},
    {"int", "int(min, max) with integers, min <= max", 2, 2, Template::Kind::kInt, fill_int},
    {"double", "double(min, max) or double(min, max, digits), min <= max, digits from 0 to 17", 2, 3,
     Template::Kind::kDouble, fill_double},
    {"gaussian", "gaussian(mean, sd) or gaussian(mean, sd, digits), sd >= 0, digits from 0 to 17", 2, 3,
     Template::Kind::kGaussian, fill_gaussian},
    {"choice", "choice(a, b, …), items with a comma or a bracket in quotes", 1, kAnyNumber,
     Template::Kind::kChoice, fill_choice},
    {"guid", "guid, without arguments", 0, 0, Template::Kind::kGuid, fill_nothing},
    {"time", "time, time(iso, digits) with 0 to 9 digits, time(unix), time(unix_ms) or time(unix_us)", 0, 2,
     Template::Kind::kIsoTime, fill_time},
};

std::string known_names() {
  std::string list;
  for (const Variable& variable : kVariables) list += (list.empty() ? "" : ", ") + std::string(variable.name);
  return list;
}

bool space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Reads `name(a, 'b', "c")}` from behind the `${`.
class Scanner {
 public:
  Scanner(std::string_view text, size_t at) : text_(text), at_(at) {}

  size_t at() const { return at_; }
  bool done() const { return at_ >= text_.size(); }
  void skip_space() {
    while (!done() && space(text_[at_])) ++at_;
  }
  bool take(char c) {
    skip_space();
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view name() {
    skip_space();
    const size_t from = at_;
    while (!done() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    return text_.substr(from, at_ - from);
  }
  // One argument, up to a comma or the closing bracket.
  Result<std::string> argument() {
    skip_space();
    const size_t from = at_;
    if (!done() && (text_[at_] == '\'' || text_[at_] == '"')) {
      const size_t close = text_.find(text_[at_], at_ + 1);
      if (close == std::string_view::npos) return problem(from, "this quote is not closed");
      at_ = close + 1;
      return std::string(text_.substr(from + 1, close - from - 1));
    }
    while (!done() && text_[at_] != ',' && text_[at_] != ')' && text_[at_] != '}') ++at_;
    size_t end = at_;
    while (end > from && space(text_[end - 1])) --end;
    if (end == from) return problem(from, "an argument is missing");
    return std::string(text_.substr(from, end - from));
  }
  Error problem(size_t where, const std::string& message) const {
    return user_error(place_in_text(text_, where) + ": " + message);
  }

 private:
  std::string_view text_;
  size_t at_;
};

}  // namespace

std::string place_in_text(std::string_view text, size_t at) {
  const std::string_view before = text.substr(0, std::min(at, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

Result<Template::Part> parse_variable(std::string_view text, size_t* at) {
  const size_t open = *at;
  Scanner scan(text, open + 2);
  const std::string name(scan.name());
  const auto* variable = std::find_if(std::begin(kVariables), std::end(kVariables),
                                      [&](const Variable& v) { return v.name == name; });
  if (variable == std::end(kVariables)) {
    return scan.problem(open, "there is no variable `" + name + "`; there are " + known_names() +
                                  " (a `${` of the event itself is written `$${`)");
  }
  Arguments arguments;
  if (scan.take('(') && !scan.take(')')) {
    do {
      TM_ASSIGN(std::string argument, scan.argument());
      arguments.push_back(std::move(argument));
    } while (scan.take(','));
    if (!scan.take(')'))
      return scan.problem(scan.at(), "expected `,` or `)` in the arguments of `" + name + "`");
  }
  if (!scan.take('}')) return scan.problem(scan.at(), "expected `}` after the variable `" + name + "`");
  Template::Part part;
  part.kind = variable->kind;
  const bool counted =
      arguments.size() >= variable->min_arguments && arguments.size() <= variable->max_arguments;
  if (!counted || !variable->fill(arguments, &part)) {
    return scan.problem(open, "wrong arguments of `" + name + "`; write " + std::string(variable->usage));
  }
  *at = scan.at();
  return part;
}

}  // namespace tidemill::simulate
