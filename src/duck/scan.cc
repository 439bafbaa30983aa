#include "duck/scan.h"

#include <optional>
#include <utility>

#include "duck/error.h"

namespace tidemill::duck {
namespace {

using OwnedFunction = Owned<duckdb_table_function, &Api::destroy_table_function>;

struct Registered {
  ScanFunction function;
  std::vector<OwnedType> types;        // of its columns
  std::optional<idx_t> connection_id;  // of the one that may call it
  DatabaseHandle* database = nullptr;  // which has the function
};

class OwnedContext {
 public:
  ~OwnedContext() {
    if (context != nullptr) api().destroy_client_context(&context);
  }
  idx_t connection_id() const { return api().client_context_get_connection_id(context); }
  duckdb_client_context context = nullptr;
};

// One call of the function in one statement.
struct Call {
  std::unique_ptr<Scan> scan;
  DatabaseHandle* database = nullptr;
  size_t column_count = 0;
  std::vector<size_t> wanted;  // the columns that the output has, by their numbers in the function
};

void bind(duckdb_bind_info info) {
  const auto& registered = *static_cast<const Registered*>(api().bind_get_extra_info(info));
  const ScanFunction& function = registered.function;
  if (registered.connection_id) {
    OwnedContext asking;
    api().table_function_get_client_context(info, &asking.context);
    if (asking.connection_id() != *registered.connection_id) {
      api().bind_set_error(info, (function.name + "() is for a pipeline's own use").c_str());
      return;
    }
  }
  for (size_t i = 0; i < function.columns.size(); ++i)
    api().bind_add_result_column(info, function.columns[i].name.c_str(), registered.types[i].get());
}

void init(duckdb_init_info info) {
  const auto& registered = *static_cast<const Registered*>(api().init_get_extra_info(info));
  const ScanFunction& function = registered.function;
  auto scan = function.open();
  if (!scan.ok()) {
    api().init_set_error(info, scan.error().message.c_str());
    return;
  }
  auto call = std::make_unique<Call>();
  call->scan = std::move(*scan);
  call->database = registered.database;
  call->column_count = function.columns.size();
  api().init_set_max_threads(info, call->scan->threads());
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
    {
      std::lock_guard lock(call.database->mutex);
      call.database->scan_error = rows.error().message;
    }
    api().function_set_error(info, rows.error().message.c_str());
    return;
  }
  api().data_chunk_set_size(output, *rows);
}

}  // namespace

Status register_scan(const std::shared_ptr<DatabaseHandle>& database, ScanFunction function,
                     const ConnectionHandle* only_for) {
  ConnectionHandle connection(database);
  if (api().connect(database->database, &connection.connection) != DuckDBSuccess) {
    return internal_error("DuckDB: no connection");
  }
  auto registered = std::make_unique<Registered>();
  for (const ScanColumn& column : function.columns) {
    OwnedResult asked;
    const std::string sql = "SELECT CAST(NULL AS " + column.type + ")";
    if (api().query(connection.connection, sql.c_str(), &asked.result) != DuckDBSuccess) {
      return error_of(text_or(api().result_error(&asked.result), "Parser Error: no type"))
          .within("column " + column.name);
    }
    registered->types.emplace_back(api().column_logical_type(&asked.result, 0));
  }
  if (only_for != nullptr) {
    OwnedContext context;
    api().connection_get_client_context(only_for->connection, &context.context);
    registered->connection_id = context.connection_id();
  }
  OwnedFunction made(api().create_table_function());
  const std::string name = function.name;
  api().table_function_set_name(made.get(), name.c_str());
  registered->function = std::move(function);
  registered->database = database.get();
  api().table_function_set_extra_info(made.get(), registered.release(),
                                      [](void* data) { delete static_cast<Registered*>(data); });
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
