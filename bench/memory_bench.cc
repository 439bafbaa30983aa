// Whether a pipeline that is far behind uses more memory than one that keeps up: the relay with 5 million
// events of lag, beside the same events as they are appended. Peaks of anonymous and dirty mapped memory.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "support/measure.h"
#include "support/memory.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr int32_t kPartitions = 4;
constexpr int64_t kKeepingUp = 100'000;  // events that the one that keeps up may be behind
const std::string kInput = "relay-in";

// The highest of what is seen, every 2 ms.
class Peak {
 public:
  Peak() {
    thread_ = std::thread([this] {
      while (!ending_) {
        most_ = std::max(most_, dirty_mb());
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  }
  double end() {
    ending_ = true;
    thread_.join();
    return most_;
  }

 private:
  std::atomic<bool> ending_{false};
  double most_ = 0;
  std::thread thread_;
};

double peak_mb(const Options& options, uint64_t events, bool lag) {
  const std::string directory = options.directory + "/memory";
  auto log = open_log(directory, log::Durability::kNone);
  Sent sent;
  if (lag) {
    sent = fill_topic(*log, kInput, kPartitions, events);
  } else {
    log::TopicConfig config;
    config.partitions = kPartitions;
    must(log->create_topic(kInput, config));
  }
  SolutionRun run(load("relay", {"ingest.log.topic=" + kInput, "serve.log.topic=relay-out",
                                 fmt::format("ingest.log.partitions={}", kPartitions)}),
                  *log, directory);
  Housekeeping housekeeping(*log);
  Peak peak;
  run.start();
  if (!lag) {
    sent = fill_topic(*log, kInput, kPartitions, events, [&] {
      while (topic_end(*log, kInput) - run.committed() > kKeepingUp) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
  }
  run.wait_committed(topic_end(*log, kInput));
  double most = peak.end();
  run.drain();
  auto out = baseline::read_topic(partition_directories(directory, "relay-out", kPartitions), true);
  require(out == sent.unique, "each event was relayed once");
  return most;
}

double in_child(const Options& options, uint64_t events, bool lag) {
  const std::string file = options.directory + "/answer";
  pid_t child = ::fork();
  require(child >= 0, "cannot fork");
  if (child == 0) {
    std::ofstream(file) << peak_mb(options, events, lag);
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the measuring process failed");
  double value = 0;
  std::ifstream(file) >> value;
  std::filesystem::remove_all(options.directory);
  std::filesystem::create_directories(options.directory);
  return value;
}

void run(const Options& options) {
  std::filesystem::create_directories(options.directory);
  uint64_t events = options.events < Options().events ? options.events : 5'000'000;
  Row row;
  row.path = fmt::format("memory with {} events of lag, to none", events);
  row.unit = "MB";
  row.ours = in_child(options, events, true);
  row.baseline = in_child(options, events, false);
  row.ratio = *row.ours / *row.baseline;
  row.checks = {{"ratio", *row.ratio, false, 1.1}};
  row.note = fmt::format("baseline: the same events, appended so that the pipeline is at most {} behind",
                         kKeepingUp);
  print(row);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
