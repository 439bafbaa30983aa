// Telemetry, log to PostgreSQL, exactly-once, with lag, beside bare binary COPY of the same rows in
// transactions of the same size into a table without a key. On the server that TIDEMILL_POSTGRES names
// (tools/postgres up).
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "pg/connection.h"
#include "support/measure.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr int32_t kPartitions = 4;
constexpr size_t kRowsAtOnce = 20'000;  // as PostgresSink prefers
const std::string kTopic = "telemetry";
const std::string kTable = "bench_rows", kBare = "bench_bare";

class Comparison {
 public:
  explicit Comparison(const Options& options)
      : directory_(options.directory + "/postgres"),
        log_(open_log(directory_ + "/log", log::Durability::kNone)) {
    server_.connection = std::getenv("TIDEMILL_POSTGRES");
    sent_ = fill_topic(*log_, kTopic, kPartitions, options.events);
    ours("append", 1);
    // Those rows are what is copied beside.
    std::string transaction;
    size_t rows = 0;
    auto connection = must(pg::Connection::open(server_));
    must(connection->copy_out("COPY " + kTable + " TO STDOUT (FORMAT binary)",
                              [&](std::string_view row) -> Status {
                                if (transactions_.empty() && transaction.empty()) {
                                  transaction = row.substr(0, kHeader);
                                  row.remove_prefix(kHeader);
                                }
                                if (row.size() <= 2) return {};  // the end
                                transaction += row;
                                if (++rows % kRowsAtOnce == 0) keep(&transaction);
                                return {};
                              }));
    keep(&transaction);
    execute("CREATE TABLE " + kBare + " AS SELECT * FROM " + kTable + " WITH NO DATA");
  }
  ~Comparison() {
    log_.reset();
    std::filesystem::remove_all(directory_);
    execute("DROP TABLE IF EXISTS tidemill_positions, dead_letters, " + kTable + ", " + kBare);
  }

  Cost baseline(int connections) {
    execute("TRUNCATE " + kBare);
    settle();
    return measure([&] {
      std::vector<std::thread> threads;
      for (int n = 0; n < connections; ++n) {
        threads.emplace_back([this, n, connections] {
          auto connection = must(pg::Connection::open(server_));
          for (size_t t = static_cast<size_t>(n); t < transactions_.size();
               t += static_cast<size_t>(connections)) {
            must(connection->execute("BEGIN"));
            must(connection->begin_copy("COPY " + kBare + " FROM STDIN (FORMAT binary)"));
            must(connection->put(transactions_[t]));
            must(connection->end_copy());
            must(connection->commit());
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    });
  }

  Cost ours(const std::string& mode, int tasks) {
    execute("DROP TABLE IF EXISTS tidemill_positions, dead_letters, " + kTable);
    settle();
    std::vector<std::string> settings = {
        "name=bench",
        "ingest.log.topic=" + kTopic,
        "serve.postgres.table=" + kTable,
        "process.enrich.fields=enqueuedAt,processedAt",
        "serve.postgres.mode=" + mode,
        "serve.postgres.connection=" + server_.connection,
        "serve.postgres.partitions=off",
        "serve.postgres.indexes=[]",
        fmt::format("serve.postgres.key={}", mode == "append" ? "[]" : "eventId"),
        fmt::format("pipeline.tasks={}", tasks)};
    const std::string folder = directory_ + "/run";
    std::filesystem::create_directories(folder);
    Cost cost;
    {
      Housekeeping housekeeping(*log_);
      SolutionRun run(load("telemetry-postgres", settings), *log_, folder);
      cost = measure([&] { run.run_to_end(); });
    }
    auto connection = must(pg::Connection::open(server_));
    auto count = must(connection->execute("SELECT count(*), count(DISTINCT \"eventId\") FROM " + kTable));
    const auto& expected = mode == "append" ? sent_.all : sent_.unique;
    require(count.integer(0, 0) == static_cast<int64_t>(expected.records) &&
                count.integer(0, 1) == static_cast<int64_t>(sent_.unique.records),
            "every event is there as often as it must be");
    return cost;
  }

  double events() const { return static_cast<double>(sent_.all.records); }

 private:
  static constexpr size_t kHeader = 19;

  void keep(std::string* transaction) {
    if (transaction->size() <= kHeader) return;
    const std::string header = transaction->substr(0, kHeader);
    transactions_.push_back(*transaction + std::string(2, '\xff'));
    *transaction = header;
  }
  void execute(const std::string& sql) {
    auto connection = must(pg::Connection::open(server_));
    must(connection->execute(sql));
  }
  // What the last round left to be written does not slow the next one.
  void settle() { execute("CHECKPOINT"); }

  std::string directory_;
  std::unique_ptr<log::Log> log_;
  pg::Options server_;
  Sent sent_;
  std::vector<std::string> transactions_;
};

void run(const Options& options) {
  if (std::getenv("TIDEMILL_POSTGRES") == nullptr) {
    say("postgres: TIDEMILL_POSTGRES names no server; tools/postgres up starts one");
    return;
  }
  Comparison comparison(options);
  struct Case {
    const char *name, *mode;
    int tasks;
    double target;
  };
  for (const Case& one :
       {Case{"append, one connection", "append", 1, 0.9}, Case{"append, two connections", "append", 2, 0.9},
        Case{"insert-new, one connection", "insert-new", 1, 0.6}}) {
    say(fmt::format("postgres, {}:", one.name));
    Pair pair = interleave(
        options.rounds, [&] { return comparison.ours(one.mode, one.tasks); },
        [&] { return comparison.baseline(one.tasks); });
    Row row;
    row.path = fmt::format("log to PostgreSQL with lag, {}", one.name);
    row.unit = "rows/s";
    row.ours = rate(pair.ours, comparison.events(), By::kWall);
    row.baseline = rate(pair.baseline, comparison.events(), By::kWall);
    row.ratio = speed_ratio(pair, By::kWall);
    row.checks = {{"ratio", *row.ratio, true, one.target}};
    row.note = "baseline: the same rows, encoded before, by COPY in transactions of 20,000; elapsed time";
    print(row);
  }
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
