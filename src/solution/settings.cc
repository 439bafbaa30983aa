#include "solution/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/text.h"
#include "event/timestamp.h"
#include "solution/problem.h"
#include "solution/table.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kOneSecondUs = 1'000'000;

std::string quoted(const std::string& text) {
  if (text.size() <= kMaxCited) return '"' + text + '"';
  size_t end = kMaxCited;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return '"' + text.substr(0, end) + "…\"";
}

// Of a client's properties: ssl.key.password, sasl.oauthbearer.client.secret, sasl.oauthbearer.config.
bool holds_secret(std::string_view property) {
  for (std::string_view part : {"password", "secret", "key", ".config", ".pem"}) {
    if (property.find(part) != std::string_view::npos) return true;
  }
  return false;
}

std::optional<int64_t> parse_switch(std::string_view text) {
  std::string lowered = to_lower(text);
  for (std::string_view yes : {"true", "on", "yes"}) {
    if (lowered == yes) return 1;
  }
  for (std::string_view no : {"false", "off", "no"}) {
    if (lowered == no) return 0;
  }
  return std::nullopt;
}

std::optional<int64_t> parse_integer(const Setting& setting, const std::string& text) {
  switch (setting.type) {
    case ValueType::kSwitch:
      return parse_switch(text);
    case ValueType::kCount:
      return parse_count(text);
    case ValueType::kDuration:
      return parse_duration_us(text);
    case ValueType::kBytes:
      return parse_bytes(text);
    case ValueType::kTime:
      return parse_timestamp_us(text);
    default:
      break;
  }
  for (size_t i = 0; i < setting.choices.size(); ++i) {
    if (setting.choices[i] == text) return static_cast<int64_t>(i);
  }
  return std::nullopt;
}

// What a value is, and what it looks like.
struct Kind {
  std::string_view noun;
  std::string_view examples;
};
Kind kind_of(ValueType type) {
  switch (type) {
    case ValueType::kSwitch:
      return {"true or false", "true or false"};
    case ValueType::kCount:
      return {"a whole number", "one as 100 or 100k"};
    case ValueType::kNumber:
      return {"a number", "one as 0.25"};
    case ValueType::kRate:
      return {"events per second", "a number as 2500 or 10k"};
    case ValueType::kDuration:
      return {"a duration", "a number and a unit as 100ms, 2s or 5m"};
    case ValueType::kBytes:
      return {"a size", "one as 4096, 64KiB or 1GB"};
    case ValueType::kTime:
      return {"a time", "one as 2026-11-21T09:00:00Z"};
    case ValueType::kText:
      return {"text", "text"};
    case ValueType::kList:
      return {"a list of names", "one as [a, b]"};
    case ValueType::kPairs:
      return {"a map of names and expressions", "one as {name: expression}"};
    case ValueType::kFields:
      return {"a map of names and types", "one as {station: text, temp: double}"};
    case ValueType::kChoice:
      break;
  }
  return {"one of its values", ""};
}

std::string list_choices(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

std::string not_expected(const Setting& setting, const std::string& cited, const std::string& text) {
  std::vector<std::string> names = setting.choices;
  for (const Setting::Word& word : setting.words) names.push_back(word.name);
  std::string wrong = cited + " is not " + std::string(kind_of(setting.type).noun);
  if (setting.type == ValueType::kDuration && parse_number(text)) wrong = cited + " has no unit";
  return wrong + "; give " + setting.expected() + did_you_mean(text, names);
}

std::string out_of_bounds(const Setting& setting, double value, const std::string& cited) {
  return cited + (value < setting.min ? " is too small" : " is too large") + "; give " + setting.bounds();
}

const Setting::Word* find_word(const Setting& setting, std::string_view text) {
  for (const Setting::Word& word : setting.words) {
    if (word.name == text) return &word;
  }
  return nullptr;
}

const Setting::Word* word_of_value(const Setting& setting, double value) {
  for (const Setting::Word& word : setting.words) {
    if (word.value == value) return &word;
  }
  return nullptr;
}

struct Table {
  std::vector<Setting> settings;
  std::unordered_map<std::string, size_t> by_path;
  Table() : settings(make_table()) {
    for (size_t i = 0; i < settings.size(); ++i) {
      bool fresh = by_path.emplace(settings[i].path, i).second;
      TM_CHECK(fresh, "two settings of one path");
    }
  }
};
const Table& table() {
  static const Table made;
  return made;
}

}  // namespace

