#include "serve/duckdb_sink.h"

#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "base/file_system.h"
#include "base/steps.h"
#include "serve/dead_letters.h"
#include "serve/duckdb_chunks.h"
#include "serve/duckdb_positions.h"

namespace tidemill::serve {
namespace {

constexpr uint64_t kRowGroup = 122'880;  // rows, DuckDB's own

}  // namespace

using pipeline::Committed;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

// Keeps the batches' columns; the records they came from are let go at once.
class DuckDbOutput final : public pipeline::SinkOutput {
 public:
  explicit DuckDbOutput(const DuckDbSink& sink) : fields_(sink.fields_) {}

  Status write(BatchPtr& batch) override {
    for (DeadLetter& letter : batch->dead_letters) {
      bytes_ += dead_letter_bytes(letter);
      dead_letters_.push_back(std::move(letter));
    }
    if (!batch->selected.empty()) {
      rows_ += batch->selected.size();
      kept_.emplace_back(*batch, fields_);
      bytes_ += kept_.back().memory_bytes();
    }
    batch.reset();
    return {};
  }
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }

  const std::vector<KeptRows>& kept() const { return kept_; }
  const std::vector<DeadLetter>& dead_letters() const { return dead_letters_; }

 private:
  const std::vector<Field>& fields_;
  std::vector<KeptRows> kept_;
  std::vector<DeadLetter> dead_letters_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

class DuckDbWriter final : public pipeline::SinkWriter {
 public:
  DuckDbWriter(DuckDbSink& sink, std::unique_ptr<duck::Connection> connection)
      : sink_(sink), connection_(std::move(connection)) {}

  Status prepare();
  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override {
    for (const TopicPartition& source : partitions) owned_.erase(source);
  }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<DuckDbOutput>(sink_));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;

 private:
  const std::string& pipeline() const { return sink_.options_.pipeline; }
  Status fill_transaction(const DuckDbOutput& output, const pipeline::CommitRequest& request);
  Status append_rows(const DuckDbOutput& output, int64_t stored_at_us);
  Status insert(const DuckDbOutput& output, int64_t stored_at_us);
  Status upsert(const DuckDbOutput& output, int64_t stored_at_us);
  void checkpoint_whole_group(uint64_t rows);
  // Whatever an error says, the transaction is over afterwards.
  void roll_back() { static_cast<void>(connection_->execute("ROLLBACK").ok()); }
  Status after_failed_commit(const pipeline::CommitRequest& request, Error why);

  DuckDbSink& sink_;
  std::unique_ptr<duck::Connection> connection_;
  std::map<TopicPartition, Incarnation> owned_;
  std::string staging_;            // of rows that are upserted; empty: they are inserted
  std::unique_ptr<RowFeed> feed_;  // of rows that are inserted
};

Status DuckDbWriter::prepare() {
  const TableLayout& layout = sink_.layout_;
  if (layout.key.empty()) {
    TM_ASSIGN(feed_, RowFeed::open(*connection_, layout, 1));
    return {};
  }
  staging_ = "tidemill_staging";
  TM_TRY(connection_->execute("CREATE OR REPLACE TEMP TABLE " + quote_identifier(staging_) +
                              " AS SELECT * FROM " + quote_identifier(layout.table) + " LIMIT 0"));
  return {};
}

Result<std::vector<Committed>> DuckDbWriter::acquire(std::span<const TopicPartition> partitions) {
  std::unique_lock lock(sink_.takeover_);
  TM_TRY(connection_->execute("BEGIN TRANSACTION"));
  Status raised = raise_owners(*connection_, pipeline(), partitions);
  if (!raised.ok()) {
    roll_back();
    return std::move(raised).error();
  }
  TM_TRY(connection_->execute("COMMIT"));
  TM_ASSIGN(auto held, read_positions(*connection_, pipeline(), partitions));
  for (size_t i = 0; i < held.size(); ++i) owned_[partitions[i]] = held[i].owner;
  return held;
}

Result<std::vector<Committed>> DuckDbWriter::committed(std::span<const TopicPartition> partitions) {
  // A connection of its own: this one may be in the middle of a transaction that failed.
  TM_ASSIGN(auto connection, sink_.database_->connect());
  return read_positions(*connection, pipeline(), partitions);
}

