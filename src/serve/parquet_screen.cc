#include "serve/parquet_screen.h"

#include <algorithm>

#include "serve/dead_letters.h"

namespace tidemill::serve {
namespace {

constexpr size_t kMostNameBytes = 255;  // of a folder's name: NAME_MAX of Linux
constexpr std::string_view kHiveNull = "__HIVE_DEFAULT_PARTITION__";

// As DuckDB writes it: a byte that is none of these is %XX.
size_t encoded_bytes(std::string_view text) {
  const auto plain = std::count_if(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '~';
  });
  return 3 * text.size() - 2 * static_cast<size_t>(plain);
}

// DuckDB takes "null", in any case, for NULL.
bool spells_null(std::string_view text) {
  constexpr std::string_view kNull = "null";
  return std::equal(text.begin(), text.end(), kNull.begin(), kNull.end(),
                    [](char a, char b) { return (a | 0x20) == b; });
}

}  // namespace

std::string partition_fault(std::string_view column, std::string_view value, FolderNulls nulls) {
  const size_t bytes = encoded_bytes(column) + 1 + encoded_bytes(value);
  if (bytes > kMostNameBytes) {
    return "its partition's folder would have a name of " + std::to_string(bytes) + " bytes; the most is " +
           std::to_string(kMostNameBytes);
  }
  if (nulls == FolderNulls::kInFolder && (value == kHiveNull || spells_null(value)))
    return std::string(value) + " in a folder's name means NULL";
  return {};
}

void screen_partitions(const TableLayout& layout, const std::vector<Field>& fields,
                       const std::vector<std::string>& partition_by, FolderNulls nulls, Batch& batch) {
  std::vector<RowFault> faults;
  for (const TableColumn& as : layout.columns) {
    if (as.kind != TableColumn::kField ||
        std::find(partition_by.begin(), partition_by.end(), as.name) == partition_by.end())
      continue;
    const Column* column = batch.column(fields[as.field].name);
    if (column == nullptr || !column->is_text()) continue;
    for (uint32_t row : batch.selected) {
      if (!column->valid(row)) continue;
      std::string reason = partition_fault(as.name, column->text_at(row), nulls);
      if (!reason.empty()) faults.push_back({row, fields[as.field].name + ": " + reason});
    }
  }
  move_to_dead_letters(std::move(faults), batch);
}

}  // namespace tidemill::serve
