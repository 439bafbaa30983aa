#include "solution/query_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>

#include "base/clock.h"

namespace tidemill::solution {
namespace {

constexpr auto kLookUp = std::chrono::milliseconds(5);
constexpr int64_t kStopGraceNs = 2'000'000'000;
// Where no pipeline uses the database, one part in so many of the time is spent on looking at the memory.
constexpr int64_t kMeterShare = 10;

// They act on the database, its parser or its log, run SQL from a text, or open files, among which is the
// database's own. Those that begin with a prefix of the second list open files.
constexpr std::array<std::string_view, 14> kRefused = {"checkpoint",
                                                       "force_checkpoint",
                                                       "enable_logging",
                                                       "disable_logging",
                                                       "write_log",
                                                       "enable_profiling",
                                                       "truncate_duckdb_logs",
                                                       "enable_peg_parser",
                                                       "query",
                                                       "glob",
                                                       "sniff_csv",
                                                       "disable_profiling",
                                                       "disable_peg_parser",
                                                       "json_execute_serialized_sql"};
constexpr std::array<std::string_view, 2> kRefusedPrefixes = {"read_", "parquet_"};

bool refused(std::string_view function) {
  return std::find(kRefused.begin(), kRefused.end(), function) != kRefused.end() ||
         std::any_of(kRefusedPrefixes.begin(), kRefusedPrefixes.end(),
                     [&](std::string_view prefix) { return function.starts_with(prefix); });
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// The first word of the text, wherever it stands, that is a refused function's name; empty: none.
std::string refused_word(const std::string& sql) {
  const std::string text = lower(sql);
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && is_word(text[end])) ++end;
    std::string word = text.substr(at, end - at);
    if (refused(word)) return word;
    at = end + 1;
  }
  return {};
}

// Where such a name stands in the text, only the parser knows whether it is called there; what that cannot
// tell (EXPLAIN, PIVOT) counts as called.
Status check_functions(duck::Connection& connection, const std::string& sql) {
  const std::string word = refused_word(sql);
  if (word.empty()) return {};
  TM_ASSIGN(auto rows, connection.query("SELECT lower(json_extract_string(value, '$')) FROM "
                                        "json_tree(json_serialize_sql(CAST($1 AS VARCHAR))) "
                                        "WHERE key = 'function_name' UNION ALL SELECT $2 FROM (SELECT "
                                        "json_serialize_sql(CAST($1 AS VARCHAR)) "
                                        "AS parsed) WHERE parsed->>'error' = 'true'",
                                        {duck::Value::of(sql), duck::Value::of(word)}));
  for (;;) {
    TM_ASSIGN(size_t count, rows->next());
    if (count == 0) return {};
    for (size_t row = 0; row < count; ++row) {
      if (refused(rows->text(0, row)))
        return user_error("a query has no use of " + std::string(rows->text(0, row)) + "()");
    }
  }
}

class Gate final : public QueryGate, public std::enable_shared_from_this<Gate> {
 public:
  bool enter(const std::function<bool()>& until) override {
    std::unique_lock lock(mutex_);
    while (taken_ >= kPlaces) {
      if (until()) return false;
      changed_.wait_for(lock, std::chrono::milliseconds(50));
    }
    ++taken_;
    return true;
  }
  void leave() override {
    std::lock_guard lock(mutex_);
    --taken_;
    changed_.notify_one();
  }
  std::shared_ptr<QueryGate> share() override { return shared_from_this(); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int taken_ = 0;
};

std::atomic<int> abandoned{0};

// One query at work, shared by its thread and its asker's.
struct Job {
  QueryStore store;
  std::shared_ptr<QueryGate> gate;
  std::unique_ptr<duck::Connection> connection;
  std::mutex mutex;  // of the outcome, and of the connection until it has ended
  std::condition_variable changed;
  bool ended = false;
  Status outcome;
  // Of handing rows over, which may wait for a slow asker; the second of the two where both are held.
  std::mutex reply_mutex;
  bool left = false;  // nobody takes rows any more
};

Status work(Job& job, const std::string& sql, const QueryPrint& print, const Reply& reply) {
  duck::Connection& connection = *job.connection;
  if (!job.store.prepare.empty()) TM_TRY(connection.execute(job.store.prepare));
  TM_TRY(connection.execute("BEGIN TRANSACTION READ ONLY"));
  TM_TRY(check_functions(connection, sql));
  TM_ASSIGN(auto rows, connection.read(sql));
  return print(*rows, [&job, &reply](std::string_view piece) {
    std::lock_guard lock(job.reply_mutex);
    return !job.left && reply(piece);
  });
}

// What queries hold, as DuckDB counts it: not the blocks of tables, which it lets go when it needs room.
class MemoryMeter {
 public:
  static Result<std::unique_ptr<MemoryMeter>> open(duck::Database& database) {
    auto meter = std::make_unique<MemoryMeter>();
    TM_ASSIGN(meter->connection_, database.connect());
    return meter;
  }
  // Too much where even that cannot be asked.
  int64_t bytes() {
    auto rows = connection_->query(
        "SELECT CAST(sum(memory_usage_bytes) AS BIGINT) FROM duckdb_memory() WHERE tag IN ('HASH_TABLE', "
        "'ORDER_BY', 'COLUMN_DATA', 'WINDOW', 'ALLOCATOR', 'OVERFLOW_STRINGS', 'EXTENSION', 'CSV_READER', "
        "'PARQUET_READER')");
    if (!rows.ok()) return INT64_MAX;
    auto count = (*rows)->next();
    return count.ok() && *count == 1 ? (*rows)->integer(0, 0) : INT64_MAX;
  }