Status DuckDbWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  std::shared_lock lock(sink_.takeover_);
  TM_TRY(connection_->execute("BEGIN TRANSACTION"));
  commit_step("duckdb.begin");
  Status filled = fill_transaction(static_cast<const DuckDbOutput&>(output), request);
  if (!filled.ok()) {
    roll_back();
    return filled;
  }
  auto done = connection_->execute("COMMIT");
  if (!done.ok()) return after_failed_commit(request, std::move(done).error());
  commit_step("duckdb.committed");
  checkpoint_whole_group(output.rows());
  return {};
}

// A checkpoint compresses the last row group anew, however little was added to it, and holds up commits
// meanwhile: least of both when it is just full. Rows of a whole group went to the file with their commit.
void DuckDbWriter::checkpoint_whole_group(uint64_t rows) {
  const uint64_t before = sink_.log_rows_.fetch_add(rows);
  if (rows >= kRowGroup || before / kRowGroup == (before + rows) / kRowGroup) return;
  // Beside another's commit it is refused, and DuckDB's own limit does it later.
  static_cast<void>(connection_->execute("CHECKPOINT").ok());
}

Status DuckDbWriter::fill_transaction(const DuckDbOutput& output, const pipeline::CommitRequest& request) {
  auto fenced = [](const PartitionEpoch& part) {
    return external_error("duckdb: " + part.source.to_string() + ": another owner took over", Code::kFenced);
  };
  for (const PartitionEpoch& part : request.partitions) {
    auto owned = owned_.find(part.source);
    if (owned == owned_.end() || owned->second != part.owner) return fenced(part);
  }
  TM_TRY(append_rows(output, sink_.clock_.wall_us()));
  commit_step("duckdb.rows.appended");
  for (const PartitionEpoch& part : request.partitions) {
    TM_ASSIGN(bool advanced, advance_position(*connection_, pipeline(), part));
    if (!advanced) return fenced(part);
  }
  commit_step("duckdb.positions.updated");
  return {};
}

Status DuckDbWriter::append_rows(const DuckDbOutput& output, int64_t stored_at_us) {
  if (output.rows() > 0) {
    TM_TRY(staging_.empty() ? insert(output, stored_at_us) : upsert(output, stored_at_us));
  }
  if (!output.dead_letters().empty()) {
    TM_ASSIGN(auto appender, connection_->appender(sink_.dead_table_));
    TM_TRY(append_dead_letters(output.dead_letters(), stored_at_us, *appender));
    TM_TRY(appender->flush());
  }
  return {};
}

Status DuckDbWriter::insert(const DuckDbOutput& output, int64_t stored_at_us) {
  feed_->give(output.kept(), stored_at_us);
  auto inserted = connection_->execute_kept("INSERT INTO " + quote_identifier(sink_.layout_.table) +
                                            " SELECT * FROM " + feed_->name() + "()");
  feed_->take_back();
  return inserted.ok() ? ok_status() : Status(std::move(inserted).error());
}

// Of rows with one key in the same epoch the last one counts, as if they had come one by one.
Status DuckDbWriter::upsert(const DuckDbOutput& output, int64_t stored_at_us) {
  {
    TM_ASSIGN(auto appender, connection_->appender(staging_));
    TM_TRY(serve::append_rows(sink_.layout_, output.kept(), stored_at_us, *appender));
    TM_TRY(appender->flush());
  }
  std::string key;
  for (const std::string& column : sink_.layout_.key)
    key += (key.empty() ? "" : ", ") + quote_identifier(column);
  TM_TRY(connection_->execute("INSERT OR REPLACE INTO " + quote_identifier(sink_.layout_.table) +
                              " SELECT * FROM " + quote_identifier(staging_) +
                              " QUALIFY row_number() OVER (PARTITION BY " + key +
                              " ORDER BY rowid DESC) = 1"));
  TM_TRY(connection_->execute("DELETE FROM " + quote_identifier(staging_)));
  return {};
}

// COMMIT said no: DuckDB has then rolled back, unless the error came after the decision. The
// positions tell.
Status DuckDbWriter::after_failed_commit(const pipeline::CommitRequest& request, Error why) {
  roll_back();
  std::vector<TopicPartition> sources;
  for (const PartitionEpoch& part : request.partitions) sources.push_back(part.source);
  auto held = committed(sources);
  if (!held.ok()) {
    why.code = Code::kUnknown;
    why.retryable = false;
    why.message += "; and the positions cannot be read: " + held.error().message;
    return why;
  }
  for (size_t i = 0; i < held->size(); ++i) {
    const PartitionEpoch& part = request.partitions[i];
    if ((*held)[i].epoch != part.epoch || (*held)[i].incarnation != part.owner) return why;
  }
  return {};
}

