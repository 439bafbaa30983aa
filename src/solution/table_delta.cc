// The settings of serve.delta.
#include "solution/table.h"

namespace tidemill::solution {
namespace {

#define AT(member)                  \
  [](Target target) -> auto& {      \
    return target.solution->member; \
  }

}  // namespace

void add_delta_settings(TableWriter& table) {
  table.text("serve.delta.table", AT(serve.delta.table),
             "the table's folder, from the run's data directory on; created where it is missing");
  table
      .list("serve.delta.partition_by", AT(serve.delta.partition_by),
            "columns of texts, whole numbers or booleans; the rows of each of their values go to files of "
            "their "
            "own")
      .derived("none");
  table.choice("serve.delta.nested", AT(serve.delta.nested), {"struct", "columns"},
               "whether `complexData.moreData0` … become one column `complexData`, or each one of its own");
  table.text("serve.delta.stored_at", AT(serve.delta.stored_at), "the column for the time of storing")
      .word("off");
  table.choice("serve.delta.compression", AT(serve.delta.codec), {"none", "snappy", "zstd", "lz4", "gzip"},
               "of the Parquet files");
  table
      .count("serve.delta.checkpoint_interval", AT(serve.delta.checkpoint_interval),
             "commits between two checkpoints of the transaction log")
      .range(2, 100000);
  table.toggle("serve.delta.merge", AT(serve.delta.merge),
               "merge small files in the background, and remove files past their retention");
  table.bytes("serve.delta.file_bytes", AT(serve.delta.file_bytes), "size of a merged file")
      .range(1ll << 20, 1ll << 40);
  table
      .duration("serve.delta.retention", AT(serve.delta.retention_us),
                "files that the newest version does not need are kept so long, for queries of older ones")
      .range(60'000'000, 3650ll * 24 * 3600 * 1'000'000);
  table
      .bytes("serve.delta.memory_limit", AT(serve.delta.memory_limit_bytes),
             "memory of the DuckDB that writes the files")
      .range(64ll << 20, 1ll << 40);
  table.count("serve.delta.threads", AT(serve.delta.threads), "threads of it").range(1, 256);
}

#undef AT

}  // namespace tidemill::solution
