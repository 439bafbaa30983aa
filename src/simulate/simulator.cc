#include "simulate/simulator.h"

#include <algorithm>
#include <thread>

#include "base/logging.h"
#include "base/steps.h"
#include "base/text.h"
#include "event/timestamp.h"

namespace tidemill::simulate {
namespace {

constexpr int64_t kTurnPauseUs = 10'000;
constexpr int64_t kLongestTurnUs = 60'000'000;
constexpr int64_t kToldWaitUs = 1'000'000;

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : "; ") + item;
  return text;
}

}  // namespace

Result<std::unique_ptr<Simulator>> Simulator::open(Config config) {
  TM_TRY(config.options.validate());
  std::unique_ptr<Simulator> simulator(new Simulator(std::move(config)));
  TM_TRY(simulator->prepare());
  return simulator;
}

Status Simulator::prepare() {
  const SimulateOptions& options = config_.options;
  std::vector<int32_t> instances;
  if (options.instance) {
    instances.push_back(*options.instance);
  } else {
    for (int32_t i = 0; i < options.instances; ++i) instances.push_back(i);
  }
  TM_TRY(create_manifest_folder(*config_.files, config_.directory));
  for (int32_t instance : instances) TM_TRY(lock_instance(instance));
  std::vector<std::unique_ptr<Appender>> appenders;
  for (int32_t instance : instances) {
    TM_ASSIGN(auto appender, config_.appenders(options.topic, instance));
    appenders.push_back(std::move(appender));
  }
  TM_ASSIGN(std::unique_ptr<FileLock> turn, take_turn());
  std::vector<Offset> start_offsets;
  TM_TRY(decide_seed_and_start(*appenders.front(), &start_offsets));
  if (const int64_t wait_us = start_us_ - config_.clock->wall_us(); wait_us > kToldWaitUs) {
    log_warning("simulate: the first event is of " + format_timestamp(start_us_, 0) + ", in " +
                format_duration_us(wait_us / kToldWaitUs * kToldWaitUs) + "; nothing is sent before");
  }
  for (size_t n = 0; n < instances.size(); ++n) {
    TM_TRY(add_instance(instances[n], std::move(appenders[n]), start_offsets));
  }
  return {};
}

Status Simulator::lock_instance(int32_t instance) {
  const std::string path =
      join_path(config_.directory, "simulate/instance-" + std::to_string(instance) + ".lock");
  Result<std::unique_ptr<FileLock>> lock = config_.files->lock(path);
  if (lock.ok()) {
    instance_locks_.push_back(std::move(lock).value());
    return {};
  }
  if (lock.error().code != Code::kExists) return std::move(lock).error();
  return user_error("run " + config_.run + ": another process simulates instance " +
                        std::to_string(instance + 1) + " of " + std::to_string(config_.options.instances) +
                        " already; let it end, or stop it, or begin a run of another name",
                    Code::kExists);
}

Result<std::unique_ptr<FileLock>> Simulator::take_turn() {
  for (int64_t waited_us = 0;; waited_us += kTurnPauseUs) {
    auto lock = config_.files->lock(join_path(config_.directory, "simulate/turn.lock"));
    if (lock.ok() || lock.error().code != Code::kExists || waited_us >= kLongestTurnUs) return lock;
    config_.clock->sleep_us(kTurnPauseUs);
  }
}

Result<std::optional<Manifest>> Simulator::existing_manifest(int32_t instance) const {
  Result<Manifest> manifest = read_manifest(*config_.files, manifest_path(config_.directory, instance));
  if (manifest.ok()) return std::optional<Manifest>(std::move(manifest).value());
  if (manifest.error().code == Code::kNotFound) return std::optional<Manifest>();
  return std::move(manifest).error();
}

// All instances of a run share seed, start time and start offsets: those of any manifest there is.
Status Simulator::decide_seed_and_start(Appender& appender, std::vector<Offset>* start_offsets) {
  for (int32_t instance = 0; instance < config_.options.instances; ++instance) {
    TM_ASSIGN(std::optional<Manifest> manifest, existing_manifest(instance));
    if (!manifest) continue;
    seed_ = manifest->plan.seed;
    start_us_ = manifest->plan.start_us;
    *start_offsets = std::move(manifest->start_offsets);
    return {};
  }
  seed_ = config_.options.seed ? *config_.options.seed : config_.random->next();
  start_us_ = config_.options.start_us ? *config_.options.start_us : config_.clock->wall_us();
  for (int32_t p = 0; p < appender.partitions(); ++p) {
    TM_ASSIGN(const Offset end, appender.end_offset(p));
    start_offsets->push_back(end);
  }
  return {};
}

Result<Manifest> Simulator::manifest_for(const Plan& plan, const std::vector<Offset>& start_offsets,
                                         bool* is_new) const {
  TM_ASSIGN(std::optional<Manifest> found, existing_manifest(plan.instance));
  *is_new = !found;
  if (found) {
    Plan asked = plan;
    // What was not asked for comes from the manifest.
    if (config_.options.seed) asked.seed = *config_.options.seed;
    if (config_.options.start_us) asked.start_us = *config_.options.start_us;
    const std::vector<std::string> differences = plan_differences(found->plan, asked);
    if (differences.empty()) return std::move(*found);
    return user_error("run " + config_.run + " was begun with other simulate options (" +
                      manifest_path(config_.directory, plan.instance) + " against the options given): " +
                      joined(differences) + ". Give the same options to resume it, or begin a new run");
  }
  Manifest manifest;
  manifest.plan = plan;
  manifest.start_offsets = start_offsets;
  manifest.partition_records.resize(start_offsets.size());
  manifest.scheduled = scheduled_events(plan);
  return manifest;
}

