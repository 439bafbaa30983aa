// `event.fields`: the fields of somebody's own event.
//
//   fields: {station: text, temp: double, at: timestamp required}
//   fields:
//     temp: {type: double, path: reading.temp, required: true}
//   fields:
//     - {name: temp, type: double, path: reading.temp, nullable: false}
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "event/schema.h"
#include "solution/yaml.h"

namespace tidemill::solution {

// Reports what is wrong with line, path below event.fields ("temp.type", or "2.type" in a list) and message.
using FieldReport = std::function<void(int line, const std::string& path, std::string message)>;

// The fields that `node` describes; one that has a fault is kept as far as it could be read, so that
// whoever names it later is not told that it is missing.
std::vector<Field> read_fields(const YamlNode& node, const FieldReport& report);

// The types as messages and the reference name them.
const std::vector<std::string>& field_type_names();

}  // namespace tidemill::solution
