#include "event/schema.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tidemill {
namespace {

constexpr std::pair<std::string_view, Type> kTypeNames[] = {
    // The first name of each type is the one that is printed.
    {"BOOLEAN", Type::kBoolean},
    {"INTEGER", Type::kInteger},
    {"BIGINT", Type::kBigint},
    {"DOUBLE", Type::kDouble},
    {"TIMESTAMP", Type::kTimestamp},
    {"VARCHAR", Type::kVarchar},
    {"JSON", Type::kJson},
    {"BOOL", Type::kBoolean},
    {"LOGICAL", Type::kBoolean},
    {"INT", Type::kInteger},
    {"INT4", Type::kInteger},
    {"INT32", Type::kInteger},
    {"INT8", Type::kBigint},
    {"INT64", Type::kBigint},
    {"LONG", Type::kBigint},
    {"DOUBLE PRECISION", Type::kDouble},
    {"FLOAT", Type::kDouble},
    {"FLOAT8", Type::kDouble},
    {"DATETIME", Type::kTimestamp},
    {"TIMESTAMPTZ", Type::kTimestamp},
    {"TIMESTAMP WITH TIME ZONE", Type::kTimestamp},
    {"TEXT", Type::kVarchar},
    {"STRING", Type::kVarchar},
    {"CHARACTER VARYING", Type::kVarchar},
};

bool equal_without_case(std::string_view a, std::string_view upper) {
  return std::equal(a.begin(), a.end(), upper.begin(), upper.end(), [](char left, char right) {
    return (left >= 'a' && left <= 'z' ? static_cast<char>(left - 'a' + 'A') : left) == right;
  });
}

Field required(std::string name, Type type) {
  return Field{name, {name}, type, false};
}

}  // namespace

std::string_view type_name(Type type) {
  for (const auto& [name, named] : kTypeNames) {
    if (named == type) return name;
  }
  return "?";
}

std::optional<Type> parse_type(std::string_view name) {
  for (const auto& [known, type] : kTypeNames) {
    if (equal_without_case(name, known)) return type;
  }
  return std::nullopt;
}

int Schema::find(std::string_view field_name) const {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (fields[i].name == field_name) return static_cast<int>(i);
  }
  return -1;
}

std::vector<std::string> split_path(std::string_view dotted) {
  std::vector<std::string> path(1);
  for (size_t i = 0; i < dotted.size(); ++i) {
    if (dotted[i] == '\\' && i + 1 < dotted.size() && dotted[i + 1] == '.') {
      path.back() += dotted[++i];
    } else if (dotted[i] == '.') {
      path.emplace_back();
    } else {
      path.back() += dotted[i];
    }
  }
  return path;
}

Schema telemetry_schema(int complex_count, int first) {
  Schema schema;
  schema.name = "telemetry";
  schema.fields.push_back(required("eventId", Type::kVarchar));
  for (int i = first; i < first + complex_count; ++i) {
    std::string name = "moreData" + std::to_string(i);
    schema.fields.push_back(Field{"complexData." + name, {"complexData", name}, Type::kDouble, true});
  }
  schema.fields.push_back(required("value", Type::kDouble));
  schema.fields.push_back(required("deviceId", Type::kVarchar));
  schema.fields.push_back(required("deviceSequenceNumber", Type::kBigint));
  schema.fields.push_back(required("type", Type::kVarchar));
  schema.fields.push_back(required("createdAt", Type::kTimestamp));
  schema.id_field = "eventId";
  schema.key_field = "deviceId";
  schema.sequence_field = "deviceSequenceNumber";
  schema.time_field = "createdAt";
  return schema;
}

Schema sensor_schema() {
  Schema schema;
  schema.name = "sensor";
  schema.fields.push_back(Field{"sensor", {"sensor"}, Type::kVarchar, true});
  schema.fields.push_back(Field{"measure1", {"measure1"}, Type::kDouble, true});
  schema.fields.push_back(Field{"measure2", {"measure2"}, Type::kDouble, true});
  return schema;
}

}  // namespace tidemill