std::optional<std::string> Setting::set(Target target, const Given& given, const std::string* shown) const {
  if (const auto* list = std::get_if<ListAccess>(&access)) {
    for (const std::string& item : given.items) {
      if (!choices.empty() && std::find(choices.begin(), choices.end(), item) == choices.end()) {
        return (shown ? *shown : quoted(item)) + " is not known here; give some of " + list_choices(choices) +
               did_you_mean(item, choices);
      }
      if (std::count(given.items.begin(), given.items.end(), item) > 1) {
        return (shown ? *shown : quoted(item)) + " is in the list more than once; keep one of them";
      }
    }
    list->at(target) = given.items;
    return std::nullopt;
  }
  if (const auto* pairs = std::get_if<PairsAccess>(&access)) {
    pairs->at(target) = given.pairs;
    return std::nullopt;
  }
  TM_CHECK(given.items.size() == 1);
  const std::string& text = given.items[0];
  std::string cited = shown ? *shown : quoted(text);
  const Word* word = find_word(*this, text);
  if (const auto* plain = std::get_if<TextAccess>(&access)) {
    plain->at(target) = word != nullptr ? std::string() : text;
    return std::nullopt;
  }
  if (const auto* real = std::get_if<RealAccess>(&access)) {
    std::optional<double> value = type == ValueType::kRate ? parse_rate(text) : parse_number(text);
    if (word != nullptr) value = word->value;
    if (!value) return not_expected(*this, cited, text);
    if (word == nullptr && (*value < min || *value > max)) return out_of_bounds(*this, *value, cited);
    real->set(target, *value);
    return std::nullopt;
  }
  std::optional<int64_t> value = parse_integer(*this, text);
  if (word != nullptr) value = static_cast<int64_t>(word->value);
  if (!value) return not_expected(*this, cited, text);
  auto approximate = static_cast<double>(*value);
  if (word == nullptr && (approximate < min || approximate > max))
    return out_of_bounds(*this, approximate, cited);
  std::get<IntegerAccess>(access).set(target, *value);
  return std::nullopt;
}

std::string Setting::get(Target target) const {
  if (const auto* list = std::get_if<ListAccess>(&access)) return "[" + join(list->at(target), ", ") + "]";
  if (const auto* pairs = std::get_if<PairsAccess>(&access)) {
    std::vector<std::string> parts;
    const bool properties = path.ends_with(".properties");
    for (const auto& [name, value] : pairs->at(target)) {
      parts.push_back(name + ": " + (properties && holds_secret(name) ? "***" : value));
    }
    return "{" + join(parts, ", ") + "}";
  }
  if (const auto* fields = std::get_if<FieldsAccess>(&access)) {
    std::vector<std::string> parts;
    for (const Field& field : fields->at(target)) {
      std::string name = field.type == Type::kVarchar ? "text" : to_lower(type_name(field.type));
      parts.push_back(field.name + ": " + name + (field.nullable ? "" : " required"));
    }
    return "{" + join(parts, ", ") + "}";
  }
  if (const auto* plain = std::get_if<TextAccess>(&access)) {
    const std::string& text = plain->at(target);
    return text.empty() && !words.empty() ? words[0].name : text;
  }
  if (const auto* real = std::get_if<RealAccess>(&access)) {
    double value = real->get(target);
    const Word* word = word_of_value(*this, value);
    return word != nullptr ? word->name : format(value);
  }
  int64_t value = std::get<IntegerAccess>(access).get(target);
  if (const Word* word = word_of_value(*this, static_cast<double>(value))) return word->name;
  if (type == ValueType::kChoice) {
    return value >= 0 && static_cast<size_t>(value) < choices.size() ? choices[static_cast<size_t>(value)]
                                                                     : "";
  }
  if (type == ValueType::kSwitch) return value != 0 ? "true" : "false";
  if (type == ValueType::kCount) return std::to_string(value);  // exact beyond 2^53
  return format(static_cast<double>(value));
}

