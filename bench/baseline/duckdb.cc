#include "baseline/duckdb.h"

#include <dlfcn.h>
#include <duckdb.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "baseline/fail.h"

namespace baseline {
namespace {

constexpr size_t kChunkRows = 2048;
constexpr int64_t kAnyTimeUs = 1'767'225'600'000'000;

// The few functions that are needed, from the library that the program uses.
// clang-format off
#define BASELINE_DUCK(F)                                                                      \
  F(open_ext) F(close) F(connect) F(disconnect) F(query) F(destroy_result)                    \
  F(create_config) F(set_config) F(destroy_config)                                            \
  F(create_logical_type) F(create_struct_type) F(destroy_logical_type)                        \
  F(create_data_chunk) F(destroy_data_chunk) F(data_chunk_get_vector) F(data_chunk_set_size)  \
  F(vector_get_data) F(struct_vector_get_child) F(vector_assign_string_element_len)           \
  F(appender_create) F(appender_flush) F(appender_destroy) F(append_data_chunk)
// clang-format on

struct Api {
#define BASELINE_MEMBER(name) decltype(&::duckdb_##name) name;
  BASELINE_DUCK(BASELINE_MEMBER)
#undef BASELINE_MEMBER

  Api() {
    const char* chosen = std::getenv("TIDEMILL_DUCKDB");
    void* library = ::dlopen(chosen != nullptr ? chosen : TIDEMILL_DUCKDB_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail("load libduckdb.so");
#define BASELINE_LOAD(name)                                                   \
  name = reinterpret_cast<decltype(name)>(::dlsym(library, "duckdb_" #name)); \
  if (name == nullptr) fail("find duckdb_" #name);
    BASELINE_DUCK(BASELINE_LOAD)
#undef BASELINE_LOAD
  }
};
const Api& api() {
  static const Api loaded;
  return loaded;
}

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void run(duckdb_connection connection, const std::string& sql) {
  duckdb_result result;
  if (api().query(connection, sql.c_str(), &result) != DuckDBSuccess) fail(sql.c_str());
  api().destroy_result(&result);
}

std::string table_sql() {
  std::string sql = "CREATE TABLE rawdata (\"eventId\" VARCHAR, \"complexData\" STRUCT(";
  for (int m = 0; m < kMembers; ++m) {
    sql += (m > 0 ? ", " : "") + std::string("\"moreData") + std::to_string(m) + "\" DOUBLE";
  }
  return sql +
         "), \"value\" DOUBLE, \"deviceId\" VARCHAR, \"deviceSequenceNumber\" BIGINT, \"type\" VARCHAR, "
         "\"createdAt\" TIMESTAMP, \"enqueuedAt\" TIMESTAMP, \"processedAt\" TIMESTAMP, "
         "\"storedAt\" TIMESTAMP)";
}

}  // namespace

struct DuckDbRows::Impl {
  Impl() {
    duckdb_logical_type text = api().create_logical_type(DUCKDB_TYPE_VARCHAR);
    duckdb_logical_type real = api().create_logical_type(DUCKDB_TYPE_DOUBLE);
    duckdb_logical_type integer = api().create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_logical_type time = api().create_logical_type(DUCKDB_TYPE_TIMESTAMP);
    std::vector<std::string> names;
    for (int m = 0; m < kMembers; ++m) names.push_back("moreData" + std::to_string(m));
    std::vector<const char*> name_texts;
    for (const std::string& name : names) name_texts.push_back(name.c_str());
    std::vector<duckdb_logical_type> members(kMembers, real);
    duckdb_logical_type complex = api().create_struct_type(members.data(), name_texts.data(), kMembers);
    types = {text, complex, real, text, integer, text, time, time, time, time};
    owned = {text, real, integer, time, complex};
  }
  ~Impl() {
    for (duckdb_data_chunk& chunk : chunks) api().destroy_data_chunk(&chunk);
    for (duckdb_logical_type& type : owned) api().destroy_logical_type(&type);
  }

  size_t last_rows() const { return rows - (chunks.empty() ? 0 : (chunks.size() - 1) * kChunkRows); }

  std::vector<duckdb_logical_type> types, owned;
  std::vector<duckdb_data_chunk> chunks;  // all but the last are full
  size_t rows = 0;
};

DuckDbRows::DuckDbRows() : impl_(std::make_unique<Impl>()) {}
DuckDbRows::~DuckDbRows() = default;
size_t DuckDbRows::rows() const {
  return impl_->rows;
}

namespace {

template <class T>
void copy(duckdb_vector to, size_t at, const std::vector<T>& from, size_t row, size_t count) {
  std::memcpy(static_cast<T*>(api().vector_get_data(to)) + at, from.data() + row, count * sizeof(T));
}
void copy(duckdb_vector to, size_t at, const Text& from, size_t row, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    auto begin = static_cast<size_t>(from.offsets[row + i]);
    auto end = static_cast<size_t>(from.offsets[row + i + 1]);
    api().vector_assign_string_element_len(to, at + i, from.bytes.data() + begin, end - begin);
  }
}

}  // namespace

void DuckDbRows::add(const Telemetry& columns) {
  for (size_t row = 0; row < columns.value.size();) {
    if (impl_->chunks.empty() || impl_->last_rows() == kChunkRows) {
      impl_->chunks.push_back(api().create_data_chunk(impl_->types.data(), impl_->types.size()));
    }
    duckdb_data_chunk chunk = impl_->chunks.back();
    size_t at = impl_->last_rows();
    size_t count = std::min(kChunkRows - at, columns.value.size() - row);
    auto vector = [&](idx_t column) { return api().data_chunk_get_vector(chunk, column); };
    copy(vector(0), at, columns.event_id, row, count);
    for (int m = 0; m < kMembers; ++m) {
      duckdb_vector member = api().struct_vector_get_child(vector(1), static_cast<idx_t>(m));
      copy(member, at, columns.members[m], row, count);
    }
    copy(vector(2), at, columns.value, row, count);
    copy(vector(3), at, columns.device_id, row, count);
    copy(vector(4), at, columns.sequence, row, count);
    copy(vector(5), at, columns.type, row, count);
    copy(vector(6), at, columns.created_us, row, count);
    for (idx_t column = 7; column < 10; ++column) {
      std::fill_n(static_cast<int64_t*>(api().vector_get_data(vector(column))) + at, count, kAnyTimeUs);
    }
    api().data_chunk_set_size(chunk, at + count);
    impl_->rows += count;
    row += count;
  }
}

namespace {

duckdb_database open(const std::string& path, int threads) {
  duckdb_config config;
  if (api().create_config(&config) != DuckDBSuccess) fail("configure DuckDB");
  api().set_config(config, "threads", std::to_string(threads).c_str());
  duckdb_database database;
  char* error = nullptr;
  if (api().open_ext(path.c_str(), &database, config, &error) != DuckDBSuccess) fail("open a database");
  api().destroy_config(&config);
  return database;
}

// The members of an event with their types, as read_json takes them: exactly the table's first columns.
std::string json_columns() {
  std::string members;
  for (int m = 0; m < kMembers; ++m) {
    members += (m > 0 ? ", " : "") + std::string("moreData") + std::to_string(m) + " DOUBLE";
  }
  return "{'eventId': 'VARCHAR', 'complexData': 'STRUCT(" + members +
         ")', 'value': 'DOUBLE', 'deviceId': 'VARCHAR', 'deviceSequenceNumber': 'BIGINT', 'type': 'VARCHAR', "
         "'createdAt': 'TIMESTAMP'}";
}

}  // namespace

DuckDbCost insert_from_json(const std::string& path, const std::string& json, int threads) {
  duckdb_database database = open(path, threads);
  duckdb_connection connection;
  if (api().connect(database, &connection) != DuckDBSuccess) fail("connect");
  run(connection, table_sql());
  const double wall = seconds(CLOCK_MONOTONIC);
  const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  run(connection,
      "INSERT INTO rawdata SELECT \"eventId\", \"complexData\", \"value\", \"deviceId\", "
      "\"deviceSequenceNumber\", \"type\", \"createdAt\", now()::TIMESTAMP, now()::TIMESTAMP, "
      "now()::TIMESTAMP FROM read_json('" +
          json + "', format = 'newline_delimited', columns = " + json_columns() + ")");
  DuckDbCost cost{seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu};
  api().disconnect(&connection);
  api().close(&database);
  return cost;
}

DuckDbCost DuckDbRows::append(const std::string& path, int connections, int threads,
                              size_t transaction_rows) {
  duckdb_database database = open(path, threads);
  std::vector<duckdb_connection> connected(static_cast<size_t>(connections));
  for (duckdb_connection& connection : connected) {
    if (api().connect(database, &connection) != DuckDBSuccess) fail("connect");
  }
  run(connected[0], table_sql());

  const size_t per_transaction = std::max<size_t>(1, transaction_rows / kChunkRows);
  const size_t transactions = (impl_->chunks.size() + per_transaction - 1) / per_transaction;
  auto work = [&](size_t number) {
    duckdb_connection connection = connected[number];
    for (size_t t = number; t < transactions; t += connected.size()) {
      run(connection, "BEGIN TRANSACTION");
      duckdb_appender appender;
      if (api().appender_create(connection, nullptr, "rawdata", &appender) != DuckDBSuccess) fail("append");
      size_t end = std::min(impl_->chunks.size(), (t + 1) * per_transaction);
      for (size_t i = t * per_transaction; i < end; ++i) {
        if (api().append_data_chunk(appender, impl_->chunks[i]) != DuckDBSuccess) fail("append a chunk");
      }
      if (api().appender_flush(appender) != DuckDBSuccess) fail("flush");
      api().appender_destroy(&appender);
      run(connection, "COMMIT");
    }
  };
  double wall = seconds(CLOCK_MONOTONIC);
  double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  std::vector<std::thread> workers;
  for (size_t i = 1; i < connected.size(); ++i) workers.emplace_back(work, i);
  work(0);
  for (std::thread& worker : workers) worker.join();
  DuckDbCost cost{seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu};
  for (duckdb_connection& connection : connected) api().disconnect(&connection);
  api().close(&database);
  return cost;
}

}  // namespace baseline
