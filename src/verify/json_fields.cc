#include "verify/json_fields.h"

#include <simdjson.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace tidemill::verify {

namespace dom = simdjson::dom;

namespace {

// Members by the paths of the specs: a level of the object.
struct Level {
  std::map<std::string, Level, std::less<>> below;  // empty: a leaf
};

}  // namespace

struct JsonFields::Impl {
  dom::parser parser;
  std::string padded;
  dom::element root;
  bool parsed = false;
  std::deque<std::string> texts;  // of JSON values
  Level level;

  simdjson::error_code parse(std::string_view json);
};

simdjson::error_code JsonFields::Impl::parse(std::string_view json) {
  if (padded.size() < json.size() + simdjson::SIMDJSON_PADDING) {
    padded.resize((json.size() + simdjson::SIMDJSON_PADDING) * 2);
  }
  std::copy(json.begin(), json.end(), padded.begin());
  std::fill_n(padded.begin() + static_cast<std::ptrdiff_t>(json.size()), simdjson::SIMDJSON_PADDING, '\0');
  return parser.parse(padded.data(), json.size(), false).get(root);
}

JsonFields::JsonFields(std::vector<FieldSpec> specs, size_t max_bytes)
    : specs_(std::move(specs)), max_bytes_(max_bytes), impl_(std::make_unique<Impl>()) {
  for (const FieldSpec& spec : specs_) {
    Level* level = &impl_->level;
    for (const std::string& name : spec.path) level = &level->below[name];
  }
}
JsonFields::~JsonFields() = default;

namespace {

constexpr size_t kMaxDepth = 64;
// Begins a string that stands for a number, by its text.
constexpr std::string_view kNumberTag = "\x01number ";

bool is_number_text(dom::element element) {
  std::string_view text;
  return element.get(text) == simdjson::SUCCESS && text.starts_with(kNumberTag);
}

bool has_number_text(dom::element element) {
  if (dom::object object; element.get(object) == simdjson::SUCCESS) {
    for (auto member : object) {
      if (has_number_text(member.value)) return true;
    }
  } else if (dom::array array; element.get(array) == simdjson::SUCCESS) {
    for (dom::element each : array) {
      if (has_number_text(each)) return true;
    }
  }
  return is_number_text(element);
}

bool is_number(std::string_view token) {
  const auto digits = [&](size_t at) {
    return std::min(token.find_first_not_of("0123456789", at), token.size()) - at;
  };
  size_t at = token.starts_with('-') ? 1 : 0;
  const size_t whole = digits(at);
  if (whole == 0 || (whole > 1 && token[at] == '0')) return false;
  at += whole;
  if (at < token.size() && token[at] == '.') {
    const size_t fraction = digits(at + 1);
    if (fraction == 0) return false;
    at += 1 + fraction;
  }
  if (at < token.size() && (token[at] == 'e' || token[at] == 'E')) {
    ++at;
    if (at < token.size() && (token[at] == '+' || token[at] == '-')) ++at;
    const size_t exponent = digits(at);
    if (exponent == 0) return false;
    at += exponent;
  }
  return at == token.size();
}

// The same JSON with those numbers as strings that the parser does not take for their size; what is no JSON
// stays none.
std::string with_large_numbers_as_text(std::string_view json, dom::parser& parser) {
  std::string out;
  const auto is_large = [&](std::string_view token) {
    return is_number(token) && parser.parse(simdjson::padded_string(token)).error() != simdjson::SUCCESS;
  };
  for (size_t at = 0; at < json.size();) {
    size_t end = at + 1;
    if (json[at] == '"') {
      while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, json.size());
    } else if (json[at] == '-' || (json[at] >= '0' && json[at] <= '9')) {
      end = std::min(json.find_first_not_of("+-.0123456789eE", at), json.size());
      if (const std::string_view token = json.substr(at, end - at); is_large(token)) {
        out.append("\"\\u0001").append(kNumberTag.substr(1)).append(token).append("\"");
        at = end;
        continue;
      }
    }
    out.append(json, at, end - at);
    at = end;
  }
  return out;
}

