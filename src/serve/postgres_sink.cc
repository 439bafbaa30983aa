#include "serve/postgres_sink.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/steps.h"
#include "serve/dead_letters.h"
#include "serve/postgres_rows.h"

namespace tidemill::serve {

using pg::quote_identifier;
using pg::quote_literal;
using pipeline::Committed;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

namespace {

constexpr const char* kStaging = "pg_temp.tidemill_staging";
constexpr const char* kKeys = "pg_temp.tidemill_keys";
constexpr const char* kRowNumber = "\"tidemill row\"";
constexpr const char* kPositions = "tidemill_positions";
constexpr const char* kPrepareLock = "SELECT pg_advisory_xact_lock(7449921375)";

// A commit is durable when it returns, and no limit for people's queries ends it, whatever the database's
// defaults are. A client that is gone, or stands still in mid-transaction, does not hold its locks for ever.
constexpr const char* kSession =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = "
    "'off'; "
    "SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; "
    "SET statement_timeout = 0; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    "SET temp_buffers = '32MB'; SET work_mem = '64MB'";

Error fenced(const std::string& what) {
  return external_error("PostgreSQL: " + what + ": another owner took over", Code::kFenced);
}

}  // namespace

// The rows of an epoch, encoded.
class PostgresOutput final : public pipeline::SinkOutput {
 public:
  explicit PostgresOutput(const PostgresSink& sink)
      : fields_(sink.fields_), rows_(sink.table_, sink.options_.table.mode == PostgresMode::kInsertNew) {}

  Status write(BatchPtr& batch) override {
    for (DeadLetter& letter : batch->dead_letters) {
      dead_bytes_ += dead_letter_bytes(letter);
      dead_letters_.push_back(std::move(letter));
    }
    if (!batch->selected.empty()) rows_.append(*batch, fields_);
    batch.reset();
    return {};
  }
  size_t rows() const override { return rows_.rows(); }
  size_t bytes() const override { return rows_.bytes() + dead_bytes_; }

  PostgresRows& encoded() { return rows_; }
  const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }

 private:
  const std::vector<Field>& fields_;
  PostgresRows rows_;
  std::vector<DeadLetter> dead_letters_;
  size_t dead_bytes_ = 0;
};

class PostgresWriter final : public pipeline::SinkWriter {
 public:
  explicit PostgresWriter(PostgresSink& sink) : sink_(sink) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override {
    std::lock_guard lock(mutex_);
    for (const TopicPartition& source : partitions) owned_.erase(source);
  }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<PostgresOutput>(sink_));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;
  Status connect();

 private:
  const PostgresSinkOptions& options() const { return sink_.options_; }
  std::string key_list() const;  // "a", "b"
  Status check_owned(const pipeline::CommitRequest& request) const;
  Status begin_transaction();
  Status fill_transaction(PostgresOutput& output, const pipeline::CommitRequest& request);
  Status copy_rows(PostgresRows& rows);
  Status copy_new_rows(PostgresRows& rows);
  Result<std::vector<uint32_t>> rows_that_are_there(const PostgresRows& rows);
  Status copy_through_staging(PostgresRows& rows);
  Status copy_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us);
  Status copy(const std::string& into, const std::vector<std::string_view>& chunks);
  Error after_failure(const pipeline::CommitRequest& request, Error why);
  void end_former_owners(const std::vector<int64_t>& backends);

  PostgresSink& sink_;
  std::mutex mutex_;
  std::unique_ptr<pg::Connection> connection_;
  std::map<TopicPartition, Incarnation> owned_;
  bool in_doubt_ = false;   // the last commit's answer was lost: its transaction may go on
  bool copies_new_ = true;  // the table takes rows by COPY
};

Status PostgresWriter::connect() {
  if (connection_ != nullptr && connection_->alive()) return {};
  connection_.reset();
  TM_ASSIGN(auto opened, pg::Connection::open(options().connection));
  TM_TRY(opened->execute(kSession));
  if (options().table.mode != PostgresMode::kAppend) {
    TM_TRY(opened->execute("CREATE TEMP TABLE tidemill_staging ON COMMIT DELETE ROWS AS SELECT " +
                           sink_.table_.column_list() + " FROM " + sink_.table_.sql_name() +
                           " WITH NO DATA"));
  }
  if (options().table.mode == PostgresMode::kInsertNew) {
    TM_TRY(opened->execute("CREATE TEMP TABLE tidemill_keys ON COMMIT DELETE ROWS AS SELECT " + key_list() +
                           ", 0 AS " + kRowNumber + " FROM " + sink_.table_.sql_name() + " WITH NO DATA"));
    // Each key is looked up in its index, however little the server knows of a temporary table; and nothing
    // of that is worth being compiled.
    TM_TRY(opened->execute(
        "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off"));
  }
  connection_ = std::move(opened);
  return {};
}

