// The grammar of one `${…}`: a name, and where it takes some, arguments in brackets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "simulate/template.h"

namespace tidemill::simulate {

// "line 3, column 14", both from 1; `at` is a byte position in `text`.
std::string place_in_text(std::string_view text, size_t at);

// Reads the variable whose `${` stands at `*at`, and moves `*at` behind its `}`.
Result<Template::Part> parse_variable(std::string_view text, size_t* at);

}  // namespace tidemill::simulate
