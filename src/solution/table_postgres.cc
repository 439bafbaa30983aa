// The settings of serve.postgres.
#include "solution/table.h"

namespace tidemill::solution {
namespace {

#define AT(member)                  \
  [](Target target) -> auto& {      \
    return target.solution->member; \
  }

}  // namespace

void add_postgres_settings(TableWriter& table) {
  table
      .text("serve.postgres.connection", AT(serve.postgres.connection),
            "postgresql://user@host:5432/database?sslmode=verify-full, or libpq's key=value pairs")
      .derived("PGHOST, PGDATABASE and the others of libpq's environment")
      .secret();
  table.text("serve.postgres.password", AT(serve.postgres.password), "the user's password, best as ${NAME}")
      .derived("PGPASSWORD, or that of ~/.pgpass")
      .secret();
  table.text("serve.postgres.table", AT(serve.postgres.table),
             "the table, or schema.table; created from the event's fields where it is missing");
  table.choice("serve.postgres.mode", AT(serve.postgres.mode), {"append", "upsert", "insert-new"},
               "whether a row whose `key` is there already is one more, replaces it, or is left out");
  table.list("serve.postgres.key", AT(serve.postgres.key), "columns of the primary key").derived("none");
  table.choice(
      "serve.postgres.nested", AT(serve.postgres.nested), {"jsonb", "text", "columns"},
      "whether `complexData.moreData0` … become one column `complexData`, of jsonb or text, or each one "
      "of its own");
  table.text("serve.postgres.stored_at", AT(serve.postgres.stored_at), "the column for the time of storing")
      .word("off");
  table
      .pairs("serve.postgres.types", AT(serve.postgres.types),
             "types of columns of a created table, as {eventId: uuid, type: varchar(10)}")
      .derived("by the event's fields");
  table
      .list("serve.postgres.indexes", AT(serve.postgres.indexes),
            "indexes of a created table, each a text: \"deviceId, deviceSequenceNumber desc\"")
      .derived("none");
  table
      .count("serve.postgres.partitions", AT(serve.postgres.partitions), "hash partitions of a created table")
      .range(1, 1024)
      .word("off", 0);
  table.text("serve.postgres.partition_by", AT(serve.postgres.partition_by), "the column that they go by")
      .derived("`event.key`");
}

#undef AT

}  // namespace tidemill::solution