 private:
  std::unique_ptr<duck::Connection> connection_;
};

std::string seconds(int64_t us) {
  return fmt::format("{:g} s", static_cast<double>(us) / 1e6);
}

}  // namespace

std::shared_ptr<QueryGate> QueryGate::make() {
  return std::make_shared<Gate>();
}

int abandoned_queries() {
  return abandoned;
}

Status run_query(QueryGate& gate, QueryStore store, const QueryLimits& limits, const std::string& sql,
                 QueryPrint print, const Reply& reply, const std::atomic<bool>& gone) {
  Clock& clock = Clock::system();
  const int64_t deadline_ns = clock.steady_ns() + limits.timeout_us * 1000;
  auto over = [&] { return gone || clock.steady_ns() > deadline_ns; };
  const Error too_long{
      Domain::kUser, Code::kStopped, false,
      "the query took longer than " + seconds(limits.timeout_us) + " (query.timeout) and was stopped"};
  if (!store.own_file.empty() && lower(sql).find(lower(store.own_file)) != std::string::npos)
    return user_error("a query names tables, not the database's file");
  if (!gate.enter(over)) return gone ? ok_status() : Status(too_long);

  const bool alone = store.own_file.empty();
  auto job = std::make_shared<Job>();
  job->gate = gate.share();
  job->store = std::move(store);
  auto ready = [&]() -> Result<std::unique_ptr<MemoryMeter>> {
    TM_ASSIGN(job->connection, job->store.database->connect());
    return MemoryMeter::open(*job->store.database);
  }();
  if (!ready.ok()) {
    gate.leave();
    return std::move(ready).error();
  }
  std::unique_ptr<MemoryMeter> meter = std::move(*ready);
  std::thread worker([job, sql, print = std::move(print), &reply] {
    Status outcome = work(*job, sql, print, reply);
    std::unique_lock lock(job->mutex);
    job->outcome = std::move(outcome);
    job->ended = true;
    if (job->left) --abandoned;
    job->changed.notify_all();
    lock.unlock();
    job->connection.reset();
    job->gate->leave();
  });

  Status stopped;  // why it was told to stop
  int64_t give_up_ns = INT64_MAX;
  int64_t measure_ns = 0;  // not before
  std::unique_lock lock(job->mutex);
  while (!job->ended && clock.steady_ns() < give_up_ns) {
    job->changed.wait_for(lock, kLookUp);
    if (job->ended) break;
    lock.unlock();
    const bool is_over = over();
    bool too_much = false;
    if (const int64_t now_ns = clock.steady_ns(); !is_over && now_ns >= measure_ns) {
      too_much = meter->bytes() > limits.memory_bytes;
      const int64_t done_ns = clock.steady_ns();
      if (alone) measure_ns = done_ns + kMeterShare * (done_ns - now_ns);
    }
    if (is_over && stopped.ok()) stopped = too_long;
    if (too_much && stopped.ok()) {
      stopped = Error{Domain::kUser, Code::kStopped, false,
                      fmt::format("queries held more than {} MiB (query.memory), and were stopped",
                                  limits.memory_bytes >> 20)};
    }
    lock.lock();
    if (!stopped.ok() && !job->ended) {
      // Again and again: between two operators DuckDB may overlook it.
      job->connection->interrupt();
      give_up_ns = std::min(give_up_ns, clock.steady_ns() + kStopGraceNs);
    }
  }
  if (!job->ended) {
    {
      std::lock_guard replies(job->reply_mutex);
      job->left = true;
    }
    ++abandoned;
    lock.unlock();
    worker.detach();
    return stopped;
  }
  lock.unlock();
  worker.join();
  if (job->outcome.ok() || gone) return ok_status();
  return stopped.ok() ? job->outcome : stopped;
}

}  // namespace tidemill::solution