size_t depth_of(dom::element element) {
  size_t deepest = 0;
  if (dom::object object; element.get(object) == simdjson::SUCCESS) {
    for (auto member : object) deepest = std::max(deepest, depth_of(member.value));
    return deepest + 1;
  }
  if (dom::array array; element.get(array) == simdjson::SUCCESS) {
    for (dom::element each : array) deepest = std::max(deepest, depth_of(each));
    return deepest + 1;
  }
  return 0;
}

// False: of another type than the field's.
bool read_value(dom::element element, FieldType type, std::deque<std::string>* texts, FieldValue* out) {
  int64_t integer = 0;
  double real = 0;
  bool boolean = false;
  std::string_view text;
  switch (type) {
    case FieldType::kBoolean:
      if (element.get(boolean) != simdjson::SUCCESS) return false;
      *out = FieldValue::of_boolean(boolean);
      return true;
    case FieldType::kInteger:
    case FieldType::kBigint:
      if (!element.is_int64() || element.get(integer) != simdjson::SUCCESS) return false;
      if (type == FieldType::kInteger && (integer < INT32_MIN || integer > INT32_MAX)) return false;
      *out = FieldValue::of_integer(integer);
      return true;
    case FieldType::kDouble:
      if (!element.is_number() || element.get(real) != simdjson::SUCCESS) return false;
      *out = FieldValue::of_double(real);
      return true;
    case FieldType::kTimestamp:
      if (element.get(text) != simdjson::SUCCESS || !parse_timestamp(text, &integer)) return false;
      *out = FieldValue::of_timestamp(integer);
      return true;
    case FieldType::kText:
      if (element.get(text) != simdjson::SUCCESS) return false;
      *out = FieldValue::of_text(text);
      return true;
    case FieldType::kJson:
      texts->push_back(simdjson::minify(element));
      *out = FieldValue::of_text(texts->back());
      return true;
  }
  return false;
}

// Empty, or what is wrong with the field.
std::string read_field(dom::element root, const FieldSpec& spec, std::deque<std::string>* texts,
                       FieldValue* out) {
  dom::element at = root;
  bool found = true;
  for (const std::string& name : spec.path) {
    if (at.is_null()) found = false;
    if (!found) break;
    dom::object level;
    if (at.get(level) != simdjson::SUCCESS)
      return spec.undecoded ? "" : spec.name + ": a part of its path is not an object";
    found = level.at_key(name).get(at) == simdjson::SUCCESS;
  }
  if (!found || at.is_null()) {
    return spec.nullable ? "" : spec.name + " is missing";
  }
  return read_value(at, spec.type, texts, out) ? "" : spec.name + " has another type";
}

bool is_large_number(dom::element at, const FieldSpec& spec) {
  for (const std::string& name : spec.path) {
    dom::object level;
    if (at.get(level) != simdjson::SUCCESS || level.at_key(name).get(at) != simdjson::SUCCESS) return false;
  }
  return spec.type == FieldType::kJson ? has_number_text(at) : is_number_text(at);
}

bool all_found(dom::object object, const Level& level, size_t extra) {
  if (object.size() != level.below.size() + extra) return false;
  for (const auto& [name, below] : level.below) {
    dom::element element;
    if (object.at_key(name).get(element) != simdjson::SUCCESS) return false;
    if (below.below.empty()) continue;
    dom::object inner;
    if (element.get(inner) != simdjson::SUCCESS || !all_found(inner, below, 0)) return false;
  }
  return true;
}

struct Added {
  const std::vector<std::string>& names;
  bool are_new;  // what bears their names in the object is to be replaced, however often it stands there
};

void append_member(const std::string& name, dom::element value, std::string* out) {
  if (!out->empty()) *out += ',';
  out->append(1, '"').append(name).append("\":").append(simdjson::minify(value));
}

