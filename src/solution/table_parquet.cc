// The settings of serve.parquet.
#include "solution/table.h"

namespace tidemill::solution {
namespace {

#define AT(member)                  \
  [](Target target) -> auto& {      \
    return target.solution->member; \
  }

}  // namespace

void add_parquet_settings(TableWriter& table) {
  table.text("serve.parquet.directory", AT(serve.parquet.directory),
             "where the files go, from the run's data directory on; created where it is missing");
  table
      .list("serve.parquet.partition_by", AT(serve.parquet.partition_by),
            "columns of texts, whole numbers or booleans, or `day(createdAt)`, `hour(createdAt)` of a time: "
            "rows "
            "go to a folder for each of their values")
      .derived("none");
  table.choice("serve.parquet.nested", AT(serve.parquet.nested), {"struct", "columns"},
               "whether `complexData.moreData0` … become one column `complexData`, or each one of its own");
  table.text("serve.parquet.stored_at", AT(serve.parquet.stored_at), "the column for the time of storing")
      .word("off");
  table.choice("serve.parquet.compression", AT(serve.parquet.codec),
               {"none", "snappy", "zstd", "lz4", "gzip"}, "of the files");
  table
      .duration(
          "serve.parquet.roll_interval", AT(serve.parquet.roll_interval_us),
          "an epoch, and with it its files, ends this long after its first event: so late readers see it")
      .range(1'000, 3'600'000'000);
  table
      .bytes("serve.parquet.roll_bytes", AT(serve.parquet.roll_bytes),
             "and with so many bytes of input of a task")
      .range(1ll << 20, 1ll << 40);
  table
      .bytes("serve.parquet.memory_limit", AT(serve.parquet.memory_limit_bytes),
             "memory of the DuckDB that writes the files")
      .range(64ll << 20, 1ll << 40);
  table.count("serve.parquet.threads", AT(serve.parquet.threads), "threads of it").range(1, 256);
}

#undef AT

}  // namespace tidemill::solution
