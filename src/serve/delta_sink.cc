#include "serve/delta_sink.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "base/steps.h"
#include "serve/dead_letters.h"
#include "serve/delta_schema.h"
#include "serve/parquet_screen.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

namespace {

constexpr int64_t kDeadLettersPauseUs = 60'000'000;  // their upkeep need not look often

Error delta_fenced(const std::string& what) {
  return external_error("Delta: " + what + ": another owner took over", Code::kFenced);
}

}  // namespace

// Keeps the batches' columns; the records they came from are let go at once.
class DeltaOutput final : public pipeline::SinkOutput {
 public:
  explicit DeltaOutput(const DeltaSink& sink) : fields_(sink.fields_) {}

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
  // The add actions of its files, once they are durable: a commit that is tried again needs no new ones.
  std::optional<std::string> adds;
  bool in_doubt = false;  // a try's answer was lost

 private:
  const std::vector<Field>& fields_;
  std::vector<KeptRows> kept_;
  std::vector<DeadLetter> dead_letters_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

class DeltaWriter final : public pipeline::SinkWriter {
 public:
  DeltaWriter(DeltaSink& sink, std::unique_ptr<duck::Connection> connection)
      : sink_(sink),
        connection_(std::move(connection)),
        parquet_(*connection_, sink.layout_, parquet_options(sink)) {}

  Status prepare() { return parquet_.prepare(); }
  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override {
    std::lock_guard lock(mutex_);
    for (const TopicPartition& source : partitions) owned_.erase(source);
  }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<DeltaOutput>(sink_));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;

 private:
  static ParquetOptions parquet_options(const DeltaSink& sink) {
    ParquetOptions options;
    options.partition_by = sink.options_.partition_by;
    options.folder = sink.log_->store().folder();
    options.codec = sink.options_.codec;
    options.threads = static_cast<size_t>(sink.options_.threads);
    return options;
  }
  Status check_owned(const pipeline::CommitRequest& request);
  Status write_files(DeltaOutput& output);

  DeltaSink& sink_;
  std::unique_ptr<duck::Connection> connection_;
  ParquetWriter parquet_;
  std::mutex mutex_;
  std::map<TopicPartition, Incarnation> owned_;
};

Result<std::vector<Committed>> DeltaWriter::acquire(std::span<const TopicPartition> partitions) {
  std::vector<Committed> held;
  if (partitions.empty()) return held;
  const int64_t now_ms = sink_.clock_.wall_us() / 1000;
  const std::string id = random_id(sink_.random_);
  auto taken = sink_.log_->commit([&](const DeltaState& state) -> Result<std::string> {
    TM_ASSIGN(std::string lines, sink_.positions_.take_over(state, partitions, now_ms, &held));
    return delta_commit_info_line("WRITE", "\"mode\":\"Append\"", now_ms, id) + lines;
  });
  if (!taken.ok()) {
    // Whether the token rose or not, raising it again does no harm.
    Error error = std::move(taken).error();
    if (error.code == Code::kUnknown) {
      error.code = Code::kFailed;
      error.retryable = true;
    }
    return error;
  }
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < partitions.size(); ++i) owned_[partitions[i]] = held[i].owner;
  return held;
}

Result<std::vector<Committed>> DeltaWriter::committed(std::span<const TopicPartition> partitions) {
  std::vector<Committed> held;
  TM_TRY(sink_.log_->refresh([&](const DeltaState& state) {
    for (const TopicPartition& source : partitions) held.push_back(sink_.positions_.read(state, source));
  }));
  return held;
}

Status DeltaWriter::check_owned(const pipeline::CommitRequest& request) {
  std::lock_guard lock(mutex_);
  for (const PartitionEpoch& part : request.partitions) {
    auto owned = owned_.find(part.source);
    if (owned == owned_.end() || owned->second != part.owner) return delta_fenced(part.source.to_string());
  }
  return {};
}

