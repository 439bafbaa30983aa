// A solution of the catalogue, run inside the benchmark as its owner would run it: the same wiring,
// settings, metrics and housekeeping, without socket and console.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "observe/metrics.h"
#include "pipeline/pipeline.h"
#include "solution/config.h"
#include "solution/wire.h"

namespace tidemill::bench {

// `settings`: "ingest.log.partitions=1" …, as --set has them.
solution::Solution load(const std::string& name, const std::vector<std::string>& settings);

// Housekeeping of a log, as its owner does it, as long as this object lives.
class Housekeeping {
 public:
  explicit Housekeeping(log::Log& log);
  ~Housekeeping();

 private:
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

// One run of a solution's only stage over a log that it does not own.
class SolutionRun {
 public:
  SolutionRun(solution::Solution solution, log::Log& log, std::string run_directory);
  ~SolutionRun();

  // Until everything that is in the input topic now is committed.
  void run_to_end();
  // The same in steps.
  void start();
  // How many events of the input are committed, over all partitions.
  int64_t committed() const;
  // Waits until so many are; ends the program where the pipeline failed.
  void wait_committed(int64_t events) const;
  void drain();
  // Stops without a last commit, as a kill would.
  void abandon();

 private:
  class Observer;
  solution::Solution solution_;
  log::Log& log_;
  std::string run_directory_;
  std::shared_ptr<duck::Database> database_;
  std::vector<solution::Stage> stages_;
  observe::Metrics metrics_;
  std::unique_ptr<Observer> observer_;
  std::unique_ptr<pipeline::Pipeline> pipeline_;
};

// The end of a topic, over all partitions.
int64_t topic_end(log::Log& log, const std::string& topic);

}  // namespace tidemill::bench
