// Looking fields up when an operator is bound, with errors that name the nearest one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/schema.h"

namespace tidemill::process {

std::vector<std::string> field_names(const Schema& schema);

// The end of an error message about an unknown name: "; did you mean deviceId?", or where none is near the
// first ones that there are.
std::string suggest_name(std::string_view wanted, const std::vector<std::string>& names);

// The field of that name; the pointer is good until the schema changes. `option` is the place in the solution
// file that the error names: "id". Errors: kUser, kNotFound.
Result<const Field*> find_field(const Schema& schema, std::string_view name, std::string_view option);

// Adds the field, or replaces the one that has its name: the event's own member of that name is
// replaced too (json_splice.h). Added fields are top-level members: their path is their name.
void set_field(Schema* schema, const std::string& name, Type type, bool nullable);

}  // namespace tidemill::process