Status Simulator::add_instance(int32_t instance, std::unique_ptr<Appender> appender,
                               const std::vector<Offset>& start_offsets) {
  if (static_cast<size_t>(appender->partitions()) != start_offsets.size()) {
    return user_error("run " + config_.run + " was begun when topic " + config_.options.topic + " had " +
                      std::to_string(start_offsets.size()) + " partitions; it has " +
                      std::to_string(appender->partitions()) + " now. Begin a new run");
  }
  const Plan plan = make_plan(config_.options, seed_, start_us_, appender->partitions(), instance);
  bool is_new = false;
  TM_ASSIGN(Manifest manifest, manifest_for(plan, start_offsets, &is_new));
  if (manifest.finished) {
    done_.push_back(std::move(manifest));
    return {};
  }
  const std::string name = config_.run + "/simulate/" + std::to_string(instance);
  TM_ASSIGN(Sender::Stored stored, ask_stored(*appender, name, manifest, is_new));
  const std::string path = manifest_path(config_.directory, instance);
  const SimulateOptions& options = config_.options;
  Sender::Config sender{.name = name,
                        .manifest_path = path,
                        .compression = options.compression,
                        .linger_us = options.linger_us,
                        .max_batch_bytes = options.max_batch_bytes,
                        .max_in_flight_bytes = options.max_in_flight_bytes,
                        .on_stop = config_.on_stop,
                        .stop_grace_us = config_.stop_grace_us,
                        .threaded = config_.threaded,
                        .files = config_.files,
                        .clock = config_.clock};
  // Before the first event: whatever happens, what is stored can be told from seed and start time.
  if (is_new) {
    TM_TRY(write_manifest(*config_.files, path, manifest));
    commit_step("run.manifest.written");
  }
  TM_ASSIGN(auto created,
            Sender::create(std::move(sender), std::move(manifest), std::move(stored), std::move(appender)));
  senders_.push_back(std::move(created));
  return {};
}

Result<Sender::Stored> Simulator::ask_stored(Appender& appender, const std::string& name,
                                             const Manifest& manifest, bool is_new) const {
  Sender::Stored stored;
  TM_ASSIGN(stored.producer, appender.init(name));
  for (int32_t p = 0; p < appender.partitions(); ++p) {
    const int64_t counted = manifest.partition_records[static_cast<size_t>(p)];
    TM_ASSIGN(const std::optional<int32_t> last, appender.last_sequence(p));
    auto contradiction = [&](const std::string& text) {
      return internal_error(
          "partition " + std::to_string(p) + " of topic " + manifest.plan.topic + " " + text, Code::kCorrupt);
    };
    if (last && is_new) {
      return contradiction("holds events of run " + config_.run + ", whose manifest " +
                           manifest_path(config_.directory, manifest.plan.instance) +
                           " is missing; put it back, or begin a run with another name");
    }
    if (!last && counted > 0) {
      return contradiction("holds none of the " + std::to_string(counted) + " events that run " +
                           config_.run + " had acknowledged; was the topic deleted? Begin a new run");
    }
    stored.records.push_back(records_behind(last, counted));
  }
  return stored;
}

Status Simulator::run(const std::atomic<bool>& stop) {
  const StopSignal signal(stop, aborted_);
  std::vector<Status> results(senders_.size());
  auto work = [&](size_t n) {
    results[n] = senders_[n]->run(signal);
    if (!results[n].ok()) aborted_.store(true, std::memory_order_relaxed);
  };
  if (!config_.threaded) {
    for (size_t n = 0; n < senders_.size(); ++n) work(n);
  } else {
    std::vector<std::thread> threads;
    for (size_t n = 1; n < senders_.size(); ++n) threads.emplace_back(work, n);
    if (!senders_.empty()) work(0);
    for (std::thread& thread : threads) thread.join();
  }
  for (Status& result : results) TM_TRY(std::move(result));
  return {};
}

SimulateCounters Simulator::counters() const {
  SimulateCounters sum;
  sum.scheduled = 0;
  auto add_scheduled = [&](int64_t events) {
    sum.scheduled = events < 0 || sum.scheduled < 0 ? -1 : sum.scheduled + events;
  };
  for (const Manifest& manifest : done_) {
    add_scheduled(manifest.scheduled);
    sum.events += manifest.events_sent;
    sum.records += manifest.records_sent;
    sum.bytes += manifest.bytes_sent;
    sum.worst_shortfall_us = std::max(sum.worst_shortfall_us, manifest.shortfall_us);
  }
  const int64_t now = config_.clock->wall_us();
  for (const auto& sender : senders_) {
    const LiveCounters& live = sender->live();
    add_scheduled(sender->scheduled());
    sum.events += live.events.load(std::memory_order_relaxed);
    sum.records += live.records.load(std::memory_order_relaxed);
    sum.bytes += live.bytes.load(std::memory_order_relaxed);
    sum.retries += live.retries.load(std::memory_order_relaxed);
    sum.stalled = sum.stalled || live.stalled.load(std::memory_order_relaxed);
    const int64_t due = live.oldest_due_us.load(std::memory_order_relaxed);
    if (due != LiveCounters::kNothingDue) {
      sum.shortfall_us = std::max(sum.shortfall_us, now - due - config_.options.linger_us);
    }
    const int64_t worst = live.worst_shortfall_us.load(std::memory_order_relaxed);
    sum.worst_shortfall_us = std::max({sum.worst_shortfall_us, worst, sum.shortfall_us});
    if (std::string problem = live.last_problem(); !problem.empty()) sum.problem = std::move(problem);
  }
  return sum;
}

bool Simulator::finished() const {
  return std::all_of(senders_.begin(), senders_.end(), [](const auto& sender) { return sender->finished(); });
}

}  // namespace tidemill::simulate
