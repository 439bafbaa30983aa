#include "solution/fields.h"

#include <algorithm>

#include "base/text.h"

namespace tidemill::solution {
namespace {

constexpr size_t kMaxFields = 10'000;

std::optional<bool> read_switch(const std::string& text) {
  if (text == "true" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "no" || text == "off") return false;
  return std::nullopt;
}

class FieldReader {
 public:
  FieldReader(const std::string& path, const FieldReport& report) : path_(path), report_(report) {}

  // "double", "timestamp required", "bigint not null"
  void read_type(const YamlNode& node, std::string_view below, Field& field) {
    if (node.kind != YamlNode::kScalar) {
      fault(node.line, below,
            std::string(node.kind_name()) + " where a type is expected; give one of " + types());
      return;
    }
    std::string text = to_lower(trim(node.text));
    for (std::string_view suffix : {" required", " not null"}) {
      if (text.ends_with(suffix)) {
        field.nullable = false;
        text = std::string(trim(text.substr(0, text.size() - suffix.size())));
      }
    }
    std::optional<Type> type = parse_type(text);
    if (type) {
      field.type = *type;
    } else {
      fault(node.line, below,
            '"' + text.substr(0, kMaxCited) + "\" is not a type; give one of " + types() +
                did_you_mean(text, field_type_names()));
    }
  }

  // {type: …, path: …, required: …}
  void read_map(const YamlNode& map, bool in_list, Field& field) {
    static const std::vector<std::string> kKeys = {"type", "path", "required", "nullable"};
    const bool nested = !in_list && !map.entries.empty() &&
                        std::none_of(map.entries.begin(), map.entries.end(), [](const YamlEntry& entry) {
                          return std::find(kKeys.begin(), kKeys.end(), entry.key) != kKeys.end() ||
                                 !did_you_mean(entry.key, kKeys).empty();
                        });
    if (nested) {
      const std::string inner = field.name + "." + map.entries.front().key;
      fault(map.line, "",
            "a field inside of an object is named by its path; give " + inner + ": double, or what it is");
      return;
    }
    bool typed = false;
    for (const YamlEntry& entry : map.entries) {
      const YamlNode& value = entry.value;
      if (entry.key == "type") {
        typed = true;
        read_type(value, ".type", field);
      } else if (entry.key == "required" || entry.key == "nullable") {
        std::optional<bool> on = value.kind == YamlNode::kScalar ? read_switch(value.text) : std::nullopt;
        if (on) field.nullable = *on == (entry.key == "nullable");
        if (!on) fault(entry.line, "." + entry.key, "give true or false");
      } else if (entry.key == "path") {
        if (value.kind == YamlNode::kScalar && !value.text.empty()) {
          field.path = split_path(value.text);
        } else {
          fault(entry.line, ".path", "give the names to follow, as reading.temp");
        }
      } else if (entry.key != "name" || !in_list) {
        fault(entry.line, "." + entry.key,
              "no such setting of a field; its settings are type, path, required and nullable" +
                  did_you_mean(entry.key, kKeys));
      }
    }
    if (!typed) fault(map.line, ".type", "is missing; give one of " + types());
  }

 private:
  static std::string types() { return join(field_type_names(), ", "); }
  void fault(int line, std::string_view below, std::string message) {
    report_(line, path_ + std::string(below), std::move(message));
  }

  std::string path_;
  const FieldReport& report_;
};

Field named(const std::string& name) {
  Field field;
  field.name = name;
  field.path = split_path(name);
  return field;
}

void read_entry(const YamlEntry& entry, const FieldReport& report, std::vector<Field>& fields) {
  Field field = named(entry.key);
  FieldReader reader(entry.key, report);
  if (entry.value.kind == YamlNode::kMap) {
    reader.read_map(entry.value, false, field);
  } else {
    reader.read_type(entry.value, "", field);
  }
  fields.push_back(std::move(field));
}

void read_item(const YamlNode& item, size_t number, const FieldReport& report, std::vector<Field>& fields) {
  const YamlNode* name = item.find("name");
  if (item.kind != YamlNode::kMap || name == nullptr || name->kind != YamlNode::kScalar ||
      name->text.empty()) {
    report(item.line, std::to_string(number),
           "a field needs a name and a type; give {name: temp, type: double}");
    return;
  }
  Field field = named(name->text);
  FieldReader(std::to_string(number), report).read_map(item, true, field);
  fields.push_back(std::move(field));
}

void check_names(const YamlNode& node, const std::vector<Field>& fields, const FieldReport& report) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.push_back(field.name);
  std::sort(names.begin(), names.end());
  auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) report(node.line, *twice, "two fields of this name; keep one of them");
  for (const Field& field : fields) {
    bool empty = std::any_of(field.path.begin(), field.path.end(),
                             [](const std::string& step) { return step.empty(); });
    if (field.name.empty() || empty) {
      report(
          node.line, field.name,
          "an empty name, or a dot at its end; give names as temp or reading.temp (\\. for a dot in a name)");
    }
  }
}

}  // namespace

const std::vector<std::string>& field_type_names() {
  static const std::vector<std::string> names = {"boolean",   "integer", "bigint", "double",
                                                 "timestamp", "text",    "json"};
  return names;
}

std::vector<Field> read_fields(const YamlNode& node, const FieldReport& report) {
  std::vector<Field> fields;
  if (node.items.size() + node.entries.size() > kMaxFields) {
    report(node.line, "",
           "more than " + std::to_string(kMaxFields) + " fields; name only those that are used");
    return fields;
  }
  for (const YamlEntry& entry : node.entries) read_entry(entry, report, fields);
  for (size_t i = 0; i < node.items.size(); ++i) read_item(node.items[i], i + 1, report, fields);
  if (node.items.empty() && node.entries.empty()) {
    report(node.line, "", "no fields; give names and types, as {station: text, temp: double}");
  }
  check_names(node, fields, report);
  return fields;
}

}  // namespace tidemill::solution
