// Which names the things of a solution may have. Each function says what is wrong with one and what would be
// right, or returns an empty text.
#pragma once

#include <string>
#include <string_view>

namespace tidemill::solution {

// Only ASCII letters, digits, and the characters of `extra`.
bool holds_only(std::string_view text, std::string_view extra);

std::string topic_fault(const std::string& topic);
// Of a table or column; `what` is the word for it.
std::string identifier_fault(const std::string& name, std::string_view what);
// Whether a run makes this file or folder, at the top of its data directory, for itself.
bool is_of_run(std::string_view name);
// Of a folder in the run's data directory.
std::string folder_fault(const std::string& path);

}  // namespace tidemill::solution
