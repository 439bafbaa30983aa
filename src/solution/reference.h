// What the table of settings gives to people and editors: `tidemill docs settings`, which is the body of
// docs/solution-file.md, and `tidemill docs schema`, which is solutions/solution.schema.json.
#pragma once

#include <string>

namespace tidemill::solution {

// Markdown: a heading and a table for each section.
std::string settings_markdown();
// JSON Schema, draft 2020-12.
std::string settings_json_schema();

}  // namespace tidemill::solution
