// How fast the DuckDB sink stores telemetry rows, beside bare appends of the same rows: ready data
// chunks handed to DuckDB's appender and committed, without the time that filling them takes.
//
//   duckdb_sink_bench [rows] [rows per commit] [tasks]
//
// Prints rows per second of wall time and of CPU time (DuckDB's own threads included) and the
// longest commit. On a busy machine only CPU time tells.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/random.h"
#include "duck/api.h"
#include "pipeline/testing/sink_session.h"
#include "serve/duckdb_chunks.h"
#include "serve/duckdb_sink.h"

namespace tidemill::serve {
namespace {

using pipeline::PartitionEpoch;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::exit(1);
  }
  return std::move(result).value();
}
void must(Status status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Wall and CPU time of what is between start() and stop().
struct Stopwatch {
  double wall = 0, cpu = 0, longest = 0, wall_from = 0, cpu_from = 0;
  void start() {
    wall_from = seconds(CLOCK_MONOTONIC);
    cpu_from = seconds(CLOCK_PROCESS_CPUTIME_ID);
  }
  void stop() {
    wall += seconds(CLOCK_MONOTONIC) - wall_from;
    cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_from;
    longest = std::max(longest, seconds(CLOCK_MONOTONIC) - wall_from);
  }
  void report(const char* what, size_t rows) const {
    std::printf("%-28s %9.0f rows/s %9.0f rows/CPU-s   longest %6.0f ms\n", what,
                static_cast<double>(rows) / wall, static_cast<double>(rows) / cpu, longest * 1e3);
  }
};

Schema sink_schema() {
  Schema schema = telemetry_schema();
  schema.fields.push_back({"enqueuedAt", {"enqueuedAt"}, Type::kTimestamp, true});
  schema.fields.push_back({"processedAt", {"processedAt"}, Type::kTimestamp, true});
  return schema;
}

BatchPtr make_batch(const Schema& schema, int64_t first, uint32_t count, Random& random) {
  auto batch = std::make_unique<Batch>();
  batch->source = {"bench", Partition(0)};
  for (const Field& field : schema.fields) {
    Column column(field.name, field.type);
    for (uint32_t i = 0; i < count; ++i) {
      int64_t n = first + i;
      char text[40];
      if (field.type == Type::kDouble) {
        column.append_double(10 + 90 * static_cast<double>(random.next() >> 11) * 0x1p-53);
      } else if (field.name == "type") {
        column.append_text(random.below(2) == 0 ? "TEMP" : "CO2");
      } else if (field.type == Type::kVarchar) {
        bool id = field.name == "eventId";
        int size =
            id ? std::snprintf(text, sizeof text, "%08x-1234-4abc-8def-%012llx",
                               static_cast<unsigned>(random.next()), static_cast<unsigned long long>(n))
               : std::snprintf(text, sizeof text, "contoso-device-id-%06d", static_cast<int>(n % 1000));
        column.append_text(std::string_view(text, static_cast<size_t>(size)));
      } else {
        column.append_int64(field.type == Type::kTimestamp ? 1'700'000'000'000'000 + n * 100 : n / 1000);
      }
    }
    batch->columns.push_back(std::move(column));
  }
  std::vector<Record> records(count);
  batch->set_records(std::move(records), nullptr);
  batch->select_all();
  return batch;
}

constexpr uint32_t kBatchRows = 4096;
const std::string kDirectory = "/tmp/tidemill-duckdb-sink-bench";

std::shared_ptr<duck::Database> open() {
  std::filesystem::remove_all(kDirectory);
  std::filesystem::create_directories(kDirectory);
  DuckDbStoreOptions options;
  options.path = kDirectory + "/store.duckdb";
  return must(open_duckdb_store(options));
}

// Forwards to an appender; its time is the appender's alone.
class TimedAppender final : public duck::Appender {
 public:
  TimedAppender(duck::Appender& appender, Stopwatch& watch) : appender_(appender), watch_(watch) {}
  _duckdb_data_chunk* chunk() override { return appender_.chunk(); }
  size_t vector_size() const override { return appender_.vector_size(); }
  Status append_chunk() override {
    watch_.start();
    Status done = appender_.append_chunk();
    watch_.stop();
    return done;
  }
  Status flush() override {
    watch_.start();
    Status done = appender_.flush();
    watch_.stop();
    return done;
  }

 private:
  duck::Appender& appender_;
  Stopwatch& watch_;
};

void bare(size_t rows, size_t per_commit) {
  Schema schema = sink_schema();
  auto database = open();
  auto connection = must(database->connect());
  TableLayout layout = must(make_table_layout(schema, {"rawdata", Nested::kStruct, "storedAt", {}}));
  must(create_or_check_table(*connection, layout));
  SeededRandom random(1);
  Stopwatch watch;
  for (size_t done = 0; done < rows;) {
    must(connection->execute("BEGIN"));
    auto appender = must(connection->appender("rawdata"));
    TimedAppender timed(*appender, watch);
    std::vector<KeptRows> kept;
    for (size_t end = done + per_commit; done < end;) {
      auto count = static_cast<uint32_t>(std::min<size_t>(kBatchRows, end - done));
      kept.emplace_back(*make_batch(schema, static_cast<int64_t>(done), count, random), schema.fields);
      done += count;
    }
    must(ChunkWriter(layout, timed).append(kept, 0));
    must(timed.flush());
    watch.start();
    must(connection->execute("COMMIT"));
    watch.stop();
  }
  watch.report("bare chunks", rows);
}

void run_task(pipeline::Sink& sink, int task, size_t rows, size_t per_commit, Stopwatch* watch) {
  Schema schema = sink_schema();
  SeededRandom random(static_cast<uint64_t>(task));
  auto writer = must(sink.open_writer(task));
  TopicPartition source{"bench", Partition(task)};
  auto held = must(writer->acquire({&source, 1}));
  PartitionEpoch part;
  part.source = source;
  part.owner = held[0].owner;
  for (size_t done = 0; done < rows;) {
    std::vector<BatchPtr> batches;
    for (size_t end = done + per_commit; done < end;) {
      auto count = static_cast<uint32_t>(std::min<size_t>(kBatchRows, end - done));
      batches.push_back(make_batch(schema, static_cast<int64_t>(done), count, random));
      done += count;
    }
    part.epoch = part.epoch.next();
    part.next.offset = Offset(static_cast<int64_t>(done));
    watch->start();
    auto output = must(writer->begin());
    for (BatchPtr& batch : batches) must(output->write(batch));
    must(writer->commit(*output, {{part}, {}}));
    watch->stop();
    part.expected = part.next;
  }
}

void with_sink(size_t rows, size_t per_commit, int tasks) {
  auto database = open();
  DuckDbSinkOptions options;
  options.pipeline = "bench";
  options.table = {"rawdata", Nested::kStruct, "storedAt", {}};
  DuckDbSink sink(database, Clock::system(), options);
  must(sink.prepare(sink_schema()));
  std::vector<Stopwatch> watches(static_cast<size_t>(tasks));
  std::vector<std::thread> threads;
  for (int task = 0; task < tasks; ++task) {
    threads.emplace_back([&, task] {
      run_task(sink, task, rows / static_cast<size_t>(tasks), per_commit,
               &watches[static_cast<size_t>(task)]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  Stopwatch all = watches[0];
  for (const Stopwatch& watch : watches) {
    all.wall = std::max(all.wall, watch.wall);
    all.longest = std::max(all.longest, watch.longest);
  }
  all.report(tasks == 1 ? "sink, 1 task" : "sink, tasks side by side", rows);
}

}  // namespace
}  // namespace tidemill::serve

int main(int argc, char** argv) {
  size_t rows = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 983'040;
  size_t per_commit = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 122'880;
  int tasks = argc > 3 ? std::atoi(argv[3]) : 1;
  for (int round = 0; round < 3; ++round) {
    tidemill::serve::bare(rows, per_commit);
    tidemill::serve::with_sink(rows, per_commit, tasks);
  }
  std::filesystem::remove_all(tidemill::serve::kDirectory);
  return 0;
}