Status DeltaWriter::write_files(DeltaOutput& output) {
  if (output.adds) return {};
  std::string adds;
  if (output.rows() > 0) {
    const int64_t now_us = sink_.clock_.wall_us();
    TM_ASSIGN(auto files, parquet_.write(output.kept(), now_us, "part-" + random_id(sink_.random_)));
    commit_step("delta.files.written");
    std::vector<std::string> names;
    for (const ParquetFile& file : files) {
      names.push_back(file.name);
      adds += delta_add_line(delta_uri(file.name), file.partition, file.size_bytes, now_us / 1000, true,
                             file.stats);
    }
    if (Status kept = sink_.log_->store().keep(names); !kept.ok()) {
      for (const std::string& name : names) sink_.log_->store().drop(name);
      return kept;
    }
    commit_step("delta.files.durable");
  }
  output.adds = std::move(adds);
  return {};
}

Status DeltaWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  TM_TRY(check_owned(request));
  auto& rows = static_cast<DeltaOutput&>(output);
  TM_TRY(write_files(rows));
  if (!rows.dead_letters().empty()) {
    Status letters = sink_.dead_letters_->store(rows.dead_letters(), request.partitions);
    if (!letters.ok()) return std::move(letters).error().within("dead letters");
  }
  const int64_t now_ms = sink_.clock_.wall_us() / 1000;
  const std::string id = random_id(sink_.random_);
  auto committed = sink_.log_->commit([&](const DeltaState& state) -> Result<std::string> {
    // What was not there when it was looked for may have come since.
    if (rows.in_doubt && sink_.positions_.holds(state, request.partitions)) return std::string();
    if (Status same = sink_.check_table(state.meta_data); !same.ok())
      return std::move(same).error().within("Delta table " + sink_.options_.folder);
    if (!sink_.positions_.expects(state, request.partitions))
      return delta_fenced("a partition of " + sink_.options_.pipeline);
    return delta_commit_info_line("WRITE", "\"mode\":\"Append\"", now_ms, id) + *rows.adds +
           sink_.positions_.advance(state, request.partitions, now_ms);
  });
  if (committed.ok()) return {};
  rows.in_doubt = rows.in_doubt || committed.error().code == Code::kUnknown;
  return std::move(committed).error();
}

DeltaSink::DeltaSink(FileSystem& files, Clock& clock, Random& random, DeltaSinkOptions options)
    : files_(files),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      positions_(options_.pipeline, options_.source) {}

pipeline::SinkTraits DeltaSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "Delta table " + options_.folder;
  // Row groups of DuckDB's default size, several to a file; of each task one epoch is filled while another
  // one is written.
  traits.preferred_rows = 4 * 122'880;
  traits.preferred_bytes = 128u << 20;
  return traits;
}

pipeline::SinkNeeds DeltaSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.all_columns = true;
  return needs;
}

Result<TableLayout> DeltaSink::layout_of(const Schema& schema) const {
  TableOptions table;
  table.table = "rows";
  table.nested = options_.nested;
  table.stored_at = options_.stored_at;
  table.section = "serve.delta";
  return make_parquet_layout(schema, table, options_.partition_by, "serve.delta");
}

Result<std::vector<pipeline::Ddl>> DeltaSink::ddl(const Schema& schema) const {
  TM_ASSIGN(TableLayout layout, layout_of(schema));
  layout.table = options_.folder.substr(options_.folder.rfind('/') + 1);
  for (TableColumn& column : layout.columns) column.not_null = false;  // as in delta_schema_json()
  return std::vector<pipeline::Ddl>{
      {"the events, in Spark SQL",
       create_spark_table_sql(layout, {"DELTA", options_.partition_by, options_.folder})}};
}

Result<std::shared_ptr<ObjectStore>> DeltaSink::open_store(const std::string& folder) {
  if (options_.open_store) return options_.open_store(folder);
  return std::shared_ptr<ObjectStore>(std::make_shared<FolderStore>(files_, random_, folder));
}

