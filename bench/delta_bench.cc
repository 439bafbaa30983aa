// Telemetry, log to a Delta table, exactly-once, with lag, beside DuckDB alone writing the same rows to
// Parquet files of the same size: a COPY for each, from a table of a database in memory, synced.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "duck/duck.h"
#include "serve/delta_log.h"
#include "serve/delta_schema.h"
#include "support/measure.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr int32_t kPartitions = 4;
const std::string kTopic = "telemetry";

class Comparison {
 public:
  explicit Comparison(const Options& options)
      : directory_(options.directory + "/delta"),
        log_(open_log(directory_ + "/log", log::Durability::kNone)),
        database_(must(duck::Database::open(":memory:", {{"threads", "2"}}))) {
    sent_ = fill_topic(*log_, kTopic, kPartitions, options.events);
    ours(2);
    // Those rows are what is written beside, file by file.
    serve::DeltaState state = must(log_of().at(-1, -1));
    for (const auto& [path, file] : state.files) {
      serve::DeltaState one = state;
      one.files = {{path, file}};
      const std::string table = fmt::format("rows_{}", tables_++);
      auto connection = must(database_->connect());
      must(connection->execute("CREATE TABLE " + table + " AS " +
                               must(serve::delta_rows_sql(one, table_folder()))));
    }
  }
  ~Comparison() {
    log_.reset();
    std::filesystem::remove_all(directory_);
  }

  // As many connections as there are tasks on the other side.
  Cost baseline(int connections) {
    const std::string folder = directory_ + "/bare";
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    return measure([&] {
      std::vector<std::thread> threads;
      for (int n = 0; n < connections; ++n) {
        threads.emplace_back([this, n, connections, folder] {
          auto connection = must(database_->connect());
          for (int t = n; t < tables_; t += connections) {
            const std::string path = fmt::format("{}/{}.parquet", folder, t);
            must(connection->execute(fmt::format("COPY rows_{} TO '{}' (FORMAT parquet)", t, path)));
            const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
            require(file >= 0 && ::fdatasync(file) == 0, "a file is synced");
            ::close(file);
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    });
  }

  Cost ours(int tasks) {
    std::filesystem::remove_all(directory_ + "/run");
    std::filesystem::create_directories(directory_ + "/run");
    const std::vector<std::string> settings = {"name=bench",
                                               "ingest.log.topic=" + kTopic,
                                               fmt::format("ingest.log.partitions={}", kPartitions),
                                               "process.enrich.fields=enqueuedAt,processedAt",
                                               "serve.delta.partition_by=[]",
                                               "serve.delta.merge=off",
                                               "pipeline.epoch.interval=100ms",  // of the last one
                                               fmt::format("pipeline.tasks={}", tasks)};
    Cost cost;
    {
      Housekeeping housekeeping(*log_);
      SolutionRun run(load("eventhubs-databricks-delta", settings), *log_, directory_ + "/run");
      cost = measure([&] { run.run_to_end(); });
    }
    serve::DeltaState state = must(log_of().at(-1, -1));
    auto connection = must(database_->connect());
    auto rows = must(connection->query("SELECT count(*), count(DISTINCT \"eventId\") FROM (" +
                                       must(serve::delta_rows_sql(state, table_folder())) + ")"));
    require(must(rows->next()) == 1 && rows->integer(0, 0) == static_cast<int64_t>(sent_.all.records) &&
                rows->integer(1, 0) == static_cast<int64_t>(sent_.unique.records),
            "every event is there as often as it was sent");
    return cost;
  }

  double events() const { return static_cast<double>(sent_.all.records); }
  int files() const { return tables_; }

 private:
  std::string table_folder() const { return directory_ + "/run/rawdata"; }
  serve::DeltaLog log_of() const {
    return {std::make_shared<serve::FolderStore>(FileSystem::posix(), Random::system(), table_folder()),
            database_, Clock::system()};
  }

  std::string directory_;
  std::unique_ptr<log::Log> log_;
  std::shared_ptr<duck::Database> database_;
  Sent sent_;
  int tables_ = 0;
};

void run(const Options& options) {
  Comparison comparison(options);
  for (int tasks : {1, 2}) {
    say(fmt::format("delta, tasks: {}", tasks));
    Pair pair = interleave(
        options.rounds, [&] { return comparison.ours(tasks); }, [&] { return comparison.baseline(tasks); });
    Row row;
    row.path = fmt::format("log to Delta with lag, {} task{}", tasks, tasks == 1 ? "" : "s");
    row.unit = "events/s";
    row.ours = rate(pair.ours, comparison.events(), By::kWall);
    row.baseline = rate(pair.baseline, comparison.events(), By::kWall);
    row.ratio = speed_ratio(pair, By::kWall);
    row.checks = {{"ratio", *row.ratio, true, 0.7}};
    if (tasks == 2) row.checks.push_back({"rate", *row.ours, true, 300e3});
    row.note = fmt::format(
        "baseline: DuckDB alone, the same rows from tables in memory to {} Parquet files; elapsed time",
        comparison.files());
    print(row);
  }
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
