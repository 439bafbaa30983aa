// The settings of serve.delta.
#include "solution/table.h"

namespace tidemill::solution {
namespace {

#define AT(member)                  \
  [](Target target) -> auto& {      \
    return target.solution->member; \
  }

// Where the table is in Azure storage.
void add_azure_settings(TableWriter& table) {
  const std::string environment = "AZURE_STORAGE_CONNECTION_STRING, if neither key nor SAS is given";
  table
      .text("serve.delta.azure.connection", AT(serve.delta.azure.access.connection),
            "the storage account's connection string, best as ${AZURE_STORAGE_CONNECTION_STRING}")
      .derived(environment)
      .secret();
  table
      .text("serve.delta.azure.account", AT(serve.delta.azure.access.account),
            "the storage account, where `table` is az://…")
      .derived("the connection string's, or AZURE_STORAGE_ACCOUNT");
  table
      .text("serve.delta.azure.key", AT(serve.delta.azure.access.key),
            "a key of the account, best as ${NAME}")
      .derived("AZURE_STORAGE_KEY")
      .secret();
  table
      .text("serve.delta.azure.sas", AT(serve.delta.azure.access.sas),
            "a shared access signature for read, write, create, delete and list, best as ${NAME}")
      .derived("AZURE_STORAGE_SAS_TOKEN")
      .secret();
  table
      .text("serve.delta.azure.endpoint", AT(serve.delta.azure.access.endpoint),
            "of the account's blobs, where it is another than the name of the account says")
      .derived("by the account");
  table.toggle("serve.delta.azure.create", AT(serve.delta.azure.create),
               "make the container where it is missing");
  table
      .duration("serve.delta.azure.timeout", AT(serve.delta.azure.timeout_us),
                "a request without a byte for so long is sent again")
      .range(1'000'000, 600'000'000);
}

}  // namespace

void add_delta_settings(TableWriter& table) {
  table.text("serve.delta.table", AT(serve.delta.table),
             "the table's folder, from the run's data directory on; or in Azure storage "
             "`abfss://container@account.dfs.core.windows.net/path`, `az://container/path` or "
             "`https://account.blob.core.windows.net/container/path`; created where it is missing");
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
  add_azure_settings(table);
}

#undef AT

}  // namespace tidemill::solution
