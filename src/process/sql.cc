#include "process/sql.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <set>

#include "base/file_system.h"
#include "base/text.h"
#include "process/dead_letter.h"
#include "process/schema_fields.h"
#include "process/sql_database.h"
#include "process/sql_rows.h"

namespace tidemill::process {
namespace {

// Bound; then only the database comes, once.
struct SqlPlan {
  SqlOptions options;
  std::vector<Field> fields;  // of the events
  BoundQuery query;
  int32_t key = -1;
  std::vector<size_t> never_null;  // columns of the result

  // Of all partitions of this process.
  Result<std::shared_ptr<duck::Database>> database() {
    std::lock_guard lock(mutex);
    if (!opened) {
      TM_ASSIGN(opened, open_sql_database(options, false));
    }
    return opened;
  }
  std::mutex mutex;
  std::shared_ptr<duck::Database> opened;
  // Of the instances: what interrupt() stops.
  std::mutex connections_mutex;
  std::set<duck::Connection*> connections;
};

class SqlInstance final : public pipeline::OperatorInstance {
 public:
  explicit SqlInstance(SqlPlan& plan) : plan_(plan), writer_(plan.fields) {}
  ~SqlInstance() override {
    std::lock_guard lock(plan_.connections_mutex);
    plan_.connections.erase(connection_.get());
  }
  SqlInstance(const SqlInstance&) = delete;
  SqlInstance& operator=(const SqlInstance&) = delete;

  Result<pipeline::Progress> process(BatchPtr& batch, pipeline::OperatorContext&,
                                     pipeline::Outbox& out) override {
    if (!batch->selected.empty()) {
      if (Status kept = keep(*batch); !kept.ok()) return failed(kept.error());
      batch->dropped += batch->selected.size();
      batch->selected.clear();
    }
    // With its dead letters.
    return out.push(batch) ? pipeline::Progress::kDone : pipeline::Progress::kAgain;
  }

  Result<pipeline::Progress> end_interval(pipeline::OperatorContext& context,
                                          pipeline::Outbox& out) override {
    if (events_ == 0) return pipeline::Progress::kDone;
    if (rows_ == nullptr) {
      // Once, however the clocks of this machine and of other owners go.
      last_us_ = std::max(context.interval_us, last_us_ == kNone ? kNone : last_us_ + plan_.options.every_us);
      write_last(*context.deltas);
      if (Status asked = ask(); !asked.ok()) return failed(asked.error());
    }
    auto count = rows_->next();
    if (!count.ok()) return failed(count.error());
    if (*count == 0) {
      rows_.reset();
      events_ = 0;
      return pipeline::Progress::kDone;
    }
    frame_.timestamp_ms = last_us_ / 1000;
    BatchPtr made = make_rows_batch(*rows_, *count, plan_.query.columns, frame_);
    for (size_t column : plan_.never_null) hold_back_nulls(column, *made);
    for (const Column& column : made->columns) {
      const bool infinities = plan_.options.json_rows && column.type() == Type::kDouble;
      if (infinities || column.type() == Type::kJson) hold_back_infinities(column, *made);
    }
    TM_CHECK(out.push(made), "an outbox has room at a call's beginning");
    return pipeline::Progress::kAgain;
  }

  Status apply(std::string_view delta) override {
    ByteReader reader(delta);
    const int64_t last_us = reader.varint();
    if (!reader.ok() || reader.remaining() > 0) return internal_error("malformed sql delta", Code::kCorrupt);
    last_us_ = last_us;
    return {};
  }
  void snapshot(pipeline::DeltaWriter& deltas) override {
    if (last_us_ != kNone) write_last(deltas);
  }

 private:
  static constexpr int64_t kNone = INT64_MIN;
  static constexpr size_t kFlushBytes = 4 << 20;