std::string Setting::expected() const {
  std::string text(kind_of(type).examples);
  if (type == ValueType::kChoice) text = list_choices(choices);
  if (type == ValueType::kList && !choices.empty()) text = "a list of some of " + list_choices(choices);
  for (const Word& word : words) text += ", or " + word.name;
  return text;
}

std::string Setting::noun() const {
  return std::string(kind_of(type).noun);
}

std::string Setting::bounds() const {
  bool low = min > std::numeric_limits<double>::lowest();
  bool high = max < std::numeric_limits<double>::max();
  std::string text;
  if (low && high) text = format(min) + " to " + format(max);
  if (low && !high) text = "at least " + format(min);
  if (!low && high) text = "at most " + format(max);
  for (const Word& word : words) text += ", or " + word.name;
  return low || high ? text : std::string();
}

std::string Setting::format(double value) const {
  auto whole = static_cast<int64_t>(value);
  switch (type) {
    case ValueType::kDuration:
      return value < 0 ? format_number(value / kOneSecondUs) + "s" : format_duration_us(whole);
    case ValueType::kBytes:
      return value < 0 ? format_number(value) : format_bytes(whole);
    case ValueType::kTime:
      return format_timestamp(whole, whole % kOneSecondUs == 0 ? 0 : 6);
    default:
      return format_number(value);
  }
}

const std::vector<Setting>& all_settings() {
  return table().settings;
}

const Setting* find_setting(std::string_view path) {
  auto found = table().by_path.find(std::string(path));
  return found == table().by_path.end() ? nullptr : &table().settings[found->second];
}

bool is_section(std::string_view path) {
  if (path.empty() || path == "serve.null") return true;
  for (const Setting& setting : all_settings()) {
    if (setting.path.size() > path.size() && setting.path.starts_with(path) &&
        setting.path[path.size()] == '.') {
      return true;
    }
  }
  return false;
}

std::vector<std::string> names_in(std::string_view section) {
  std::vector<std::string> names;
  for (const Setting& setting : all_settings()) {
    std::string_view rest = setting.path;
    if (!section.empty()) {
      if (rest.size() <= section.size() || !rest.starts_with(section) || rest[section.size()] != '.')
        continue;
      rest.remove_prefix(section.size() + 1);
    }
    std::string name(rest.substr(0, rest.find('.')));
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
  if (section == "serve") names.emplace_back("null");
  if (section.empty()) names.insert(names.end(), {"branches", "targets", "variants", "sizes"});
  return names;
}

std::vector<std::string> paths_named(std::string_view name) {
  std::vector<std::string> paths;
  for (const Setting& setting : all_settings()) {
    const std::string& path = setting.path;
    bool ends =
        path.size() > name.size() && path.ends_with(name) && path[path.size() - name.size() - 1] == '.';
    if (ends) paths.push_back(path);
  }
  return paths;
}

const Setting* shorthand_of(std::string_view section) {
  static constexpr std::pair<std::string_view, std::string_view> kShort[] = {
      {"event", "event.schema"},
      {"simulate", "simulate.profile"},
      {"process.enrich", "process.enrich.fields"},
      {"process.filter", "process.filter.where"},
      {"process.rekey", "process.rekey.by"},
      {"process.sql", "process.sql.query"},
      {"dead_letters", "dead_letters.name"},
  };
  for (const auto& [from, to] : kShort) {
    if (from == section) return find_setting(to);
  }
  return nullptr;
}

std::string default_text(const Setting& setting) {
  Solution solution;
  OperatorConfig step;
  return setting.get({&solution, &step});
}

const std::vector<std::string>& operator_names() {
  static const std::vector<std::string> names = {"enrich", "dedup", "filter", "project", "rekey", "sql"};
  return names;
}
const std::vector<std::string>& source_names() {
  static const std::vector<std::string> names = {"log", "kafka"};
  return names;
}
const std::vector<std::string>& sink_names() {
  static const std::vector<std::string> names = {"log",   "duckdb",   "files", "null",
                                                 "kafka", "postgres", "delta", "parquet"};
  return names;
}

}  // namespace tidemill::solution
