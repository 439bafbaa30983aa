#include "serve/parquet_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "serve/delta_schema.h"
#include "serve/parquet_partition.h"
#include "serve/parquet_screen.h"

namespace tidemill::serve {
namespace {

constexpr size_t kMostRows = 4'000'000;  // of an epoch, however small they are
constexpr const char* kSection = "serve.parquet";

JournaledSinkOptions parquet_journal(const ParquetSinkOptions& options) {
  JournaledSinkOptions out;
  out.directory = options.directory;
  out.dead_directory = options.dead_directory;
  out.roll_interval_us = options.interval_us;
  out.setting = "serve.parquet.directory";
  out.journal = options.journal;
  return out;
}

std::string staging_root(const std::string& directory) {
  return join_path(directory, ".tidemill/new");
}

class ParquetOutput final : public JournaledOutput {
 public:
  explicit ParquetOutput(const std::vector<Field>& fields) : fields_(fields) {}

  Status write(BatchPtr& batch) override {
    note(*batch);
    if (!batch->selected.empty()) {
      std::vector<KeptRows>& kept = kept_[batch->source];
      kept.emplace_back(*batch, fields_);
      bytes_ += kept.back().memory_bytes();
    }
    batch.reset();
    return {};
  }
  // Of one input partition.
  const std::vector<KeptRows>& kept(const TopicPartition& source) { return kept_[source]; }

 private:
  const std::vector<Field>& fields_;
  std::map<TopicPartition, std::vector<KeptRows>> kept_;
};

}  // namespace

class ParquetSinkWriter final : public JournaledWriter {
 public:
  ParquetSinkWriter(ParquetSink& sink, std::unique_ptr<duck::Connection> connection)
      : JournaledWriter(sink),
        sink_(sink),
        connection_(std::move(connection)),
        parquet_(*connection_, sink.layout_, parquet_options(sink)) {}

  Status prepare() { return parquet_.prepare(); }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<ParquetOutput>(sink_.fields_));
  }

 private:
  static ParquetOptions parquet_options(const ParquetSink& sink);
  Status write_rows(pipeline::SinkOutput& output, const TopicPartition& source, Offset start,
                    JournaledPartition& partition, PartitionState* next) override;

  ParquetSink& sink_;
  std::unique_ptr<duck::Connection> connection_;
  ParquetWriter parquet_;
};

// The columns that divide the rows are in the folders' names, not in the files.
ParquetOptions ParquetSinkWriter::parquet_options(const ParquetSink& sink) {
  ParquetOptions options;
  options.codec = sink.options_.codec;
  options.extension = kStagedExtension;
  std::string replaced, added;
  for (const ParquetPartitioning& part : sink.partitioning_) {
    options.partition_by.push_back(part.name);
    std::string& to = part.derived ? added : replaced;
    to += (to.empty() ? "" : ", ") + part.sql + " AS " + quote_identifier(part.name);
  }
  if (!replaced.empty()) options.select += " REPLACE (" + replaced + ")";
  if (!added.empty()) options.select += ", " + added;
  return options;
}

Status ParquetSinkWriter::write_rows(pipeline::SinkOutput& output, const TopicPartition& source, Offset start,
                                     JournaledPartition& partition, PartitionState* next) {
  auto& mine = static_cast<ParquetPartition&>(partition);
  // The next record takes the place of the one that names them.
  TM_TRY(mine.publish());
  const std::vector<KeptRows>& kept = static_cast<ParquetOutput&>(output).kept(source);
  if (kept.empty()) return {};
  const std::string stem = fmt::format("{}-{:020}", folder_name(source), start.value());
  TM_TRY(mine.begin());
  parquet_.set_folder(mine.staging());
  TM_ASSIGN(auto files, parquet_.write(kept, sink_.clock_.wall_us(), stem));
  TM_TRY(mine.stage(files, stem, [this](const std::string& folder) { return sink_.make_folder(folder); }));
  next->files = mine.staged();
  return {};
}

ParquetSink::ParquetSink(FileSystem& files, Clock& clock, ParquetSinkOptions options)
    : JournaledSink(files, clock, parquet_journal(options)), options_(std::move(options)) {}

pipeline::SinkTraits ParquetSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "Parquet files in " + options_.directory;
  traits.preferred_rows = kMostRows;
  traits.preferred_bytes = options_.epoch_bytes;
  traits.visibility_delay_us = options_.visible_after_us;
  return traits;
}

pipeline::SinkNeeds ParquetSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.all_columns = true;
  return needs;
}

Result<TableLayout> ParquetSink::layout_of(const Schema& schema) const {
  TableOptions table;
  table.table = options_.directory.substr(options_.directory.rfind('/') + 1);
  table.nested = options_.nested;
  table.stored_at = options_.stored_at;
  table.section = kSection;
  TM_ASSIGN(TableLayout layout,
            make_parquet_layout(schema, table, plain_partitions(options_.partition_by), kSection));
  for (TableColumn& column : layout.columns) column.not_null = false;
  return layout;
}