  Status keep(const Batch& batch) {
    if (connection_ == nullptr) {
      TM_ASSIGN(auto database, plan_.database());
      TM_ASSIGN(connection_, database->connect());
      std::lock_guard lock(plan_.connections_mutex);
      plan_.connections.insert(connection_.get());
    }
    if (events_ == 0) {
      TM_TRY(connection_->execute("DROP TABLE IF EXISTS temp.input"));
      TM_TRY(connection_->execute(input_table_sql(plan_.fields)));
      TM_ASSIGN(appender_, connection_->appender("input"));
    }
    TM_TRY(writer_.append(batch, *appender_));
    // What it holds back cannot go to disk.
    unflushed_bytes_ += batch.payload_bytes();
    if (unflushed_bytes_ >= kFlushBytes) {
      TM_TRY(appender_->flush());
      unflushed_bytes_ = 0;
    }
    events_ += batch.selected.size();
    frame_.source = batch.source;
    frame_.offset = batch.records()[batch.selected.back()].offset;
    frame_.end = batch.end;
    frame_.key = plan_.key;
    return {};
  }

  static void hold_back_nulls(size_t column, Batch& rows) {
    const Column& values = rows.columns[column];
    std::erase_if(rows.selected, [&](uint32_t row) {
      if (values.valid(row)) return false;
      add_dead_letter(rows, row, "process.sql: " + values.name() + " is NULL, and the table's key has it");
      return true;
    });
  }

  static void hold_back_infinities(const Column& values, Batch& rows) {
    std::erase_if(rows.selected, [&](uint32_t row) {
      if (!values.valid(row)) return false;
      const bool json = values.is_text();
      if (json ? !holds_infinity(values.text_at(row)) : std::isfinite(values.double_at(row))) return false;
      add_dead_letter(rows, row,
                      "process.sql: " + values.name() + (json ? " has" : " is") +
                          " an infinity or NaN, which JSON cannot hold");
      return true;
    });
  }
  // DuckDB's to_json() writes them as bare words: {"a":Infinity}.
  static bool holds_infinity(std::string_view json) {
    bool text = false;
    for (size_t at = 0; at < json.size(); ++at) {
      if (json[at] == '"') text = !text;
      if (text && json[at] == '\\') ++at;
      if (!text && (json[at] == 'I' || json[at] == 'N')) return true;
    }
    return false;
  }

  Status ask() {
    TM_TRY(appender_->flush());
    appender_.reset();
    TM_TRY(connection_->execute(interval_sql(last_us_)));
    TM_ASSIGN(rows_, connection_->read(plan_.query.sql));
    return {};
  }

  void write_last(pipeline::DeltaWriter& deltas) const {
    std::string delta;
    ByteWriter(delta).varint(last_us_);
    deltas.add(delta);
  }

  // An error here stops the pipeline; of what was committed nothing is touched.
  Error failed(const Error& why) const {
    if (why.code == Code::kStopped) return why;
    std::string message = one_line(why.message);
    if (message.find("Out of Memory") != std::string::npos ||
        message.find("failed to offload") != std::string::npos) {
      message = "the events of an interval, and what the query makes of them, are more than " +
                format_bytes(plan_.options.memory_limit_bytes) + " in memory (process.sql.memory) and " +
                format_bytes(plan_.options.spill_bytes) +
                " on disk (process.sql.spill): give more, or a shorter interval";
    }
    const bool internal = why.domain == Domain::kInternal;
    Error error = internal ? internal_error(std::move(message)) : user_error(std::move(message));
    error.message += "; nothing is lost: a restart goes on from the last commit";
    return error;
  }

  SqlPlan& plan_;
  InputWriter writer_;
  std::unique_ptr<duck::Connection> connection_;
  std::unique_ptr<duck::Appender> appender_;
  std::unique_ptr<duck::Rows> rows_;  // of the interval that ends
  RowFrame frame_;
  size_t events_ = 0;  // in `input`
  size_t unflushed_bytes_ = 0;
  int64_t last_us_ = kNone;
};

class Sql final : public pipeline::Operator {
 public:
  explicit Sql(SqlOptions options) { plan_.options = std::move(options); }

