#include "solution/table.h"

namespace tidemill::solution {
namespace {

constexpr double kSecond = 1'000'000, kMs = 1'000, kDay = 24 * 3'600 * kSecond;
constexpr double kMiB = 1 << 20, kTiB = kMiB * kMiB;

template <class At>
auto of(At at) {
  return [at](Target target) -> auto& {
    return at(target.step->sql);
  };
}

}  // namespace

void add_sql_settings(TableWriter& table) {
  table
      .text("process.sql.query", of([](SqlConfig & sql) -> auto& { return sql.query; }),
            "one statement that reads, over the table `input`: the fields that the event has here, and "
            "`_partition_id`, `_partition_offset`, `_timestamp`. `interval_time()` is the interval's time. "
            "Each "
            "column of its result is a field of what goes on")
      .derived("required");
  table
      .duration("process.sql.every", of([](SqlConfig & sql) -> auto& { return sql.every_us; }),
                "the length of an interval; they begin at multiples of it since 1970 UTC")
      .range(100 * kMs, kDay);
  table.choice(
      "process.sql.scope", of([](SqlConfig & sql) -> auto& { return sql.scope; }), {"interval", "partition"},
      "whether the query runs over the events of all partitions (`interval`: they go through a topic of "
      "one partition), or for each partition by itself");
  table
      .pairs("process.sql.tables", of([](SqlConfig & sql) -> auto& { return sql.tables; }),
             "reference tables that the query may join: each a `file.csv`, `file.parquet` or "
             "`file.duckdb:table`, "
             "from the directory on in which the command is given; read at the run's start")
      .derived("none");
  table
      .text("process.sql.key", of([](SqlConfig & sql) -> auto& { return sql.key; }),
            "the column of the result that becomes the key of its rows")
      .derived("none");
  table
      .text("process.sql.count", of([](SqlConfig & sql) -> auto& { return sql.count; }),
            "the column of the result that counts the events of a row: `tidemill verify` adds it up")
      .derived("none: such a run cannot be verified");
  table
      .text("process.sql.topic", of([](SqlConfig & sql) -> auto& { return sql.topic; }),
            "that topic of one partition")
      .derived("`<name>-intervals`");
  table
      .bytes("process.sql.memory", of([](SqlConfig & sql) -> auto& { return sql.memory_bytes; }),
             "memory for the events of an interval and for the query")
      .range(32 * kMiB, kTiB);
  table
      .bytes("process.sql.spill", of([](SqlConfig & sql) -> auto& { return sql.spill_bytes; }),
             "and disk, in the run's data directory; beyond both the pipeline stops and says so")
      .range(kMiB, 1024 * kTiB);
}

}  // namespace tidemill::solution
