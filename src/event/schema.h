// What the fields of an event are: names, SQL types, paths, nullability.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill {

// SQL types. Columns hold booleans as a bitmap, all integers and timestamps as int64.
enum class Type : uint8_t {
  kBoolean,
  kInteger,    // 32-bit; a value outside is a wrong type
  kBigint,     // 64-bit
  kDouble,     // any JSON number
  kTimestamp,  // ISO 8601 text with Z or an offset; microseconds UTC. Finer digits are cut off
  kVarchar,    // JSON string, unescaped
  kJson,       // any JSON value, its text as it stands in the event
};
std::string_view type_name(Type type);                  // "BIGINT"
std::optional<Type> parse_type(std::string_view name);  // SQL's names and usual aliases, any case

struct Field {
  std::string name;               // the column: "complexData.moreData7"
  std::vector<std::string> path;  // the members to follow: {"complexData", "moreData7"}
  Type type = Type::kVarchar;
  bool nullable = true;  // false: an event without it goes to the dead letter
};

struct Schema {
  std::string name;
  std::vector<Field> fields;
  // Roles that operators and the verifier need; empty where the event has none.
  std::string id_field;        // "eventId"
  std::string key_field;       // "deviceId"
  std::string sequence_field;  // "deviceSequenceNumber"
  std::string time_field;      // "createdAt"

  // The index of the field, or -1.
  int find(std::string_view field_name) const;
};

// Splits "complexData.moreData7" at its dots; a dot inside a name is written "\.".
std::vector<std::string> split_path(std::string_view dotted);

// The documented telemetry event; `complex_count` members moreData<first>….
Schema telemetry_schema(int complex_count = 23, int first = 0);
// The sensor event of the big-data-cluster guide: sensor, measure1, measure2.
Schema sensor_schema();

}  // namespace tidemill