Result<std::vector<Committed>> PostgresWriter::acquire(std::span<const TopicPartition> partitions) {
  std::lock_guard lock(mutex_);
  TM_TRY(connect());
  TM_ASSIGN(PostgresPositions::Takeover taken, sink_.positions_->take_over(*connection_, partitions));
  end_former_owners(taken.former);
  for (size_t i = 0; i < partitions.size(); ++i) owned_[partitions[i]] = taken.held[i].owner;
  return std::move(taken.held);
}

// They can commit no more, but what they have written of a transaction locks keys until it ends. It ends by
// itself where this is not allowed.
void PostgresWriter::end_former_owners(const std::vector<int64_t>& backends) {
  std::string processes;
  for (int64_t backend : backends) {
    if (backend != 0) processes += (processes.empty() ? "" : ", ") + std::to_string(backend);
  }
  if (processes.empty()) return;
  (void)connection_
      ->execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (" + processes +
                ") AND pid <> pg_backend_pid() AND application_name = 'tidemill' AND datname = "
                "current_database() AND state <> 'idle'")
      .ok();
}

Result<std::vector<Committed>> PostgresWriter::committed(std::span<const TopicPartition> partitions) {
  std::lock_guard lock(mutex_);
  TM_TRY(connect());
  TM_ASSIGN(std::vector<Committed> held, sink_.positions_->read(*connection_, partitions, in_doubt_));
  in_doubt_ = false;
  return held;
}

Status PostgresWriter::check_owned(const pipeline::CommitRequest& request) const {
  for (const PartitionEpoch& part : request.partitions) {
    auto owned = owned_.find(part.source);
    if (owned == owned_.end() || owned->second != part.owner) return fenced(part.source.to_string());
  }
  return {};
}

Status PostgresWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  std::lock_guard lock(mutex_);
  TM_TRY(check_owned(request));
  TM_TRY(begin_transaction());
  commit_step("postgres.begin");
  Status filled = fill_transaction(static_cast<PostgresOutput&>(output), request);
  if (!filled.ok()) return after_failure(request, std::move(filled).error());
  Status done = connection_->commit();
  if (!done.ok() && done.error().code == Code::kUnknown) {
    in_doubt_ = true;
    connection_.reset();
    return done;
  }
  if (!done.ok()) return after_failure(request, std::move(done).error());
  commit_step("postgres.committed");
  return {};
}

// A connection that was lost since the last commit, in a restart of the server, is opened again.
Status PostgresWriter::begin_transaction() {
  TM_TRY(connect());
  auto begun = connection_->execute("BEGIN");
  if (begun.ok()) return {};
  if (connection_->alive()) return std::move(begun).error();
  TM_TRY(connect());
  TM_TRY(connection_->execute("BEGIN"));
  return {};
}

Status PostgresWriter::fill_transaction(PostgresOutput& output, const pipeline::CommitRequest& request) {
  const int64_t stored_at_us = sink_.clock_.wall_us();
  if (output.rows() > 0) {
    output.encoded().set_stored_at(stored_at_us);
    TM_TRY(copy_rows(output.encoded()));
  }
  if (!output.dead_letters().empty()) TM_TRY(copy_dead_letters(output.dead_letters(), stored_at_us));
  commit_step("postgres.rows.copied");
  TM_ASSIGN(size_t advanced, sink_.positions_->advance(*connection_, request.partitions));
  TM_CHECK(advanced <= request.partitions.size(), "a partition has one row");
  if (advanced < request.partitions.size()) return fenced("a partition of " + options().pipeline);
  commit_step("postgres.positions.updated");
  return {};
}

std::string PostgresWriter::key_list() const {
  std::string key;
  for (const std::string& column : sink_.table_.key)
    key += (key.empty() ? "" : ", ") + quote_identifier(column);
  return key;
}

Status PostgresWriter::copy_rows(PostgresRows& rows) {
  const PostgresTable& table = sink_.table_;
  Status copied;
  switch (options().table.mode) {
    case PostgresMode::kAppend:
      copied = copy(table.sql_name() + " (" + table.column_list() + ")", rows.chunks());
      break;
    case PostgresMode::kInsertNew:
      copied = copies_new_ ? copy_new_rows(rows) : copy_through_staging(rows);
      break;
    case PostgresMode::kUpsert:
      copied = copy_through_staging(rows);
      break;
  }
  if (!copied.ok()) return std::move(copied).error().within("table " + table.sql_name());
  return {};
}

