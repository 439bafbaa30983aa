// Rows whose texts cannot name a folder of Parquet files: for the sinks whose partitions are such folders.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "event/batch.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {

enum class FolderNulls : uint8_t {
  kInLog,     // what a value is stands elsewhere: any text may name a folder
  kInFolder,  // readers take some texts for NULL
};

// Why the folder `column=value` cannot be, or be read back as that value; empty: it can.
std::string partition_fault(std::string_view column, std::string_view value, FolderNulls nulls);

// Takes rows with such a text in one of the columns `partition_by` of `layout` out of `selected`, into the
// dead letters. Thread-safe. `fields`: the schema's.
void screen_partitions(const TableLayout& layout, const std::vector<Field>& fields,
                       const std::vector<std::string>& partition_by, FolderNulls nulls, Batch& batch);

}  // namespace tidemill::serve
