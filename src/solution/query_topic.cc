#include "solution/query_topic.h"

#include <simdjson.h>

#include "duck/api.h"
#include "event/schema.h"
#include "event/timestamp.h"
#include "solution/query.h"
#include "solution/topic_reader.h"
#include "solution/wire.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kPollUs = 100'000;

enum RecordColumn : size_t { kPartition, kOffset, kTimestamp, kKey, kMessage };
const std::vector<duck::ScanColumn> kRecordColumns = {{"_partition_id", "INTEGER"},
                                                      {"_partition_offset", "BIGINT"},
                                                      {"_timestamp", "TIMESTAMP"},
                                                      {"_key", "VARCHAR"},
                                                      {"_message", "VARCHAR"}};

// What is no UTF-8 has every byte beyond ASCII replaced (U+FFFD).
void put_text(_duckdb_vector* vector, size_t row, std::string_view text) {
  std::string mended;
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    for (char c : text) {
      if (static_cast<unsigned char>(c) < 0x80) {
        mended += c;
      } else {
        mended += "\xEF\xBF\xBD";
      }
    }
    text = mended;
  }
  duck::api().vector_assign_string_element_len(vector, row, text.data(), text.size());
}

void put_null(_duckdb_vector* vector, size_t row) {
  duck::api().vector_ensure_validity_writable(vector);
  duck::api().vector_get_validity(vector)[row / 64] &= ~(uint64_t{1} << (row % 64));
}

void put_text_or_null(_duckdb_vector* vector, size_t row, bool there, std::string_view text) {
  if (there) {
    put_text(vector, row, text);
  } else {
    put_null(vector, row);
  }
}

template <class T>
void put(_duckdb_vector* vector, size_t row, T value) {
  if (vector != nullptr) static_cast<T*>(duck::api().vector_get_data(vector))[row] = value;
}

// Of a topic in the log the lease is that of its owner's; else null.
class TopicScan final : public duck::Scan {
 public:
  TopicScan(std::unique_ptr<TopicReader> reader, std::shared_ptr<LogLease> lease)
      : reader_(std::move(reader)), lease_(std::move(lease)) {}

  Result<size_t> next(const std::vector<_duckdb_vector*>& columns, size_t most) override {
    if (!lease_) return fill(columns, most);
    Result<size_t> rows = external_error("the run has ended", Code::kStopped);
    lease_->with([&](log::Log&) { rows = fill(columns, most); });
    return rows;
  }

 private:
  Result<size_t> fill(const std::vector<_duckdb_vector*>& columns, size_t most) {
    size_t row = 0;
    while (row < most && !reader_->done()) {
      TM_ASSIGN(auto event, reader_->next(kPollUs));
      if (!event) continue;
      const Record& record = *event->record;
      put<int32_t>(columns[kPartition], row, event->source->partition.value());
      put<int64_t>(columns[kOffset], row, record.offset.value());
      const auto time_us = record_time_us(record.timestamp_ms);
      put<int64_t>(columns[kTimestamp], row, time_us.value_or(0));
      if (!time_us && columns[kTimestamp] != nullptr) put_null(columns[kTimestamp], row);
      if (columns[kKey] != nullptr) put_text_or_null(columns[kKey], row, record.has_key, record.key);
      if (columns[kMessage] != nullptr)
        put_text_or_null(columns[kMessage], row, record.has_value, record.value);
      ++row;
    }
    return row;
  }

  std::unique_ptr<TopicReader> reader_;
  std::shared_ptr<LogLease> lease_;
};

Result<std::unique_ptr<duck::Scan>> open_scan(const std::optional<KafkaTopic>& in_kafka,
                                              const std::shared_ptr<LogLease>& lease,
                                              const std::string& topic) {
  Result<std::unique_ptr<TopicReader>> reader = external_error("the run has ended", Code::kStopped);
  if (in_kafka) {
    reader = TopicReader::of_kafka(*in_kafka, {});
  } else {
    lease->with([&](log::Log& log) { reader = TopicReader::of_log(log, topic, {}); });
  }
  if (!reader.ok()) return std::move(reader).error();
  return std::unique_ptr<duck::Scan>(
      std::make_unique<TopicScan>(std::move(*reader), in_kafka ? nullptr : lease));
}

std::string in_quotes(const std::string& text, char quote) {
  std::string out(1, quote);
  for (char c : text) out.append(c == quote ? 2 : 1, c);
  return out + quote;
}

std::string column_sql(const Field& field) {
  std::string path = "$";
  for (const std::string& member : field.path) path += "." + in_quotes(member, '"');
  const std::string member = in_quotes(path, '\'');
  if (field.type == Type::kJson) return "json_extract(_json, " + member + ")";
  const std::string text = "json_extract_string(_json, " + member + ")";
  return field.type == Type::kVarchar
             ? text
             : "TRY_CAST(" + text + " AS " + std::string(type_name(field.type)) + ")";
}

// Only what a query reads of it is taken out of the events.
std::string view_sql(const std::string& view, const std::string& function, const Schema& schema) {
  std::string columns;
  for (const Field& field : schema.fields) {
    columns += column_sql(field) + " AS " + in_quotes(field.name, '"') + ", ";
  }
  return "CREATE TEMP VIEW " + in_quotes(view, '"') + " AS SELECT " + columns +
         "_partition_id, _partition_offset, _timestamp, _key, _message FROM (SELECT *, TRY_CAST(_message AS "
         "JSON) AS _json FROM " +
         function + "())";
}

// A topic under the name of its role, and under its own.
struct View {
  std::string role, topic;
  Schema schema;
};

// Of what the first stage reads and the last one writes, and of what is between two of them.
Result<std::vector<View>> views_of(Host& host, const Solution& solution) {
  TM_ASSIGN(Ground ground, host.ground());
  ground.dry = true;
  TM_ASSIGN(auto stages, wire(solution, ground));
  std::vector<View> views{{"input", input_topic(solution), solution.event.schema}};
  for (size_t i = 0; i + 1 < stages.size(); ++i)
    views.push_back({"between_" + std::to_string(i + 1), stages[i].output_topic, stages[i].plan.sink_schema});
  const bool to_kafka = solution.serve.kind == SinkKind::kKafka;
  const std::string& output = to_kafka ? solution.serve.kafka.topic : solution.serve.log.topic;
  views.push_back({"output", output, stages.back().plan.sink_schema});
  return views;
}

}  // namespace

Result<QueryStore> open_topic_store(Host& host, const Solution& solution) {
  QueryStore store;
  TM_ASSIGN(store.database, open_query_database(host, solution));
  TM_ASSIGN(std::vector<View> views, views_of(host, solution));
  for (const View& view : views) {
    duck::ScanFunction function;
    function.name = "tidemill_" + view.role;
    function.columns = kRecordColumns;
    auto in_kafka = find_kafka_topic(solution, view.topic);
    std::shared_ptr<LogLease> lease;
    if (!in_kafka) {
      TM_ASSIGN(lease, host.lease_log());
    }
    function.open = [in_kafka, lease, topic = view.topic] { return open_scan(in_kafka, lease, topic); };
    const std::string name = function.name;
    TM_TRY(store.database->add_function(std::move(function)));
    store.prepare += view_sql(view.role, name, view.schema) + "; ";
    if (view.topic != "input" && view.topic != "output") {
      store.prepare += "CREATE TEMP VIEW " + in_quotes(view.topic, '"') + " AS FROM " + view.role + "; ";
    }
  }
  TM_TRY(store.database->lock_down());
  return store;
}

}  // namespace tidemill::solution