  std::string name() const override { return "sql"; }
  Status bind(Schema* schema) override {
    plan_.fields = schema->fields;
    TM_TRY(bind_or_recall());
    Schema rows;
    rows.name = schema->name;
    rows.fields = plan_.query.columns;
    if (const std::string& key = plan_.options.key; !key.empty()) {
      plan_.key = rows.find(key);
      if (plan_.key < 0)
        return user_error("key: the query's result has no column " + key +
                          suggest_name(key, field_names(rows)));
      rows.key_field = key;
    }
    TM_TRY(check_count(rows));
    for (const std::string& column : plan_.options.table_key) {
      const int32_t at = rows.find(column);
      if (at < 0) continue;
      plan_.never_null.push_back(static_cast<size_t>(at));
      rows.fields[static_cast<size_t>(at)].nullable = false;
    }
    *schema = std::move(rows);
    return {};
  }
  std::vector<std::string> needs() const override {
    std::vector<std::string> names;
    for (const Field& field : plan_.fields) names.push_back(field.name);
    return names;
  }
  bool stateful() const override { return true; }
  int64_t every_us() const override { return plan_.options.every_us; }
  void interrupt() override {
    std::lock_guard lock(plan_.connections_mutex);
    for (duck::Connection* connection : plan_.connections) connection->interrupt();
  }
  std::unique_ptr<pipeline::OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<SqlInstance>(plan_);
  }
  std::string describe() const override {
    return "sql every " + format_duration_us(plan_.options.every_us) + ", scope " +
           (plan_.options.whole_topic
                ? "interval: the query runs once over the events of all partitions"
                : "partition: the query runs for each partition by itself, over its events alone");
  }

 private:
  Status bind_or_recall() {
    const SqlOptions& options = plan_.options;
    FileSystem& files = FileSystem::posix();
    const bool noted = !options.noted_columns.empty() && !options.tables.empty();
    auto bound = bind_query(options, plan_.fields);
    if (!bound.ok()) {
      if (!noted || options.run || !files.exists(options.noted_columns)) return std::move(bound).error();
      TM_ASSIGN(std::string text, read_file(files, options.noted_columns));
      auto columns = decode_columns(text, options, plan_.fields);
      if (!columns) return std::move(bound).error();
      plan_.query.columns = std::move(*columns);
      return {};
    }
    plan_.query = std::move(*bound);
    if (!noted || !options.run) return {};
    TM_TRY(files.create_directories(parent_path(options.noted_columns)));
    return write_file_atomically(files, options.noted_columns,
                                 encode_columns(options, plan_.fields, plan_.query.columns));
  }

  Status check_count(const Schema& rows) const {
    const std::string& count = plan_.options.count;
    if (count.empty()) return {};
    const int32_t at = rows.find(count);
    if (at < 0) {
      std::string columns;
      for (const std::string& name : field_names(rows)) columns += (columns.empty() ? "" : ", ") + name;
      return user_error("count: the query's result has no column " + count + "; it has " + columns);
    }
    const Type type = rows.fields[static_cast<size_t>(at)].type;
    if (type == Type::kInteger || type == Type::kBigint) return {};
    return user_error("count: column " + count + " of the query's result is " + std::string(type_name(type)) +
                      "; what counts events is a whole number: count(*) AS " + count);
  }

  SqlPlan plan_;
};

}  // namespace

Result<std::unique_ptr<pipeline::Operator>> make_sql(SqlOptions options) {
  if (trim(options.query).empty()) return user_error("query: is missing");
  if (options.every_us <= 0) return user_error("every: is missing");
  return std::unique_ptr<pipeline::Operator>(std::make_unique<Sql>(std::move(options)));
}

}  // namespace tidemill::process