// Members of the object that no level names, and those that stand there again.
void append_further(dom::object object, const Level& level, const Added& added, const std::string& prefix,
                    std::string* out) {
  std::set<std::string_view> seen;
  for (auto member : object) {
    const auto known = level.below.find(member.key);
    const bool again = !seen.insert(member.key).second;
    const bool is_added =
        prefix.empty() && std::find(added.names.begin(), added.names.end(), member.key) != added.names.end();
    if (is_added && (added.are_new || !again)) continue;
    const std::string name = prefix + std::string(member.key);
    if (!again && known != level.below.end()) {
      dom::object inner;
      if (known->second.below.empty()) continue;
      if (member.value.get(inner) == simdjson::SUCCESS) {
        append_further(inner, known->second, {{}, false}, name + ".", out);
        continue;
      }
    }
    append_member(name, member.value, out);
  }
}

}  // namespace

Decoded JsonFields::decode(std::string_view json, std::vector<FieldValue>* values,
                           std::vector<uint8_t>* unreadable, std::string* wrong) {
  values->assign(specs_.size(), FieldValue{});
  unreadable->assign(specs_.size(), 0);
  impl_->texts.clear();
  impl_->root = dom::element();
  impl_->parsed = false;
  if (json.size() > max_bytes_) return Decoded::kUnsure;
  auto error = impl_->parse(json);
  const bool large_numbers = error == simdjson::NUMBER_ERROR;
  if (large_numbers) error = impl_->parse(with_large_numbers_as_text(json, impl_->parser));
  if (error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR) return Decoded::kUnsure;
  dom::object object;
  if (error != simdjson::SUCCESS || impl_->root.get(object) != simdjson::SUCCESS) {
    *wrong = error != simdjson::SUCCESS ? simdjson::error_message(error) : "not an object";
    return Decoded::kMalformed;
  }
  impl_->parsed = true;
  if (depth_of(impl_->root) > kMaxDepth / 2) return Decoded::kUnsure;
  Decoded outcome = Decoded::kOk;
  for (size_t n = 0; n < specs_.size(); ++n) {
    // What the pipeline makes of a number beyond a field's type is not judged here.
    if (large_numbers && !specs_[n].undecoded && is_large_number(impl_->root, specs_[n]))
      return Decoded::kUnsure;
    std::string problem = read_field(impl_->root, specs_[n], &impl_->texts, &(*values)[n]);
    if (problem.empty()) continue;
    (*unreadable)[n] = 1;
    if (outcome == Decoded::kOk) *wrong = problem;
    outcome = Decoded::kMalformed;
  }
  return outcome;
}

std::string JsonFields::further_members(const std::vector<std::string>& added, bool added_are_new) const {
  dom::object object;
  if (!impl_->parsed || impl_->root.get(object) != simdjson::SUCCESS) return {};
  size_t extra = 0;
  for (const std::string& name : added) {
    dom::element element;
    if (!impl_->level.below.contains(name) && object.at_key(name).get(element) == simdjson::SUCCESS) ++extra;
  }
  // Each known name found, and no more members than those: nothing else is there, and nothing twice.
  if (all_found(object, impl_->level, extra)) return {};
  std::string out;
  append_further(object, impl_->level, {added, added_are_new}, "", &out);
  return out;
}

bool JsonFields::member(std::string_view name, FieldValue* value) const {
  dom::object object;
  dom::element element;
  if (!impl_->parsed || impl_->root.get(object) != simdjson::SUCCESS ||
      object.at_key(name).get(element) != simdjson::SUCCESS) {
    return false;
  }
  int64_t integer = 0;
  std::string_view text;
  if (element.get(text) == simdjson::SUCCESS) {
    *value = FieldValue::of_text(text);
    return true;
  }
  if (element.get(integer) != simdjson::SUCCESS) return false;
  *value = FieldValue::of_integer(integer);
  return true;
}

bool canonical_json(std::string_view text, std::string* out) {
  dom::parser parser;
  dom::element element;
  simdjson::padded_string padded(text);
  if (parser.parse(padded).get(element) != simdjson::SUCCESS) return false;
  *out = simdjson::minify(element);
  return true;
}

}  // namespace tidemill::verify