namespace {

// DuckDB makes a file first and writes its headers then: killed in between, it would leave a file that nobody
// can open. So a new database is made in the folder that DuckDB has for temporary files, and moved to its
// place whole.
Status create_whole(const std::string& path) {
  FileSystem& files = FileSystem::posix();
  if (path == ":memory:" || files.exists(path)) return {};
  const std::string folder = path + ".tmp";
  const std::string made = join_path(folder, "new");
  if (Status could = files.create_directories(folder); !could.ok()) {
    Error error = std::move(could).error();
    error.message += "; serve.duckdb.database names a file in a folder that can be written";
    return error;
  }
  for (const std::string& left : {made, made + ".wal"}) {
    if (files.exists(left)) TM_TRY(files.remove(left));
  }
  {
    TM_ASSIGN(auto database, duck::Database::open(made, {}));
    TM_CHECK(database.use_count() == 1, "closing it writes what is in its memory");
  }
  TM_TRY(files.rename(made, path));
  std::error_code in_use;  // by others: then it stays
  std::filesystem::remove(folder, in_use);
  return files.sync_directory(parent_path(path));
}

}  // namespace

Result<std::shared_ptr<duck::Database>> open_duckdb_store(const DuckDbStoreOptions& options) {
  TM_TRY(create_whole(options.path));
  TM_ASSIGN(auto database,
            duck::Database::open(options.path,
                                 {{"memory_limit", std::to_string(options.memory_limit_bytes) + "B"},
                                  {"threads", std::to_string(options.threads)},
                                  {"wal_autocheckpoint", std::to_string(options.checkpoint_bytes) + "B"},
                                  {"max_temp_directory_size", std::to_string(options.spill_bytes) + "B"}}));
  TM_TRY(database->lock_down());
  return database;
}

DuckDbSink::DuckDbSink(std::shared_ptr<duck::Database> database, Clock& clock, DuckDbSinkOptions options)
    : database_(std::move(database)),
      clock_(clock),
      options_(std::move(options)),
      dead_table_(dead_letter_name(options_.dead_table, options_.table.table, "_dead_letters")) {}

pipeline::SinkTraits DuckDbSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "DuckDB table " + options_.table.table;
  if (!options_.path.empty()) traits.store += " in " + options_.path;
  // A whole row group is written to the file at once; smaller transactions go through the
  // write-ahead log and are written again by a checkpoint.
  traits.preferred_rows = kRowGroup;
  traits.preferred_bytes = 256u << 20;
  return traits;
}

pipeline::SinkNeeds DuckDbSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.all_columns = true;
  return needs;
}

Result<TableLayout> DuckDbSink::layout_of(const Schema& schema) const {
  TM_ASSIGN(TableLayout layout, make_table_layout(schema, options_.table));
  if (dead_table_ != layout.table) return layout;
  return user_error("dead_letters.name: is the table of the rows, " + layout.table + "; choose another name");
}

Result<std::vector<pipeline::Ddl>> DuckDbSink::ddl(const Schema& schema) const {
  TM_ASSIGN(TableLayout layout, layout_of(schema));
  return std::vector<pipeline::Ddl>{
      {"the events", create_table_sql(layout)},
      {"what could not be decoded or stored", duckdb_dead_letters_sql(dead_table_)},
      {"what each pipeline has committed", positions_table_sql()}};
}

Status DuckDbSink::prepare(const Schema& schema) {
  fields_ = schema.fields;
  TM_ASSIGN(layout_, layout_of(schema));
  TM_ASSIGN(auto connection, database_->connect());
  TM_TRY(create_or_check_table(*connection, layout_));
  TM_ASSIGN(auto counted, connection->query("SELECT count(*) FROM " + quote_identifier(layout_.table)));
  TM_ASSIGN(size_t counts, counted->next());
  log_rows_ = counts == 0 ? 0 : static_cast<uint64_t>(counted->integer(0, 0)) % kRowGroup;
  counted.reset();
  auto dead = connection->execute(duckdb_dead_letters_sql(dead_table_));
  if (!dead.ok()) return std::move(dead).error().within("dead letters");
  return create_positions_table(*connection);
}

Result<std::unique_ptr<pipeline::SinkWriter>> DuckDbSink::open_writer(int) {
  TM_ASSIGN(auto connection, database_->connect());
  auto writer = std::make_unique<DuckDbWriter>(*this, std::move(connection));
  TM_TRY(writer->prepare());
  return std::unique_ptr<pipeline::SinkWriter>(std::move(writer));
}

}  // namespace tidemill::serve