// COPY writes whole pages, where INSERT writes row by row, but stops at a key that is there: such rows are
// left out before. What another transaction inserts meanwhile shows by that error, and then INSERT decides.
Status PostgresWriter::copy_new_rows(PostgresRows& rows) {
  constexpr std::string_view kUniqueViolation = "[SQLSTATE 23505]";
  // Of no rows: it says so where the index is gone that makes keys unique, and keeps it until the commit.
  const std::string columns = sink_.table_.column_list();
  TM_TRY(connection_->execute("INSERT INTO " + sink_.table_.sql_name() + " (" + columns + ") SELECT " +
                              columns + " FROM " + kStaging + " WHERE false ON CONFLICT (" + key_list() +
                              ") DO NOTHING"));
  TM_TRY(connection_->execute("SAVEPOINT tidemill_copy"));
  auto there = rows_that_are_there(rows);
  Status copied;
  if (!there.ok()) {
    copied = std::move(there).error();
  } else if (there->size() < rows.rows()) {
    const PostgresTable& table = sink_.table_;
    copied = copy(table.sql_name() + " (" + table.column_list() + ")", rows.chunks(*there));
  }
  if (copied.ok() || copied.error().retryable || !connection_->alive()) return copied;
  // Or the table takes none by COPY, as under row level security.
  copies_new_ = copied.error().message.find(kUniqueViolation) != std::string::npos;
  TM_TRY(connection_->execute("ROLLBACK TO SAVEPOINT tidemill_copy"));
  return copy_through_staging(rows);
}

// Their numbers, ascending: rows whose key the table holds, or an earlier row of the same commit has.
Result<std::vector<uint32_t>> PostgresWriter::rows_that_are_there(const PostgresRows& rows) {
  const std::string key = key_list();
  TM_TRY(copy(std::string(kKeys) + " (" + key + ", " + kRowNumber + ")", rows.key_chunks()));
  std::string same;
  for (const std::string& column : sink_.table_.key) {
    const std::string name = quote_identifier(column);
    same += (same.empty() ? "t." : " AND t.") + name + " = k." + name;
  }
  const std::string number = std::string("k.") + kRowNumber;
  TM_ASSIGN(
      pg::Answer answer,
      connection_->execute("SELECT " + number + " FROM " + kKeys + " k WHERE EXISTS (SELECT FROM " +
                           sink_.table_.sql_name() + " t WHERE " + same + ") UNION SELECT n FROM (SELECT " +
                           kRowNumber + " AS n, row_number() OVER (PARTITION BY " + key + " ORDER BY " +
                           kRowNumber + ") AS nth FROM " + kKeys + ") AS same WHERE nth > 1 ORDER BY 1"));
  std::vector<uint32_t> numbers;
  for (size_t i = 0; i < answer.rows(); ++i) numbers.push_back(static_cast<uint32_t>(answer.integer(i, 0)));
  return numbers;
}

Status PostgresWriter::copy_through_staging(PostgresRows& rows) {
  const PostgresTable& table = sink_.table_;
  const std::string columns = table.column_list(), key = key_list();
  TM_TRY(copy(std::string(kStaging) + " (" + columns + ")", rows.chunks()));
  std::string sql = "INSERT INTO " + table.sql_name() + " (" + columns + ") SELECT ";
  if (options().table.mode == PostgresMode::kInsertNew) {
    sql += columns + " FROM " + kStaging + " ON CONFLICT (" + key + ") DO NOTHING";
  } else {
    // Of rows with one key in the same epoch the last one counts, as if they had come one by one.
    std::string set;
    for (const PostgresColumn& column : table.columns) {
      const std::string name = quote_identifier(column.name);
      set += (set.empty() ? "" : ", ") + name + " = EXCLUDED." + name;
    }
    sql += "DISTINCT ON (" + key + ") " + columns + " FROM " + kStaging + " ORDER BY " + key +
           ", ctid DESC ON CONFLICT (" + key + ") DO UPDATE SET " + set;
  }
  TM_TRY(connection_->execute(sql));
  return {};
}

Status PostgresWriter::copy_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us) {
  const std::string bytes = encode_postgres_dead_letters(letters, stored_at_us);
  Status copied = copy(sink_.dead_table_ + " (" + kPostgresDeadLetterColumns + ")", {bytes});
  if (!copied.ok()) return std::move(copied).error().within("table " + sink_.dead_table_);
  return {};
}

