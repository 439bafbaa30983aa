// The telemetry solution's pipeline, log to DuckDB, exactly-once, all columns, with lag, beside ready
// data chunks that DuckDB's appender takes in whole row groups. One task and connection, then two; these also
// beside DuckDB's own read_json, which reads the same events from a file.
#include <fmt/format.h>
#include <simdjson.h>

#include <filesystem>
#include <fstream>

#include "baseline/duckdb.h"
#include "duck/duck.h"
#include "support/measure.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr int32_t kPartitions = 4;
constexpr size_t kRowsAtOnce = 4096;
const std::string kTopic = "telemetry";

// The events without repeats, as columns of the baseline's decoder and, one a line, in a file.
void make_rows(uint64_t events, baseline::DuckDbRows* rows, const std::string& json) {
  std::ofstream lines(json);
  baseline::Decoder decoder;
  std::string text;
  std::vector<size_t> ends;
  auto add = [&] {
    text.append(simdjson::SIMDJSON_PADDING, ' ');
    std::vector<baseline::Event> parsed;
    size_t from = 0;
    for (size_t end : ends) {
      parsed.push_back({text.data() + from, static_cast<uint32_t>(end - from)});
      from = end;
    }
    decoder.all(parsed);
    rows->add(decoder.columns());
    text.clear();
    ends.clear();
  };
  generate(events, kPartitions, [&](const simulate::EventGenerator::Text& event, int32_t, uint32_t) {
    text.append(event.value);
    ends.push_back(text.size());
    lines << event.value << '\n';
    if (ends.size() == kRowsAtOnce) add();
  });
  if (!ends.empty()) add();
  lines.close();
  require(lines.good(), "the events are in " + json);
}

// Count and sums over the rows of a database; the times that only one of the two knows left out.
std::string answer(const std::string& path) {
  auto database = must(duck::Database::open(path, {{"threads", "2"}}));
  auto connection = must(database->connect());
  std::string sql = "SELECT count(*)::VARCHAR || ' ' || count(DISTINCT \"eventId\")::VARCHAR";
  for (const char* column : {"\"eventId\"", "\"complexData\"", "\"value\"", "\"deviceId\"",
                             "\"deviceSequenceNumber\"", "\"type\"", "\"createdAt\""}) {
    sql += fmt::format(" || ' ' || sum(hash({})::HUGEINT)::VARCHAR", column);
  }
  sql += " || ' ' || count(\"storedAt\")::VARCHAR FROM rawdata";
  auto rows = must(connection->query(sql));
  require(must(rows->next()) == 1, "one row of sums");
  return std::string(rows->text(0, 0));
}

class Comparison {
 public:
  explicit Comparison(const Options& options)
      : directory_(options.directory + "/duckdb"),
        log_(open_log(directory_ + "/log", log::Durability::kNone)) {
    sent_ = fill_topic(*log_, kTopic, kPartitions, options.events);
    make_rows(options.events, &rows_, json());
    require(rows_.rows() == sent_.unique.records, "a row for each event");
  }
  ~Comparison() {
    log_.reset();
    std::filesystem::remove_all(directory_);
  }

  Cost baseline(int connections) {
    return bare("the bare appends",
                [&](const std::string& store) { return rows_.append(store, connections, 2); });
  }

  Cost read_json() {
    return bare("read_json",
                [&](const std::string& store) { return baseline::insert_from_json(store, json(), 2); });
  }

  Cost ours(int tasks) {
    std::string folder = fresh("ours");
    Cost cost;
    {
      Housekeeping housekeeping(*log_);
      SolutionRun run(
          load("telemetry",
               {fmt::format("name=telemetry{}", ++runs_), "ingest.log.topic=" + kTopic,
                fmt::format("ingest.log.partitions={}", kPartitions),
                "process.enrich.fields=enqueuedAt,processedAt", fmt::format("pipeline.tasks={}", tasks)}),
          *log_, folder);
      cost = measure([&] { run.run_to_end(); });
    }
    require(answer(folder + "/store.duckdb") == answer_, "every event is a row once, with the same values");
    std::filesystem::remove_all(folder);
    return cost;
  }

  double rows() const { return static_cast<double>(sent_.unique.records); }

 private:
  std::string json() const { return directory_ + "/events.json"; }

  Cost bare(const std::string& who, const std::function<baseline::DuckDbCost(const std::string&)>& store) {
    std::string folder = fresh("baseline");
    baseline::DuckDbCost cost = store(folder + "/store.duckdb");
    std::string found = answer(folder + "/store.duckdb");
    if (answer_.empty()) answer_ = found;
    require(found == answer_, who + " stored the same rows every time");
    std::filesystem::remove_all(folder);
    return {cost.wall_s, cost.cpu_s};
  }

  std::string fresh(const std::string& name) const {
    std::string folder = directory_ + "/" + name;
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    return folder;
  }

  std::string directory_;
  std::unique_ptr<log::Log> log_;
  Sent sent_;
  baseline::DuckDbRows rows_;
  std::string answer_;
  int runs_ = 0;
};

void run(const Options& options) {
  Comparison comparison(options);
  auto row = [&](const std::string& path, const Pair& pair, double target, const std::string& baseline) {
    Row made;
    made.path = path;
    made.unit = "rows/s";
    made.ours = rate(pair.ours, comparison.rows(), By::kWall);
    made.baseline = rate(pair.baseline, comparison.rows(), By::kWall);
    made.ratio = speed_ratio(pair, By::kWall);
    made.checks = {{"ratio", *made.ratio, true, target}};
    made.note = fmt::format("{}; elapsed time; by CPU time the ratio is {:.2f}", baseline,
                            speed_ratio(pair, By::kCpu));
    return made;
  };
  for (int tasks : {1, 2}) {
    say(fmt::format("duckdb, {} connection{}:", tasks, tasks == 1 ? "" : "s"));
    Pair pair = interleave(
        options.rounds, [&] { return comparison.ours(tasks); }, [&] { return comparison.baseline(tasks); });
    print(row(fmt::format("log to DuckDB with lag, {}", tasks == 1 ? "one connection" : "two connections"),
              pair, 0.75, "baseline: ready chunks in row groups"));
  }
  say("duckdb, two tasks, beside read_json:");
  Pair pair = interleave(
      options.rounds, [&] { return comparison.ours(2); }, [&] { return comparison.read_json(); });
  print(row("log to DuckDB with lag, two tasks, to read_json", pair, 1.0,
            "baseline: DuckDB's read_json of the same events in a file into the same table, two threads"));
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