Status DeltaSink::prepare(const Schema& schema) {
  fields_ = schema.fields;
  TM_ASSIGN(layout_, layout_of(schema));
  TM_ASSIGN(database_, duck::Database::open(
                           ":memory:", {{"memory_limit", std::to_string(options_.memory_limit_bytes) + "B"},
                                        {"threads", std::to_string(options_.threads)},
                                        {"preserve_insertion_order", "false"}}));
  DeltaLogOptions log;
  log.checkpoint_interval = options_.checkpoint_interval;
  log.tombstones_us = std::max(log.tombstones_us, options_.upkeep.retention_us);
  TM_ASSIGN(auto store, open_store(options_.folder));
  TM_ASSIGN(auto dead_store, open_store(options_.dead_folder));
  if (Status made = store->prepare(); !made.ok()) {
    Error error = std::move(made).error();
    if (!options_.open_store) error.message += "; serve.delta.table names a folder that can be written";
    return error;
  }
  log_ = std::make_unique<DeltaLog>(std::move(store), database_, clock_, log);
  auto dead = std::make_unique<DeltaLog>(std::move(dead_store), database_, clock_, log);
  dead_letters_ =
      std::make_unique<DeltaDeadLetters>(std::move(dead), database_, clock_, random_, options_.pipeline);
  Status ready = create_or_check();
  if (!ready.ok()) return std::move(ready).error().within("Delta table " + options_.folder);
  Status letters = dead_letters_->check();
  if (!letters.ok()) return std::move(letters).error().within("Delta table " + options_.dead_folder);
  if (options_.merge) {
    DeltaUpkeepOptions upkeep = options_.upkeep;
    upkeep.codec = options_.codec;
    upkeep_ = std::make_unique<DeltaUpkeep>(*log_, database_, clock_, random_, upkeep);
    upkeep_->start();
    upkeep.codec = kDeadLettersCodec;
    upkeep.pause_us = std::max(upkeep.pause_us, kDeadLettersPauseUs);
    dead_upkeep_ = std::make_unique<DeltaUpkeep>(dead_letters_->log(), database_, clock_, random_, upkeep);
    dead_upkeep_->start();
  }
  return {};
}

void DeltaSink::screen(Batch& batch) const {
  screen_partitions(layout_, fields_, options_.partition_by, FolderNulls::kInLog, batch);
}

Status DeltaSink::create_or_check() {
  const int64_t now_ms = clock_.wall_us() / 1000;
  TM_TRY(log_->refresh([](const DeltaState&) {}));
  TM_TRY(log_->commit([&](const DeltaState& state) -> Result<std::string> {
    if (state.version < 0) {
      return delta_commit_info_line("CREATE TABLE", "", now_ms, random_id(random_)) +
             delta_protocol_line(1, 2) +
             delta_meta_data_line(random_id(random_), delta_schema_json(layout_.columns),
                                  options_.partition_by, {}, now_ms);
    }
    Status same = check_table(state.meta_data);
    if (!same.ok()) return std::move(same).error();
    return std::string();
  }));
  return {};
}

Status DeltaSink::check_table(const DeltaMetaData& meta_data) {
  std::lock_guard lock(checked_mutex_);
  if (meta_data.json == checked_) return {};
  TM_TRY(check_same_table(meta_data.schema, meta_data.partition_columns, delta_schema_json(layout_.columns),
                          options_.partition_by, "serve.delta", "table"));
  TM_TRY(check_nulls(meta_data.schema, layout_.columns, "serve.delta", "table"));
  checked_ = meta_data.json;
  return {};
}

Result<std::unique_ptr<pipeline::SinkWriter>> DeltaSink::open_writer(int) {
  TM_ASSIGN(auto connection, database_->connect());
  auto writer = std::make_unique<DeltaWriter>(*this, std::move(connection));
  TM_TRY(writer->prepare());
  return std::unique_ptr<pipeline::SinkWriter>(std::move(writer));
}

}  // namespace tidemill::serve
