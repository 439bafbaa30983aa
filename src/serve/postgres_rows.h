// From batches to PostgreSQL's binary COPY format, and what of them it cannot hold.
// Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/batch.h"
#include "serve/event_json.h"
#include "serve/postgres_table.h"

namespace tidemill::serve {

// What jsonb cannot hold of a JSON text: "" or the reason. U+0000 in a string, numbers beyond numeric.
std::string_view jsonb_fault(std::string_view json);
// 16 bytes of "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", in either case.
bool parse_uuid(std::string_view text, uint8_t* bytes);

// Takes rows that the table cannot hold out of `selected`, into the dead letters: so that no COPY fails
// because of a value. Thread-safe. `fields`: the schema's.
void screen_postgres_rows(const PostgresTable& table, const std::vector<Field>& fields, Batch& batch);

// Rows of one COPY, encoded; those of dead letters likewise.
class PostgresRows {
 public:
  // `keys`: of the rows, too.
  PostgresRows(const PostgresTable& table, bool keys);

  // The selected rows, which screen_postgres_rows() has let pass.
  void append(const Batch& batch, const std::vector<Field>& fields);
  size_t rows() const { return rows_; }
  size_t bytes() const { return bytes_; }
  // Writes the time of storing into every row.
  void set_stored_at(int64_t us);
  // One after another they are the whole COPY, without the rows of these numbers, which ascend. Views into
  // this.
  std::vector<std::string_view> chunks(const std::vector<uint32_t>& without = {}) const;
  // The same of another COPY: each row's columns of the key, and its number, an integer from 0 on.
  std::vector<std::string_view> key_chunks() const;

 private:
  struct Chunk {
    std::string bytes;
    std::vector<uint32_t> row_ends;  // the time of storing is the last of a row's bytes
  };
  void append_key(const std::vector<const Column*>& columns, uint32_t row);
  void append_row(const std::vector<const Column*>& columns,
                  const std::vector<std::vector<const Column*>>& objects, uint32_t row,
                  std::string* to) const;

  const PostgresTable& table_;
  std::vector<JsonWriter> writers_;  // of the objects, by column number
  bool stored_at_ = false;
  std::vector<size_t> key_columns_;  // by number; empty: keys are not asked for
  std::string keys_;
  std::vector<Chunk> chunks_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

// Their table and a whole COPY into it, in the order of kPostgresDeadLetterColumns.
inline constexpr const char* kPostgresDeadLetterColumns =
    "topic, \"partition\", \"offset\", \"timestamp\", reason, \"key\", \"value\", \"storedAt\"";
std::string postgres_dead_letters_sql(const std::string& sql_name);
std::string encode_postgres_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us);

}  // namespace tidemill::serve
