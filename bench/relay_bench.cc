// The relay, log to log with dedup, beside a hand-written loop: durability none, warm page cache.
// One task on one core, then two on two.
#include <fmt/format.h>
#include <sched.h>

#include <filesystem>

#include "baseline/relay.h"
#include "support/measure.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr int32_t kPartitions = 4;
const std::string kInput = "relay-in";

// This thread and those that it starts from here on.
void use_cores(int count) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (int core = 0; core < count; ++core) CPU_SET(core, &cores);
  require(sched_setaffinity(0, sizeof cores, &cores) == 0, "cannot choose cores");
}

class Relay {
 public:
  explicit Relay(const Options& options)
      : settings_(options.settings),
        directory_(options.directory + "/relay"),
        log_(open_log(directory_, log::Durability::kNone)) {
    sent_ = fill_topic(*log_, kInput, kPartitions, options.events);
    require(read(kInput, false) == sent_.all, "the input holds what was sent");
  }
  ~Relay() {
    log_.reset();
    std::filesystem::remove_all(directory_);
  }

  Cost baseline() {
    std::vector<std::string> files;
    for (const std::string& partition : partition_directories(directory_, kInput, kPartitions)) {
      for (std::string& file : baseline::segment_files(partition)) files.push_back(std::move(file));
    }
    const std::string folder = directory_ + "/baseline-0";
    std::filesystem::create_directories(folder);
    baseline::Relayed relayed;
    Cost cost = measure([&] { relayed = baseline::relay(files, folder + "/0.log"); });
    require(baseline::read_topic({folder}, true) == sent_.all, "the hand-written loop relayed every event");
    require(relayed.records == sent_.all.records && relayed.ids != 0, "the hand-written loop parsed");
    std::filesystem::remove_all(folder);
    return cost;
  }

  // Every run is a pipeline of its own, with positions, state and output of its own.
  Cost ours(int tasks) {
    std::string name = fmt::format("relay{}", ++runs_);
    std::string output = name + "-out";
    Cost cost;
    {
      use_cores(tasks);
      Housekeeping housekeeping(*log_);
      std::vector<std::string> settings = settings_;
      for (std::string setting :
           {"name=" + name, "ingest.log.topic=" + kInput, "serve.log.topic=" + output,
            fmt::format("ingest.log.partitions={}", kPartitions), fmt::format("pipeline.tasks={}", tasks)}) {
        settings.push_back(std::move(setting));
      }
      SolutionRun run(load("relay", settings), *log_, directory_);
      cost = measure([&] { run.run_to_end(); });
    }
    use_cores(2);
    require(read(output, true) == sent_.unique, "each event was relayed once");
    for (const log::TopicInfo& topic : log_->topics()) {
      bool ours = topic.name != kInput && topic.name != "__transactions";
      if (ours) must(log_->delete_topic(topic.name));
    }
    must(log_->housekeep());
    return cost;
  }

  double events() const { return static_cast<double>(sent_.all.records); }
  double event_bytes() const { return static_cast<double>(sent_.all.bytes) / events(); }

 private:
  baseline::Content read(const std::string& topic, bool spliced) const {
    return baseline::read_topic(partition_directories(directory_, topic, kPartitions), spliced);
  }

  std::vector<std::string> settings_;
  std::string directory_;
  std::unique_ptr<log::Log> log_;
  Sent sent_;
  int runs_ = 0;
};

void run(const Options& options) {
  Relay relay(options);
  say(fmt::format("relay: {:.0f} events of {:.1f} bytes", relay.events(), relay.event_bytes()));
  Pair pair = interleave(
      options.rounds, [&] { return relay.ours(1); }, [&] { return relay.baseline(); });
  Row one;
  one.path = "relay with dedup, log to log";
  one.unit = "events/s/core";
  one.ours = rate(pair.ours, relay.events(), By::kCpu);
  one.baseline = rate(pair.baseline, relay.events(), By::kCpu);
  one.ratio = speed_ratio(pair, By::kCpu);
  one.checks = {{"events/s/core", *one.ours, true, 1e6}, {"ratio", *one.ratio, true, 0.6}};
  one.note = "baseline: a hand-written loop that parses two fields, splices, checksums and writes";
  print(one);

  say("two tasks on two cores (ours) beside one on one (baseline):");
  Pair both = interleave(
      options.rounds, [&] { return relay.ours(2); }, [&] { return relay.ours(1); });
  Row two;
  two.path = "the same, two tasks on two cores";
  two.unit = "events/s";
  two.ours = rate(both.ours, relay.events(), By::kWall);
  two.baseline = rate(both.baseline, relay.events(), By::kWall);
  two.ratio = speed_ratio(both, By::kWall);
  two.checks = {{"ratio", *two.ratio, true, 1.8}};
  two.note = fmt::format("baseline: one task on one core; CPU time of one / CPU time of two: {:.2f}",
                         speed_ratio(both, By::kCpu));
  print(two);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
