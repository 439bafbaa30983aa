// Dedup's state: the memory of many keys, and how soon a restart reads its first event. Each measure in a
// process of its own, which runs the relay over small events.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "event/partitioner.h"
#include "event/record_batch.h"
#include "support/measure.h"
#include "support/memory.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr int32_t kPartitions = 4;
const std::string kTopic = "keys";

struct Shape {
  std::string path;
  uint64_t keys;  // of 25 bytes
  uint64_t ids;   // of each key, UUIDs
  double most_mb;
};

// Every id of every key once, round after round over the keys.
void fill(log::Log& log, const Shape& shape) {
  log::TopicConfig config;
  config.partitions = kPartitions;
  must(log.create_topic(kTopic, config));
  std::vector<RecordBatchBuilder> builders(kPartitions);
  SeededRandom random(1);
  auto append = [&](int32_t partition) {
    RecordBatchBuilder& builder = builders[static_cast<size_t>(partition)];
    if (builder.empty()) return;
    std::string batch = must(builder.finish(false));
    must(log.append({kTopic, Partition(partition)}, batch, false));
    builder.reset({});
  };
  for (uint64_t round = 0; round < shape.ids; ++round) {
    for (uint64_t key = 0; key < shape.keys; ++key) {
      char text[160];
      char name[40];
      std::snprintf(name, sizeof name, "contoso-device-%010llu", static_cast<unsigned long long>(key));
      uint64_t high = random.next();
      int size =
          std::snprintf(text, sizeof text, R"({"eventId":"%08x-%04x-4%03x-8%03x-%012llx","deviceId":"%s"})",
                        static_cast<unsigned>(high >> 32), static_cast<unsigned>(high >> 16 & 0xffff),
                        static_cast<unsigned>(high & 0xfff), static_cast<unsigned>(round & 0xfff),
                        static_cast<unsigned long long>(key), name);
      int32_t partition = partition_for_key(name, kPartitions).value();
      RecordBatchBuilder& builder = builders[static_cast<size_t>(partition)];
      builder.add(0, std::string_view(name, 25), std::string_view(text, static_cast<size_t>(size)));
      if (builder.size_bytes() >= kBatchBytes) append(partition);
    }
  }
  for (int32_t p = 0; p < kPartitions; ++p) append(p);
}

solution::Solution relay() {
  std::vector<std::string> settings = {"ingest.log.topic=" + kTopic, "serve.log.topic=keys-out",
                                       fmt::format("ingest.log.partitions={}", kPartitions)};
  solution::Solution loaded = load("relay", settings);
  // Small events: the two fields that dedup needs.
  std::erase_if(loaded.event.schema.fields,
                [](const Field& field) { return field.name != "eventId" && field.name != "deviceId"; });
  loaded.event.schema.time_field.clear();
  loaded.event.schema.sequence_field.clear();
  return loaded;
}

std::unique_ptr<log::Log> reopen(const std::string& directory) {
  log::Options options;
  options.durability = log::Durability::kNone;
  return must(log::Log::open(FileSystem::posix(), Clock::system(), Random::system(), directory, options));
}

// What the child measured, by a file: it must not share the parent's memory.
double in_child(const std::string& file, const std::function<double()>& work) {
  pid_t child = ::fork();
  require(child >= 0, "cannot fork");
  if (child == 0) {
    std::ofstream(file) << work();
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the measuring process failed");
  double value = 0;
  std::ifstream(file) >> value;
  std::filesystem::remove(file);
  return value;
}

void run_shape(const Options& options, const Shape& shape) {
  const std::string directory = options.directory + "/state";
  const std::string answer = options.directory + "/answer";
  const auto events = static_cast<int64_t>(shape.keys * shape.ids);
  in_child(answer, [&] {
    auto log = open_log(directory, log::Durability::kNone);
    fill(*log, shape);
    must(log->close());
    return 0;
  });
  say(shape.path + ": filled");
  // All of it read and kept; then what the process holds beyond what it held before, with the buffers that
  // its pipeline works with.
  double held_mb = in_child(answer, [&] {
    auto log = reopen(directory);
    double before = dirty_mb();
    SolutionRun run(relay(), *log, directory);
    run.start();
    run.wait_committed(events);
    double after = dirty_mb();
    // The end of a process that is killed: nothing is closed.
    run.abandon();
    return after - before;
  });
  say(fmt::format("{}: {:.0f} MB", shape.path, held_mb));
  // From the opening of what the killed process left to the first event behind it.
  double restart_s = in_child(answer, [&] {
    Meter meter;
    auto log = reopen(directory);
    std::string text =
        R"({"eventId":"00000000-0000-4000-9000-000000000000","deviceId":"contoso-device-0000000000"})";
    std::string_view key = "contoso-device-0000000000";
    RecordBatchBuilder builder;
    builder.add(0, key, text);
    std::string batch = must(builder.finish(false));
    SolutionRun run(relay(), *log, directory);
    must(log->append({kTopic, partition_for_key(key, kPartitions)}, batch, false));
    run.start();
    run.wait_committed(events + 1);
    double seconds = meter.cost().wall_s;
    run.drain();
    must(log->close());
    return seconds;
  });
  auto out = baseline::read_topic(partition_directories(directory, "keys-out", kPartitions), true);
  require(out.records == static_cast<uint64_t>(events) + 1, "every id was relayed once, the new one too");
  std::filesystem::remove_all(directory);
  Row row;
  row.path = shape.path;
  row.unit = "MB";
  row.ours = held_mb;
  row.checks = {{"MB", held_mb, false, shape.most_mb}, {"restart s", restart_s, false, 10}};
  row.note =
      fmt::format("anonymous and dirty mapped memory; restart to the first event stored {:.1f} s", restart_s);
  print(row);
}

void run(const Options& options) {
  std::filesystem::create_directories(options.directory);
  // A quick look has as many keys as it may have events.
  uint64_t most = options.events < Options().events ? options.events : 10'000'000;
  run_shape(options, {fmt::format("dedup state, {} keys with one id", most), most, 1, 1000});
  run_shape(options, {fmt::format("dedup state, {} keys with 100 ids", most / 100), most / 100, 100, 450});
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
