#include "support/solution_run.h"

#include <chrono>
#include <utility>

#include "serve/duckdb_sink.h"
#include "solution/catalogue.h"
#include "solution/load.h"
#include "solution/stage_observer.h"
#include "support/measure.h"

namespace tidemill::bench {

// What the program itself does with every commit is part of the cost.
class SolutionRun::Observer final : public pipeline::Listener {
 public:
  explicit Observer(observe::Metrics& metrics) : stage_(&metrics, false, true) {}
  void on_commit(const pipeline::CommitReport& report) override { stage_.on_commit(report); }
  void on_retry(const std::string& what) override { require(false, "a retry: " + what); }
  void on_dead_letter(const std::string& reason) override { require(false, "a dead letter: " + reason); }

 private:
  solution::StageObserver stage_;
};

solution::Solution load(const std::string& name, const std::vector<std::string>& settings) {
  solution::LoadRequest request;
  for (const solution::BuiltinSolution& builtin : solution::builtin_solutions()) {
    if (builtin.name != name) continue;
    request.file = name + ".yaml";
    request.text = builtin.text;
  }
  require(!request.text.empty(), "there is no solution " + name);
  for (const std::string& setting : settings) request.overrides.push_back(must(solution::parse_set(setting)));
  return must(solution::load_solution(request)).solution;
}

Housekeeping::Housekeeping(log::Log& log) {
  thread_ = std::thread([this, &log] {
    while (!ending_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      must(log.housekeep());
    }
  });
}
Housekeeping::~Housekeeping() {
  ending_ = true;
  thread_.join();
}

SolutionRun::SolutionRun(solution::Solution solution, log::Log& log, std::string run_directory)
    : solution_(std::move(solution)),
      log_(log),
      run_directory_(std::move(run_directory)),
      observer_(std::make_unique<Observer>(metrics_)) {}

SolutionRun::~SolutionRun() = default;

void SolutionRun::start() {
  solution::Ground ground;
  ground.log = &log_;
  ground.files = &FileSystem::posix();
  ground.clock = &Clock::system();
  ground.run_directory = run_directory_;
  ground.database = [this](const solution::DuckDbSink&) -> Result<std::shared_ptr<duck::Database>> {
    if (database_ != nullptr) return database_;
    serve::DuckDbStoreOptions options;
    options.path = run_directory_ + "/" + solution_.serve.duckdb.database;
    options.memory_limit_bytes = solution_.serve.duckdb.memory_limit_bytes;
    options.threads = solution_.serve.duckdb.threads;
    TM_ASSIGN(database_, serve::open_duckdb_store(options));
    return database_;
  };
  stages_ = must(solution::wire(solution_, ground));
  require(stages_.size() == 1, "a solution of one stage");
  solution::Stage& stage = stages_.front();
  pipeline::Pipeline::Parts parts;
  parts.plan = &stage.plan;
  parts.source = stage.source.get();
  parts.sink = stage.sink.get();
  parts.changelog = stage.changelog.get();
  parts.clock = &Clock::system();
  parts.random = &Random::system();
  parts.listener = observer_.get();
  pipeline_ = std::make_unique<pipeline::Pipeline>(parts, solution::pipeline_options(solution_, stage));
  must(pipeline_->start());
}

int64_t SolutionRun::committed() const {
  int64_t total = 0;
  for (const pipeline::LaneProgress& lane : pipeline_->progress()) total += lane.committed.offset.value();
  return total;
}

void SolutionRun::wait_committed(int64_t events) const {
  while (committed() < events) {
    if (!pipeline_->running()) must(pipeline_->wait());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void SolutionRun::drain() {
  pipeline_->drain();
  must(pipeline_->wait());
}

void SolutionRun::abandon() {
  pipeline_->stop_now();
  must(pipeline_->wait());
}

void SolutionRun::run_to_end() {
  int64_t end = topic_end(log_, stages_.empty() ? solution_.ingest.log.topic : stages_.front().input_topic);
  start();
  wait_committed(end);
  drain();
}

int64_t topic_end(log::Log& log, const std::string& topic) {
  int32_t partitions = must(log.topic(topic)).config.partitions;
  int64_t end = 0;
  for (int32_t p = 0; p < partitions; ++p) {
    end += must(log.partition({topic, Partition(p)})).log_end.value();
  }
  return end;
}

}  // namespace tidemill::bench
