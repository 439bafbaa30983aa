// The text of a query's rows: cells of CSV, lines of a table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tidemill::solution {

std::string csv_cell(const std::string& text);
// Display width: code points, which is right for all but wide scripts.
size_t width_of(std::string_view text);
// A cell of a table, which is for eyes: a nested value or a long text would push all else off the screen.
std::string clipped(std::string text);
// `right`: which columns stand at the right.
std::string table_line(const std::vector<std::string>& cells, const std::vector<size_t>& widths,
                       const std::vector<bool>& right);
// A path as part of a pattern of files: it stands for itself.
std::string pattern_of(const std::string& path);

}  // namespace tidemill::solution
