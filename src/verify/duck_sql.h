// SQL that the verifier gives to DuckDB: names, paths and types of the stores that it reads with it.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>

namespace tidemill::verify {

// Between quotes, those inside doubled: a name between ", a text between '.
std::string sql_quoted(std::string_view text, char quote = '"');
// A literal of a path, or of a pattern whose beginning is a path: that stands for itself.
std::string pattern_literal(std::string_view path, std::string_view pattern = {});
// Of a type as Delta's schemas write it: "long", {"type": "struct", "fields": […]}.
std::string sql_type(simdjson::dom::element type);

}  // namespace tidemill::verify
