#include "duck/scan.h"

#include <utility>

#include "duck/error.h"

namespace tidemill::duck {
namespace {

using OwnedFunction = Owned<duckdb_table_function, &Api::destroy_table_function>;

duckdb_type type_of(ScanColumn::Type type) {
  switch (type) {
    case ScanColumn::kInteger:
      return DUCKDB_TYPE_INTEGER;
    case ScanColumn::kBigint:
      return DUCKDB_TYPE_BIGINT;
    case ScanColumn::kTimestamp:
      return DUCKDB_TYPE_TIMESTAMP;
    case ScanColumn::kVarchar:
      return DUCKDB_TYPE_VARCHAR;
  }
  return DUCKDB_TYPE_INVALID;
}

// One call of the function in one statement.
struct Call {
  std::unique_ptr<Scan> scan;
  size_t column_count = 0;
  std::vector<size_t> wanted;  // the columns that the output has, by their numbers in the function
};

void bind(duckdb_bind_info info) {
  const auto& function = *static_cast<const ScanFunction*>(api().bind_get_extra_info(info));
  for (const ScanColumn& column : function.columns) {
    OwnedType type(api().create_logical_type(type_of(column.type)));
    api().bind_add_result_column(info, column.name.c_str(), type.get());
  }
}

void init(duckdb_init_info info) {
  const auto& function = *static_cast<const ScanFunction*>(api().init_get_extra_info(info));
  auto scan = function.open();
  if (!scan.ok()) {
    api().init_set_error(info, scan.error().message.c_str());
    return;
  }
  auto call = std::make_unique<Call>();
  call->scan = std::move(*scan);
  call->column_count = function.columns.size();
  for (idx_t i = 0; i < api().init_get_column_count(info); ++i) {
    // Beyond the last: what count(*) asks for, a row and none of its columns.
    call->wanted.push_back(api().init_get_column_index(info, i));
  }
  api().init_set_init_data(info, call.release(), [](void* data) { delete static_cast<Call*>(data); });
}

void fill(duckdb_function_info info, duckdb_data_chunk output) {
  Call& call = *static_cast<Call*>(api().function_get_init_data(info));
  std::vector<_duckdb_vector*> columns(call.column_count, nullptr);
  for (size_t i = 0; i < call.wanted.size(); ++i) {
    if (call.wanted[i] < columns.size()) columns[call.wanted[i]] = api().data_chunk_get_vector(output, i);
  }
  auto rows = call.scan->next(columns, api().vector_size());
  if (!rows.ok()) {
    api().function_set_error(info, rows.error().message.c_str());
    return;
  }
  api().data_chunk_set_size(output, *rows);
}

}  // namespace

Status register_scan(const std::shared_ptr<DatabaseHandle>& database, ScanFunction function) {
  ConnectionHandle connection(database);
  if (api().connect(database->database, &connection.connection) != DuckDBSuccess) {
    return internal_error("DuckDB: no connection");
  }
  OwnedFunction made(api().create_table_function());
  const std::string name = function.name;
  api().table_function_set_name(made.get(), name.c_str());
  api().table_function_set_extra_info(made.get(), new ScanFunction(std::move(function)),
                                      [](void* data) { delete static_cast<ScanFunction*>(data); });
  api().table_function_set_bind(made.get(), bind);
  api().table_function_set_init(made.get(), init);
  api().table_function_set_function(made.get(), fill);
  api().table_function_supports_projection_pushdown(made.get(), true);
  if (api().register_table_function(connection.connection, made.get()) != DuckDBSuccess) {
    return internal_error("DuckDB: a function " + name + "() cannot be added");
  }
  return {};
}

}  // namespace tidemill::duck
