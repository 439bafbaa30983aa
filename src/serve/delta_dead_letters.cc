#include "serve/delta_dead_letters.h"

#include <algorithm>
#include <map>
#include <utility>

#include "serve/delta_schema.h"

namespace tidemill::serve {

namespace {

constexpr int kMostRaces = 100;
constexpr const char* kStagingTable = "tidemill_letters";

TableLayout letters_layout() {
  TableLayout layout;
  layout.table = kStagingTable;
  const std::pair<const char*, const char*> columns[] = {
      {"topic", "VARCHAR"},  {"partition", "INTEGER"},
      {"offset", "BIGINT"},  {"timestamp", "TIMESTAMP WITH TIME ZONE"},
      {"reason", "VARCHAR"}, {"key", "BLOB"},
      {"value", "BLOB"},     {"storedAt", "TIMESTAMP WITH TIME ZONE"}};
  for (const auto& [name, type] : columns) {
    TableColumn column;
    column.name = name;
    column.type = type;
    layout.columns.push_back(std::move(column));
  }
  return layout;
}

// Errors (kUser): it is not a table of dead letters.
Status check_letters(const DeltaMetaData& meta_data) {
  TM_ASSIGN(const std::vector<DeltaColumn> is, delta_columns(meta_data.schema));
  const TableLayout must = letters_layout();
  const auto same = [](const DeltaColumn& one, const TableColumn& other) {
    return one.name == other.name && one.type == other.type && !one.not_null;
  };
  if (meta_data.partition_columns.empty() &&
      std::equal(is.begin(), is.end(), must.columns.begin(), must.columns.end(), same))
    return {};
  std::string columns;
  for (const TableColumn& column : must.columns)
    columns += (columns.empty() ? "" : ", ") + column.name + " " + column.type;
  return user_error("it exists, and is no table of dead letters, which has no partitions and the columns " +
                    columns +
                    ", any of which may be NULL; choose another dead_letters.name, or remove the table");
}

}  // namespace

DeltaDeadLetters::DeltaDeadLetters(std::unique_ptr<DeltaLog> log, std::shared_ptr<duck::Database> database,
                                   Clock& clock, Random& random, std::string pipeline)
    : log_(std::move(log)),
      database_(std::move(database)),
      clock_(clock),
      random_(random),
      pipeline_(std::move(pipeline)) {}

std::string DeltaDeadLetters::app(const TopicPartition& source) const {
  return "tidemill/" + pipeline_ + "/" + source.topic + "/" + std::to_string(source.partition.value()) +
         "#dead-offset";
}

Status DeltaDeadLetters::check() {
  Status same = ok_status();
  TM_TRY(log_->refresh([&](const DeltaState& state) {
    if (state.version >= 0) same = check_letters(state.meta_data);
  }));
  return same;
}

Status DeltaDeadLetters::create() {
  const int64_t now_ms = clock_.wall_us() / 1000;
  TM_TRY(log_->commit([&](const DeltaState& state) -> Result<std::string> {
    if (state.version >= 0) {
      Status same = check_letters(state.meta_data);
      if (!same.ok()) return std::move(same).error();
      return std::string();
    }
    return delta_commit_info_line("CREATE TABLE", "", now_ms, random_id(random_)) +
           delta_protocol_line(1, 2) +
           delta_meta_data_line(random_id(random_), delta_schema_json(letters_layout().columns), {}, {},
                                now_ms);
  }));
  return {};
}

// The add action of a file with them.
Result<std::string> DeltaDeadLetters::write(const std::vector<DeadLetter>& letters, int64_t now_us) {
  TM_ASSIGN(auto connection, database_->connect());
  const TableLayout layout = letters_layout();
  std::string sql = create_table_sql(layout);
  sql.replace(0, sizeof("CREATE TABLE") - 1, "CREATE OR REPLACE TEMP TABLE");
  TM_TRY(connection->execute(sql));
  {
    TM_ASSIGN(auto appender, connection->appender(kStagingTable));
    TM_TRY(append_dead_letters(letters, now_us, *appender));
    TM_TRY(appender->flush());
  }
  ParquetOptions parquet;
  parquet.folder = log_->store().folder();
  parquet.codec = kDeadLettersCodec;
  ParquetWriter writer(*connection, layout, parquet);
  TM_ASSIGN(auto files, writer.write_query(std::string("SELECT * FROM temp.") + kStagingTable,
                                           "part-" + random_id(random_)));
  std::string lines;
  for (const ParquetFile& file : files) {
    if (Status kept = log_->store().keep({file.name}); !kept.ok()) {
      log_->store().drop(file.name);
      return std::move(kept).error();
    }
    lines += delta_add_line(delta_uri(file.name), {}, file.size_bytes, now_us / 1000, true, file.stats);
  }
  return lines;
}

// False where another writer's commit moved a position meanwhile.
Result<bool> DeltaDeadLetters::try_to_store(const std::vector<DeadLetter>& letters,
                                            const std::vector<pipeline::PartitionEpoch>& parts) {
  std::map<TopicPartition, int64_t> held;
  const auto positions = [&](const DeltaState& state) {
    std::map<TopicPartition, int64_t> all;
    for (const pipeline::PartitionEpoch& part : parts) {
      auto found = state.txns.find(app(part.source));
      all[part.source] = found == state.txns.end() ? 0 : found->second.version;
    }
    return all;
  };
  TM_TRY(log_->refresh([&](const DeltaState& state) { held = positions(state); }));
  std::vector<DeadLetter> fresh;
  for (const DeadLetter& letter : letters) {
    if (letter.offset.value() >= held[letter.source]) fresh.push_back(letter);
  }
  if (fresh.empty()) return true;
  const int64_t now_us = clock_.wall_us();
  TM_ASSIGN(std::string lines, write(fresh, now_us));
  lines = delta_commit_info_line("WRITE", "\"mode\":\"Append\"", now_us / 1000, random_id(random_)) + lines;
  for (const pipeline::PartitionEpoch& part : parts)
    lines += delta_txn_line(app(part.source), part.next.offset.value(), now_us / 1000);
  bool moved = false;
  TM_TRY(log_->commit([&](const DeltaState& state) -> Result<std::string> {
    moved = positions(state) != held;
    return moved ? std::string() : lines;
  }));
  return !moved;
}

Status DeltaDeadLetters::store(const std::vector<DeadLetter>& letters,
                               const std::vector<pipeline::PartitionEpoch>& parts) {
  std::lock_guard lock(mutex_);
  TM_TRY(create());
  for (int races = 0; races < kMostRaces; ++races) {
    auto stored = try_to_store(letters, parts);
    // A commit that may be there is looked for by the next attempt, as any other's.
    if (!stored.ok() && stored.error().code == Code::kUnknown) continue;
    if (!stored.ok()) return std::move(stored).error();
    if (*stored) return {};
  }
  return external_error(
      "dead letters: other writers were first " + std::to_string(kMostRaces) + " times in a row",
      Code::kFailed, true);
}

}  // namespace tidemill::serve
