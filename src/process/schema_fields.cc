#include "process/schema_fields.h"

#include <algorithm>

#include "base/text.h"

namespace tidemill::process {

std::vector<std::string> field_names(const Schema& schema) {
  std::vector<std::string> names;
  for (const Field& field : schema.fields) names.push_back(field.name);
  return names;
}

std::string suggest_name(std::string_view wanted, const std::vector<std::string>& names) {
  constexpr size_t kMost = 10;
  std::string suggestion = did_you_mean(wanted, names);
  if (!suggestion.empty() || names.empty()) return suggestion;
  std::vector<std::string> first(names.begin(),
                                 names.begin() + static_cast<ptrdiff_t>(std::min(kMost, names.size())));
  return "; there are " + join(first, ", ") + (names.size() > kMost ? " …" : "");
}

Result<const Field*> find_field(const Schema& schema, std::string_view name, std::string_view option) {
  int index = schema.find(name);
  if (index >= 0) return &schema.fields[static_cast<size_t>(index)];
  std::string event = schema.name.empty() ? "the event" : "event " + schema.name;
  return user_error(std::string(option) + ": " + event + " has no field " + std::string(name) +
                        suggest_name(name, field_names(schema)),
                    Code::kNotFound);
}

void set_field(Schema* schema, const std::string& name, Type type, bool nullable) {
  Field field{name, {name}, type, nullable};
  int index = schema->find(name);
  if (index >= 0) {
    schema->fields[static_cast<size_t>(index)] = std::move(field);
  } else {
    schema->fields.push_back(std::move(field));
  }
}

}  // namespace tidemill::process