Status PostgresWriter::copy(const std::string& into, const std::vector<std::string_view>& chunks) {
  TM_TRY(connection_->begin_copy("COPY " + into + " FROM STDIN (FORMAT binary)"));
  for (std::string_view chunk : chunks) TM_TRY(connection_->put(chunk));
  TM_TRY(connection_->end_copy());
  return {};
}

// Nothing of the transaction is there. Where that is because another owner ended it, this one is fenced.
Error PostgresWriter::after_failure(const pipeline::CommitRequest& request, Error why) {
  if (connection_->alive()) (void)connection_->execute("ROLLBACK").ok();
  if (why.code == Code::kFenced || !why.retryable) return why;
  if (!connect().ok()) return why;
  std::vector<TopicPartition> sources;
  for (const PartitionEpoch& part : request.partitions) sources.push_back(part.source);
  auto held = sink_.positions_->read(*connection_, sources, false);
  if (!held.ok()) return why;
  for (size_t i = 0; i < sources.size(); ++i) {
    if ((*held)[i].owner != request.partitions[i].owner) return fenced(sources[i].to_string());
  }
  return why;
}

PostgresSink::PostgresSink(Clock& clock, PostgresSinkOptions options)
    : clock_(clock), options_(std::move(options)) {}

pipeline::SinkTraits PostgresSink::traits() const {
  pipeline::SinkTraits traits;
  auto place = pg::describe(options_.connection);
  traits.store = "table " + options_.table.table + " of " + (place.ok() ? *place : "PostgreSQL");
  traits.preferred_rows = 20'000;
  traits.preferred_bytes = 64u << 20;
  return traits;
}

pipeline::SinkNeeds PostgresSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.all_columns = true;
  return needs;
}

Result<std::string> PostgresSink::dead_table_of(const PostgresTable& table) const {
  const std::string dead = dead_letter_name(options_.dead_table, table.name, "_dead_letters");
  if (dead != table.name) return table.in_schema(dead);
  return user_error("dead_letters.name: is the table of the rows, " + dead + "; choose another name");
}

PostgresPositions PostgresSink::positions_of(const PostgresTable& table) const {
  return {table.in_schema(kPositions), options_.pipeline, options_.source};
}

Result<std::vector<pipeline::Ddl>> PostgresSink::ddl(const Schema& schema) const {
  TM_ASSIGN(PostgresTable table, make_postgres_table(schema, options_.table));
  TM_ASSIGN(std::string dead, dead_table_of(table));
  std::vector<pipeline::Ddl> statements;
  for (std::string& sql : create_postgres_table_sql(table, options_.table))
    statements.push_back({"the events", std::move(sql)});
  statements.push_back({"what could not be decoded or stored", postgres_dead_letters_sql(dead)});
  statements.push_back({"what each pipeline has committed", positions_of(table).create_sql()});
  return statements;
}

Status PostgresSink::prepare(const Schema& schema) {
  fields_ = schema.fields;
  TM_ASSIGN(table_, make_postgres_table(schema, options_.table));
  TM_ASSIGN(dead_table_, dead_table_of(table_));
  positions_ = std::make_unique<PostgresPositions>(positions_of(table_));
  TM_ASSIGN(auto connection, pg::Connection::open(options_.connection));
  TM_ASSIGN(pg::Answer encoding, connection->execute("SHOW server_encoding"));
  if (encoding.text(0, 0) != "UTF8") {
    return user_error(connection->place() + ": its encoding is " + std::string(encoding.text(0, 0)) +
                      ", which cannot hold every event; create the database with ENCODING 'UTF8'");
  }
  TM_TRY(connection->execute("BEGIN"));
  // Several processes may start at once.
  TM_TRY(connection->execute(kPrepareLock));
  TM_TRY(create_or_check_postgres_table(*connection, options_.table, &table_));
  auto letters = connection->execute(postgres_dead_letters_sql(dead_table_));
  if (!letters.ok()) return std::move(letters).error().within("dead letters");
  TM_TRY(positions_->create(*connection));
  return connection->commit();
}

void PostgresSink::screen(Batch& batch) const {
  screen_postgres_rows(table_, fields_, batch);
}

Result<std::unique_ptr<pipeline::SinkWriter>> PostgresSink::open_writer(int) {
  auto writer = std::make_unique<PostgresWriter>(*this);
  TM_TRY(writer->connect());
  return std::unique_ptr<pipeline::SinkWriter>(std::move(writer));
}

}  // namespace tidemill::serve
