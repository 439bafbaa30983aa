// The JSON Schema of a solution file. It says what an editor can check while somebody types; what needs more
// than one setting is left to `tidemill check`.
#include <algorithm>

#include "base/text.h"
#include "event/json_splice.h"
#include "solution/fields.h"
#include "solution/reference.h"
#include "solution/settings.h"

namespace tidemill::solution {
namespace {

std::string text(std::string_view value) {
  std::string json;
  append_json_string(value, &json);
  return json;
}

std::string texts(const std::vector<std::string>& values) {
  std::vector<std::string> parts;
  for (const std::string& value : values) parts.push_back(text(value));
  return "[" + join(parts, ", ") + "]";
}

std::string pattern(std::string_view regular_expression) {
  return "{\"type\": \"string\", \"pattern\": " + text(regular_expression) + "}";
}

std::string bounded(const Setting& setting, std::string_view type) {
  std::string json = "{\"type\": " + text(type);
  if (setting.min > std::numeric_limits<double>::lowest())
    json += ", \"minimum\": " + format_number(setting.min);
  if (setting.max < std::numeric_limits<double>::max())
    json += ", \"maximum\": " + format_number(setting.max);
  return json + "}";
}

constexpr std::string_view kList = R"({"type": "array", "items": {"type": ["string", "number", "boolean"]}})";
constexpr std::string_view kPairs =
    R"({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})";

std::string fields_schema() {
  std::string type = "{\"type\": \"string\", \"examples\": " + texts(field_type_names()) + "}";
  std::string members = "\"type\": " + type +
                        ", \"path\": {\"type\": \"string\"}, \"required\": {\"type\": \"boolean\"}, "
                        "\"nullable\": {\"type\": \"boolean\"}";
  std::string in_map =
      "{\"type\": \"object\", \"required\": [\"type\"], \"additionalProperties\": false, \"properties\": {" +
      members + "}}";
  std::string in_list =
      "{\"type\": \"object\", \"required\": [\"name\", \"type\"], \"additionalProperties\": false, "
      "\"properties\": {\"name\": {\"type\": \"string\"}, " +
      members + "}}";
  return "{\"anyOf\": [{\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": {\"anyOf\": [" +
         type + ", " + in_map + "]}}, {\"type\": \"array\", \"minItems\": 1, \"items\": " + in_list + "}]}";
}

// What may stand for one setting, each alternative by itself.
std::vector<std::string> alternatives(const Setting& setting) {
  switch (setting.type) {
    case ValueType::kSwitch:
      return {R"({"type": "boolean"})", R"({"enum": ["on", "off", "yes", "no"]})"};
    case ValueType::kCount:
      return {bounded(setting, "integer"), pattern("^[-+]?[0-9][0-9_]*[kM]?$")};
    case ValueType::kNumber:
      return {bounded(setting, "number")};
    case ValueType::kRate:
      return {bounded(setting, "number"), pattern("^[0-9.]+ *[kM]?(/s)?$")};
    case ValueType::kDuration:
      return {pattern("^( *[0-9]+(\\.[0-9]+)? *(d|h|m|s|ms|us))+ *$"), R"({"const": 0})"};
    case ValueType::kBytes:
      return {bounded(setting, "integer"), pattern("^[0-9]+(\\.[0-9]+)? *([kKmMgGtT]i?)?[bB]$")};
    case ValueType::kTime:
      return {pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}")};
    case ValueType::kText:
      return {R"({"type": ["string", "number", "boolean"]})"};
    case ValueType::kList:
      if (setting.choices.empty()) return {std::string(kList)};
      return {"{\"type\": \"array\", \"uniqueItems\": true, \"items\": {\"enum\": " + texts(setting.choices) +
              "}}"};
    case ValueType::kPairs:
      return {std::string(kPairs)};
    case ValueType::kFields:
      return {fields_schema()};
    case ValueType::kChoice:
      break;
  }
  return {"{\"enum\": " + texts(setting.choices) + "}"};
}

std::string setting_schema(const Setting& setting) {
  std::vector<std::string> any = alternatives(setting);
  std::vector<std::string> words;
  for (const Setting::Word& word : setting.words) words.push_back(word.name);
  if (!words.empty() && setting.type != ValueType::kText) any.push_back("{\"enum\": " + texts(words) + "}");
  // YAML reads the plain word null as no value.
  if (setting.path == "serve") any.emplace_back(R"({"type": "null"})");
  bool substituted = setting.type != ValueType::kText && setting.type != ValueType::kPairs &&
                     setting.type != ValueType::kFields && !setting.verbatim;
  if (substituted) any.emplace_back(R"({"$ref": "#/$defs/environment"})");
  std::string fallback = setting.derived.empty() ? default_text(setting) : setting.derived;
  std::string description = setting.help + (fallback.empty() ? "" : "; default: " + fallback);
  return "{\"description\": " + text(description) + ", \"anyOf\": [" + join(any, ", ") + "]}";
}

std::string reference_to(const Setting& setting) {
  return "{\"$ref\": " + text("#/$defs/" + setting.path) + "}";
}

// A section as an object, and its one-word form where it has one.
std::string section_schema(const std::string& section, const std::string& indent);

std::string members_of(const std::string& section, const std::string& indent) {
  std::vector<std::string> members;
  for (const std::string& name : names_in(section)) {
    std::string path = section.empty() ? name : section + "." + name;
    if (path == "process" || path == "branches" || path == "targets" || path == "variants" || path == "sizes")
      continue;
    const Setting* setting = find_setting(path);
    bool below = is_section(path);
    std::string schema = below ? section_schema(path, indent + "  ") : reference_to(*setting);
    members.push_back("\n" + indent + "  " + text(name) + ": " + schema);
  }
  return join(members, ",");
}

std::string section_schema(const std::string& section, const std::string& indent) {
  bool choice = section == "serve" || section == "ingest";
  std::string object =
      std::string("{\"type\": ") +
      (choice ? "\"object\", \"minProperties\": 1, \"maxProperties\": 1" : "[\"object\", \"null\"]") +
      ", \"additionalProperties\": false";
  std::string members = members_of(section, indent);
  if (!members.empty()) object += ", \"properties\": {" + members + "\n" + indent + "}";
  object += "}";
  const Setting* one_word = choice ? find_setting(section) : shorthand_of(section);
  std::string help = "\"description\": " + text(section_help(section));
  if (one_word == nullptr) return "{" + help + ", \"anyOf\": [" + object + "]}";
  return "{" + help + ", \"anyOf\": [" + object + ", " + reference_to(*one_word) + "]}";
}

std::string process_schema() {
  std::string steps;
  for (const std::string& name : operator_names()) {
    if (!steps.empty()) steps += ",";
    steps += "\n          " + text(name) + ": " + section_schema("process." + name, "          ");
  }
  return "{\"description\": " + text(section_help("process")) +
         ", \"type\": [\"array\", \"null\"], \"items\": {\"anyOf\": [\n        {\"enum\": " +
         texts(operator_names()) +
         "},\n        {\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 1, "
         "\"additionalProperties\": false, "
         "\"properties\": {" +
         steps + "\n        }}]}}";
}

// What `targets`, `variants` and `sizes` hold.
std::string presets_schema(const std::string& option, const std::string& more) {
  std::string members;
  for (const Setting& setting : all_settings()) {
    if (setting.type == ValueType::kFields || setting.type == ValueType::kPairs) continue;
    if (!members.empty()) members += ",";
    members += "\n        " + text(setting.path) + ": " + reference_to(setting);
  }
  return "{\"description\": \"settings by their whole paths for each --" + option +
         "\", \"type\": \"object\", "
         "\"additionalProperties\": false, \"patternProperties\": {\"^[A-Za-z0-9_-]{1,20}$\": "
         "{\"type\": [\"object\", \"null\"], \"additionalProperties\": false, "
         "\"patternProperties\": {\"^process\\\\.[0-9]+\\\\.\": true}, \"properties\": {" +
         members + more + "\n      }}}}";
}

std::string branches_schema() {
  std::string members = "\"from\": {\"type\": \"string\"}";
  for (const char* section : {"event", "process", "serve", "dead_letters", "pipeline", "verify", "query"}) {
    members += ", " + text(section) + ": {\"$ref\": " + text(std::string("#/properties/") + section) + "}";
  }
  return "{\"description\": " + text(section_help("branches")) +
         ", \"type\": \"object\", \"additionalProperties\": false, \"patternProperties\": "
         "{\"^[A-Za-z0-9_-]{1,40}$\": {\"type\": \"object\", \"required\": [\"serve\"], "
         "\"additionalProperties\": false, \"properties\": {" +
         members + "}}}}";
}

}  // namespace

std::string settings_json_schema() {
  std::string json = "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n";
  json +=
      "  \"title\": \"Tidemill solution file\",\n  \"type\": \"object\",\n  \"required\": [\"event\", "
      "\"serve\"],\n";
  json += "  \"additionalProperties\": false,\n  \"properties\": {" + members_of("", "  ");
  const std::string whole_process = ",\n        \"process\": {\"$ref\": \"#/properties/process\"}";
  json += ",\n    \"process\": " + process_schema() + ",\n    \"branches\": " + branches_schema() +
          ",\n    \"targets\": " + presets_schema("target", whole_process) +
          ",\n    \"variants\": " + presets_schema("variant", whole_process) +
          ",\n    \"sizes\": " + presets_schema("size", "") + "\n  },\n";
  json += "  \"$defs\": {\n    \"environment\": " + pattern("\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-.*)?\\}");
  for (const Setting& setting : all_settings()) {
    json += ",\n    " + text(setting.path) + ": " + setting_schema(setting);
  }
  return json + "\n  }\n}\n";
}

}  // namespace tidemill::solution
