#include "solution/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/text.h"
#include "event/json_splice.h"
#include "event/timestamp.h"
#include "solution/host.h"
#include "solution/query_delta.h"
#include "solution/query_parquet.h"
#include "solution/query_postgres.h"
#include "solution/query_text.h"
#include "solution/query_topic.h"

namespace tidemill::solution {
namespace {

Result<std::string> absolute_path(const std::string& path) {
  std::error_code error;
  auto whole = std::filesystem::weakly_canonical(path, error);
  if (error) return external_error(path + ": " + error.message());
  return whole.string();
}

// Within a literal of SQL.
std::string literal_of(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out;
}

}  // namespace

Status print_rows(duck::Rows& rows, const std::string& format, int64_t max_rows, const Reply& reply) {
  const size_t columns = rows.column_count();
  std::vector<std::string> names;
  std::vector<bool> right;
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns; ++c) {
    names.push_back(rows.column_name(c));
    right.push_back(rows.column_kind(c) == duck::Kind::kInteger ||
                    rows.column_kind(c) == duck::Kind::kDouble);
    widths.push_back(width_of(names.back()));
  }
  if (format == "csv") {
    std::string head;
    for (size_t c = 0; c < columns; ++c) head += (c == 0 ? "" : ",") + csv_cell(names[c]);
    if (!reply(head + "\n")) return {};
  }
  bool head_printed = false;
  int64_t printed = 0;
  while (true) {
    TM_ASSIGN(size_t count, rows.next());
    if (count == 0) break;
    if (max_rows >= 0) count = std::min(count, static_cast<size_t>(max_rows - printed));
    std::string text;
    std::vector<std::vector<std::string>> cells;  // of a table; its widths follow the first chunk
    for (size_t r = 0; r < count; ++r) {
      if (format == "json") {
        text += "{";
        for (size_t c = 0; c < columns; ++c) {
          if (c > 0) text += ",";
          append_json_string(names[c], &text);
          text += ':';
          rows.append_json(c, r, &text);
        }
        text += "}\n";
      } else if (format == "csv") {
        for (size_t c = 0; c < columns; ++c) {
          text += (c == 0 ? "" : ",") + (rows.is_null(c, r) ? std::string() : csv_cell(rows.display(c, r)));
        }
        text += "\n";
      } else {
        cells.emplace_back();
        for (size_t c = 0; c < columns; ++c) {
          cells.back().push_back(rows.is_null(c, r) ? "NULL" : clipped(rows.display(c, r)));
          if (!head_printed) widths[c] = std::max(widths[c], width_of(cells.back().back()));
        }
      }
    }
    if (!cells.empty() && !head_printed) {
      std::vector<std::string> dashes;
      for (size_t width : widths) dashes.emplace_back(width, '-');
      text += table_line(names, widths, right) + table_line(dashes, widths, right);
      head_printed = true;
    }
    for (const auto& row : cells) text += table_line(row, widths, right);
    if (!reply(text)) return {};
    printed += static_cast<int64_t>(count);
    if (max_rows >= 0 && printed >= max_rows) break;
  }
  if (format != "json" && format != "csv") {
    if (!head_printed) reply(table_line(names, widths, right));
    reply(fmt::format("({} {})\n", printed, printed == 1 ? "row" : "rows"));
  }
  return {};
}

Result<std::shared_ptr<duck::Database>> open_query_database(const Host& host, const Solution& solution) {
  const QueryConfig& query = solution.query;
  return duck::Database::open(":memory:",
                              {{"memory_limit", std::to_string(query.memory_bytes) + "B"},
                               {"threads", std::to_string(query.threads)},
                               {"temp_directory", join_path(host.directory(), "query.tmp")},
                               {"max_temp_directory_size", std::to_string(query.spill_bytes) + "B"}});
}

std::vector<std::string> replays_in(const Host& host, const std::string& query) {
  std::vector<std::string> named = host.record().replays;
  const std::string sql = to_lower(query);
  std::erase_if(named, [&](const std::string& into) { return sql.find(to_lower(into)) == sql.npos; });
  return named;
}

Result<QueryStore> open_query_store(Host& host, const Solution& solution, const std::string& query) {
  QueryStore store;
  switch (solution.serve.kind) {
    case SinkKind::kDuckDb: {
      TM_ASSIGN(store.database, host.database(solution.serve.duckdb));
      store.own_file = solution.serve.duckdb.database;
      return store;
    }
    case SinkKind::kFiles: {
      std::string folder = solution.serve.files.directory;
      if (!folder.starts_with("/")) folder = join_path(host.directory(), folder);
      TM_ASSIGN(store.database, open_query_database(host, solution));
      TM_ASSIGN(std::string whole, absolute_path(folder));
      // The pattern is looked at before the files that it finds.
      TM_TRY(store.database->lock_down({whole, pattern_of(whole)}));
      // The partitions' folders end in a number; that of the dead letters does not.
      store.prepare = "CREATE TEMP VIEW files AS FROM read_json_auto('" + literal_of(pattern_of(whole)) +
                      "/*-[0-9]*/*.jsonl', format = 'newline_delimited', union_by_name = true)";
      return store;
    }
    case SinkKind::kLog:
    case SinkKind::kKafka:
      return open_topic_store(host, solution);
    case SinkKind::kPostgres:
      return internal_error("PostgreSQL answers queries itself");
    case SinkKind::kDelta:
      return open_delta_store(host, solution, query, -1, -1);
    case SinkKind::kParquet:
      return open_parquet_store(host, solution, query);
    case SinkKind::kNull:
      return user_error(solution.name + " serves nothing that could be queried; serve with duckdb or files");
  }
  return internal_error("no such sink");
}

namespace {

// The store as it was at the version, or at the time, that is asked for.
Result<QueryStore> open_old_store(Host& host, const Solution& solution, const Request& request) {
  if (solution.serve.kind != SinkKind::kDelta)
    return user_error("--version, --time: only a Delta table keeps what it was; " + solution.name +
                      " serves " + sink_summary(solution));
  const std::string time = request.get("time"), query = request.get("sql");
  if (time.empty()) return open_delta_store(host, solution, query, request.number("version", -1), -1);
  auto us = parse_timestamp_us(time);
  if (!us) return user_error("--time: '" + time + "' is not a time like 2026-01-31T12:00:00Z");
  return open_delta_store(host, solution, query, -1, *us / 1000);
}

}  // namespace

Status answer_query(Host& host, const Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  const bool old = request.number("version", -1) >= 0 || !request.get("time").empty();
  TM_ASSIGN(const Solution* solution, find_branch(host.solution(), request.get("branch")));
  if (solution->serve.kind == SinkKind::kPostgres && !old)
    return query_postgres(host, *solution, request, reply, gone);
  TM_ASSIGN(QueryStore store, old ? open_old_store(host, *solution, request)
                                  : open_query_store(host, *solution, request.get("sql")));
  QueryLimits limits;
  limits.timeout_us = solution->query.timeout_us;
  limits.memory_bytes = solution->query.memory_bytes;
  return run_query(
      host.queries(), std::move(store), limits, request.get("sql"),
      [format = request.get("format", "table"), rows = request.number("rows", -1)](
          duck::Rows& result, const Reply& to) { return print_rows(result, format, rows, to); },
      reply, gone);
}

}  // namespace tidemill::solution
