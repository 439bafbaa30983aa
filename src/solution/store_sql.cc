#include "solution/store_sql.h"

#include "serve/duckdb_table.h"
#include "serve/postgres_table.h"

namespace tidemill::solution {
namespace {

// Where the columns do not come from: a source or a topic need not be there for them.
Solution without_brokers(Solution solution) {
  solution.ingest.kind = SourceKind::kLog;
  solution.ingest.log.create = true;
  if (solution.serve.kind == SinkKind::kKafka) solution.serve.kind = SinkKind::kNull;
  return solution;
}

std::string table_name(const Solution& solution) {
  if (solution.serve.kind == SinkKind::kDuckDb) return solution.serve.duckdb.table;
  if (solution.serve.kind == SinkKind::kDelta) {
    const std::string& folder = solution.serve.delta.table;
    return folder.substr(folder.rfind('/') + 1);
  }
  if (solution.serve.kind == SinkKind::kParquet) {
    const std::string& folder = solution.serve.parquet.directory;
    return folder.substr(folder.rfind('/') + 1);
  }
  if (solution.serve.kind == SinkKind::kPostgres) {
    const std::string& table = solution.serve.postgres.table;
    return table.substr(table.find('.') + 1);
  }
  return solution.name;
}

std::string stored_at(const Solution& solution) {
  if (solution.serve.kind == SinkKind::kDelta) return solution.serve.delta.stored_at;
  if (solution.serve.kind == SinkKind::kParquet) return solution.serve.parquet.stored_at;
  if (solution.serve.kind == SinkKind::kDuckDb) return solution.serve.duckdb.stored_at;
  return solution.serve.kind == SinkKind::kPostgres ? solution.serve.postgres.stored_at : std::string();
}

std::string text_of(const std::vector<pipeline::Ddl>& statements) {
  std::string text;
  std::string holds;
  for (const pipeline::Ddl& one : statements) {
    if (one.holds != holds) text += (text.empty() ? "-- " : "\n-- ") + one.holds + "\n";
    holds = one.holds;
    text += one.sql + ";\n";
  }
  return text;
}

Result<std::string> events_table(const Solution& solution, const Schema& schema, Dialect dialect) {
  if (dialect == Dialect::kPostgres) {
    serve::PostgresTableOptions options;
    options.table = table_name(solution);
    options.stored_at = stored_at(solution);
    TM_ASSIGN(serve::PostgresTable table, serve::make_postgres_table(schema, options));
    std::string text;
    for (const std::string& sql : serve::create_postgres_table_sql(table, options)) text += sql + ";\n";
    return text;
  }
  serve::TableOptions options;
  options.table = table_name(solution);
  options.stored_at = stored_at(solution);
  if ((solution.serve.kind == SinkKind::kDuckDb && solution.serve.duckdb.nested == Nested::kColumns) ||
      (solution.serve.kind == SinkKind::kDelta && solution.serve.delta.nested == Nested::kColumns) ||
      (solution.serve.kind == SinkKind::kParquet && solution.serve.parquet.nested == Nested::kColumns))
    options.nested = serve::Nested::kColumns;
  TM_ASSIGN(serve::TableLayout layout, serve::make_table_layout(schema, options));
  return (dialect == Dialect::kSpark ? serve::create_spark_table_sql(layout)
                                     : serve::create_table_sql(layout)) +
         ";\n";
}

}  // namespace

Result<std::string> store_sql(const Solution& solution, const Ground& ground, Dialect dialect) {
  const Solution here = without_brokers(solution);
  TM_TRY(create_topics(here, *ground.log));
  TM_ASSIGN(std::vector<Stage> stages, wire(here, ground));
  const Stage& last = stages.back();
  const Schema& schema = last.plan.sink_schema;
  const SinkKind kind = solution.serve.kind;
  const bool own = dialect == Dialect::kStore || (dialect == Dialect::kSpark && kind == SinkKind::kDelta) ||
                   (dialect == Dialect::kDuckDb && kind == SinkKind::kDuckDb) ||
                   (kind == SinkKind::kParquet && dialect != Dialect::kPostgres) ||
                   (dialect == Dialect::kPostgres && kind == SinkKind::kPostgres);
  if (!own) return events_table(solution, schema, dialect);
  TM_ASSIGN(std::vector<pipeline::Ddl> statements, last.sink->ddl(schema));
  // Two engines read the same files.
  const char* other = dialect == Dialect::kSpark    ? "in DuckDB"
                      : dialect == Dialect::kDuckDb ? "Spark"
                                                    : nullptr;
  if (kind == SinkKind::kParquet && other != nullptr) {
    std::erase_if(statements,
                  [&](const pipeline::Ddl& one) { return one.holds.find(other) != std::string::npos; });
  }
  if (!statements.empty()) return text_of(statements);
  return user_error(solution.name + " serves " + sink_summary(solution) +
                    ", which has no tables; --dialect duckdb, postgres or spark prints one of its events");
}

}  // namespace tidemill::solution