Result<std::vector<pipeline::Ddl>> ParquetSink::ddl(const Schema& schema) const {
  TM_ASSIGN(TableLayout layout, layout_of(schema));
  TM_ASSIGN(auto partitioning, parquet_partitioning(options_.partition_by, layout.columns, kSection));
  const ParquetTable table{options_.pipeline, options_.source, delta_schema_json(layout.columns),
                           options_.partition_by};
  TM_ASSIGN(std::string scan, parquet_scan_sql(table, options_.directory));
  SparkFiles spark{"PARQUET", {}, options_.directory};
  for (const ParquetPartitioning& part : partitioning) {
    spark.partition_by.push_back(part.name);
    if (!part.derived) continue;
    TableColumn column;
    column.name = part.name;
    column.type = part.type;
    layout.columns.push_back(std::move(column));
  }
  std::vector<pipeline::Ddl> statements{
      {"the events, in DuckDB", "CREATE VIEW " + quote_identifier(layout.table) + " AS FROM " + scan},
      {"the events, in Spark SQL", create_spark_table_sql(layout, spark)}};
  if (!partitioning.empty()) {
    statements.push_back({"partitions that came since, in Spark SQL", repair_spark_table_sql(layout)});
  }
  return statements;
}

Status ParquetSink::check_empty() {
  if (!files_.exists(options_.directory)) return {};
  TM_ASSIGN(std::vector<std::string> names, files_.list(options_.directory));
  for (const std::string& name : names) {
    if (name == ".tidemill") continue;
    return user_error("serve.parquet.directory: " + options_.directory + " holds " + name +
                      ", which is not of this program; choose another directory, or empty it");
  }
  return {};
}

Status ParquetSink::create_or_check() {
  const ParquetTable must{options_.pipeline, options_.source, delta_schema_json(layout_.columns),
                          options_.partition_by};
  TM_ASSIGN(auto is, read_parquet_table(files_, options_.directory));
  if (!is) {
    return write_file_atomically(files_, join_path(options_.directory, ".tidemill/table.json"),
                                 parquet_table_json(must));
  }
  if (is->pipeline != must.pipeline || is->source != must.source) {
    return user_error("it has the rows and positions of " + is->pipeline + " from " + is->source +
                      ", this is " + must.pipeline + " from " + must.source +
                      "; choose another serve.parquet.directory");
  }
  return check_same_table(is->schema, is->partition_by, must.schema, must.partition_by, kSection,
                          "directory");
}

Status ParquetSink::prepare(const Schema& schema) {
  fields_ = schema.fields;
  TM_ASSIGN(layout_, layout_of(schema));
  TM_ASSIGN(partitioning_, parquet_partitioning(options_.partition_by, layout_.columns, kSection));
  if (!files_.exists(join_path(options_.directory, ".tidemill/journal"))) TM_TRY(check_empty());
  TM_TRY(open_journal());
  Status ready = create_or_check();
  if (!ready.ok()) return std::move(ready).error().within("Parquet table " + options_.directory);
  TM_TRY(recover_files());
  TM_ASSIGN(database_, duck::Database::open(
                           ":memory:", {{"memory_limit", std::to_string(options_.memory_limit_bytes) + "B"},
                                        {"threads", std::to_string(options_.threads)}}));
  return {};
}

void ParquetSink::screen(Batch& batch) const {
  screen_partitions(layout_, fields_, options_.partition_by, FolderNulls::kInFolder, batch);
}

Status ParquetSink::recover_files() {
  for (const auto& [source, state] : found()) {
    JournaledPartition& one = partition(source);
    std::lock_guard lock(one.mutex);
    one.state = state;
    TM_TRY(one.recover_rows());
  }
  const std::string root = staging_root(options_.directory);
  if (files_.exists(root)) TM_TRY(files_.remove_tree(root));
  TM_TRY(files_.create_directories(root));
  return files_.sync_directory(parent_path(root));
}

Status ParquetSink::make_folder(const std::string& folder) {
  std::lock_guard lock(folders_mutex_);
  if (folders_.contains(folder)) return {};
  // Each level may have been made by a process that died before it could sync that.
  TM_TRY(create_durable_directories(files_, folder, options_.partition_by.size() + 1));
  folders_.insert(folder);
  return {};
}

Result<std::unique_ptr<pipeline::SinkWriter>> ParquetSink::open_writer(int) {
  TM_CHECK(journal_open(), "prepare() comes first");
  TM_ASSIGN(auto connection, database_->connect());
  auto writer = std::make_unique<ParquetSinkWriter>(*this, std::move(connection));
  TM_TRY(writer->prepare());
  return std::unique_ptr<pipeline::SinkWriter>(std::move(writer));
}

std::unique_ptr<JournaledPartition> ParquetSink::make_partition(const TopicPartition& source,
                                                                const std::string& dead_directory) {
  return std::make_unique<ParquetPartition>(files_, options_.directory,
                                            join_path(staging_root(options_.directory), folder_name(source)),
                                            dead_directory);
}

}  // namespace tidemill::serve
