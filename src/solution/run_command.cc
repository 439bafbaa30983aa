#include "solution/run_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>

#include "base/logging.h"
#include "log/owner.h"
#include "observe/report.h"
#include "simulate/kafka_appender.h"
#include "simulate/simulator.h"
#include "solution/access.h"
#include "solution/interrupt.h"
#include "solution/run_appender.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kProcessingEndsNs = 5'000'000'000;
constexpr int64_t kPauseUs = 10'000;
constexpr int64_t kAskAgainUs = 20'000;
constexpr int64_t kSayTroubleNs = 5'000'000'000;
constexpr int64_t kProgressUs = 1'000'000;
constexpr int64_t kPlainProgressUs = 5'000'000;  // where lines stay

bool has(const std::string& steps, char step) {
  return steps.find(step) != std::string::npos;
}

// A step on a thread of its own that asks the run's owner for something until it is cancelled. When the
// owner is lost it asks the next one.
class AskingThread {
 public:
  AskingThread(RunAccess& access, Request request, std::function<void(std::string_view)> each)
      : thread_([this, &access, request = std::move(request), each = std::move(each)] {
          Line line(access);
          int64_t troubled_ns = -1;  // since when; said after a while, once
          while (!cancelled_) {
            Status asked = line.ask(
                request,
                [&](std::string_view piece) {
                  if (each) each(piece);
                  return !cancelled_.load();
                },
                cancelled_);
            if (asked.ok()) break;
            if (!asked.error().retryable) {
              std::lock_guard lock(mutex_);
              failed_ = asked.error();
              break;
            }
            const int64_t now_ns = Clock::system().steady_ns();
            if (troubled_ns < 0) troubled_ns = now_ns;
            if (now_ns - troubled_ns > kSayTroubleNs) {
              log_warning(asked.error().message + "; trying again");
              troubled_ns = INT64_MAX;
            }
            Clock::system().sleep_us(kAskAgainUs);
          }
          ended_ = true;
        }) {}
  ~AskingThread() { end(); }
  AskingThread(const AskingThread&) = delete;
  AskingThread& operator=(const AskingThread&) = delete;

  void end() {
    cancelled_ = true;
    if (thread_.joinable()) thread_.join();
  }
  bool ended() const { return ended_; }
  std::optional<Error> failed() {
    std::lock_guard lock(mutex_);
    return failed_;
  }

 private:
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> ended_{false};
  std::mutex mutex_;
  std::optional<Error> failed_;
  std::thread thread_;
};

class SimulatorThread {
 public:
  static Result<std::unique_ptr<SimulatorThread>> start(RunAccess& access, const Solution& solution) {
    simulate::Simulator::Config config;
    config.options = solution.simulate.options;
    config.options.topic = input_topic(solution);
    config.options.max_batch_bytes =
        std::min<size_t>(config.options.max_batch_bytes, solution.log.options.max_batch_bytes);
    config.run = access.record().id();
    config.directory = access.directory();
    config.appenders = run_appenders(access);
    if (reads_kafka(solution)) {
      TM_TRY(
          create_kafka_topic(solution.ingest.kafka, input_topic(solution), input_partitions(solution), true));
      config.appenders = simulate::kafka_appenders(solution.ingest.kafka.connection,
                                                   [&access](uint64_t records, uint64_t bytes) {
                                                     if (auto host = access.host())
                                                       host->on_incoming(records, bytes);
                                                   });
    }
    // A run that is stopped goes on with the same command: what was not sent yet still will be.
    config.on_stop = simulate::OnStop::kPause;
    TM_ASSIGN(auto simulator, simulate::Simulator::open(std::move(config)));
    return std::unique_ptr<SimulatorThread>(new SimulatorThread(std::move(simulator)));
  }
  ~SimulatorThread() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }

  void stop() { stop_ = true; }
  bool ended() const { return ended_; }
  // Precondition: ended().
  const Status& result() const { return result_; }
  // Everything was sent; else the run was stopped by somebody. Precondition: ended().
  bool complete() const { return complete_; }
  simulate::SimulateCounters counters() const { return simulator_->counters(); }
  // A process before this one had sent everything.
  bool nothing_to_do() const { return nothing_to_do_; }

 private:
  explicit SimulatorThread(std::unique_ptr<simulate::Simulator> simulator)
      : simulator_(std::move(simulator)), nothing_to_do_(simulator_->finished()) {
    thread_ = std::thread([this] {
      result_ = simulator_->run(stop_);
      complete_ = simulator_->finished();
      ended_ = true;
    });
  }
  std::unique_ptr<simulate::Simulator> simulator_;
  const bool nothing_to_do_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  bool complete_ = false;
  Status result_;
  std::thread thread_;
};

// One call of the command; its threads end in the reverse order of their beginning.
class Session {
 public:
  Session(RunAccess& access, const RunOptions& options, const Print& print)
      : access_(access), options_(options), print_(print), solution_(access.solution()) {}

  Result<RunResult> run();

 private:
  Status begin();
  Status watch();
  Status wait_settled();
  Status failed_step();
  Result<RunResult> end();
  Result<RunResult> verify();
  bool time_over() const;
  void progress(const std::string& line);
  void say(const std::string& text);

  RunAccess& access_;
  const RunOptions& options_;
  const Print& print_;
  const Solution& solution_;
  const int64_t begun_ns_ = Clock::system().steady_ns();
  std::mutex print_mutex_;
  bool progress_shown_ = false;
  std::atomic<bool> processing_started_{false};
  bool stop_asked_ = false;
  std::unique_ptr<AskingThread> processing_;
  std::unique_ptr<SimulatorThread> simulator_;
  std::unique_ptr<AskingThread> ticker_;
  std::unique_ptr<AskingThread> table_;
};

void Session::say(const std::string& text) {
  std::lock_guard lock(print_mutex_);
  if (progress_shown_) print_("\r\x1b[K");
  progress_shown_ = false;
  print_(text);
}

void Session::progress(const std::string& line) {
  if (!options_.terminal) {
    say(line);
    return;
  }
  std::lock_guard lock(print_mutex_);
  print_("\r\x1b[K" + line.substr(0, line.find('\n')));
  progress_shown_ = true;
}

Status Session::failed_step() {
  if (processing_) {
    if (auto failed = processing_->failed()) return *failed;
  }
  if (simulator_ && simulator_->ended() && !simulator_->result().ok()) return simulator_->result();
  return {};
}

Status Session::begin() {
  TM_ASSIGN(std::shared_ptr<Host> host, access_.own());
  // What cannot be opened is said before anything begins.
  if (host) TM_TRY(host->log());
  TM_TRY(access_.serve_metrics());
  if (!options_.json) {
    say(fmt::format("run {} in {}{}\n", access_.record().id(), access_.directory(),
                    host ? "" : ", owned by another process"));
    if (host && !host->metrics_url().empty()) say("metrics at " + host->metrics_url() + "\n");
  }
  if (has(options_.steps, 'P')) {
    processing_ = std::make_unique<AskingThread>(
        access_, Request{"process", {{"leave", options_.leave ? "1" : "0"}}, ""},
        [this](std::string_view said) {
          // "started", and what it has to say.
          said.remove_prefix(std::min(said.size(), said.find('\n') + 1));
          if (!options_.json && !said.empty()) say(std::string(said));
          processing_started_ = true;
        });
    // What cannot start is said before anything is simulated.
    while (!processing_started_ && !processing_->ended() && !interrupted()) Clock::system().sleep_us(1'000);
    TM_TRY(failed_step());
  }
  if (has(options_.steps, 'T') && solution_.simulate.enabled) {
    TM_ASSIGN(simulator_, SimulatorThread::start(access_, solution_));
  }
  if (!has(options_.steps, 'M')) return {};
  const std::string format = options_.json ? "json" : "table";
  Request table{
      "report",
      {{"format", format}, {"bare", "1"}, {"every_us", std::to_string(solution_.observe.report_interval_us)}},
      ""};
  table_ = std::make_unique<AskingThread>(access_, table, [this, first = true](std::string_view row) mutable {
    // The heading waits for its first row: a short run has its only row at the end.
    if (!options_.json && first) say(observe::report_header() + "\n");
    first = false;
    say(std::string(row));
  });
  if (options_.json) return {};
  int64_t every_us = options_.terminal ? kProgressUs : kPlainProgressUs;
  Request ticks{"report", {{"format", "progress"}, {"every_us", std::to_string(every_us)}}, ""};
  ticker_ = std::make_unique<AskingThread>(access_, ticks,
                                           [this](std::string_view line) { progress(std::string(line)); });
  return {};
}

bool Session::time_over() const {
  if (solution_.duration_us < 0) return false;
  return (Clock::system().steady_ns() - begun_ns_) / 1000 >= solution_.duration_us;
}

// Until the simulator has sent everything; without one, until the duration is over or a signal comes.
Status Session::watch() {
  if (!processing_ && !simulator_ && !table_) return {};
  if (options_.until_end && !simulator_) return {};
  bool stalled_said = false;
  while (!interrupted()) {
    TM_TRY(failed_step());
    // Somebody asked the owner to stop, which here or there ends what was asked of it.
    const auto host = access_.host();
    if ((host && host->stop_asked()) || (processing_ && processing_->ended()) ||
        (table_ && table_->ended())) {
      TM_TRY(failed_step());  // which may be why it has ended
      stop_asked_ = true;
      return {};
    }
    if (simulator_) {
      if (simulator_->ended()) {
        TM_TRY(failed_step());
        stop_asked_ = !simulator_->complete();
        return {};
      }
      simulate::SimulateCounters counters = simulator_->counters();
      if (counters.stalled && !stalled_said) say("simulate: " + counters.problem + "; trying again\n");
      stalled_said = counters.stalled;
    } else if (time_over()) {
      return {};
    }
    Clock::system().sleep_us(kPauseUs);
  }
  return {};
}

// What was sent is processed to its end before the step is over.
Status Session::wait_settled() {
  if (!processing_ || interrupted()) return {};
  if (processing_->ended()) return failed_step();
  AskingThread settling(access_, Request{"settle", {}, ""}, nullptr);
  while (!settling.ended() && !interrupted()) {
    TM_TRY(failed_step());
    Clock::system().sleep_us(kPauseUs / 2);
  }
  auto failed = settling.failed();
  if (failed && failed->code != Code::kStopped) return *failed;
  // The run was stopped, or its processing failed, which is then said there.
  const int64_t begun_ns = Clock::system().steady_ns();
  while (failed && !processing_->ended() && !interrupted() &&
         Clock::system().steady_ns() - begun_ns < kProcessingEndsNs)
    Clock::system().sleep_us(kPauseUs / 2);
  return failed_step();
}

Result<RunResult> Session::end() {
  const bool stopped = interrupted() || stop_asked_ || (simulator_ && !simulator_->ended()) ||
                       (processing_ && processing_->ended());
  ticker_.reset();
  table_.reset();
  if (has(options_.steps, 'M')) {
    Line line(access_);
    auto summary = line.ask(Request{"summary", {{"format", options_.json ? "json" : "table"}}, ""});
    if (summary.ok()) say((options_.json ? "" : "\nThe whole run:\n") + *summary);
  }
  if (simulator_) {
    simulator_->stop();
    while (!simulator_->ended()) Clock::system().sleep_us(1'000);
    simulate::SimulateCounters sent = simulator_->counters();
    if (!options_.json) {
      std::string note;
      if (simulator_->nothing_to_do()) {
        note = "; everything was sent before, and --fresh or another --name begins anew";
      } else if (sent.worst_shortfall_us > 1'000'000) {
        note = fmt::format("; at worst {} behind their schedule",
                           observe::human_latency(sent.worst_shortfall_us));
      }
      say(fmt::format("simulated {} events in {} records{}\n",
                      observe::with_thousands(static_cast<uint64_t>(sent.events)),
                      observe::with_thousands(static_cast<uint64_t>(sent.records)), note));
    }
  }
  processing_.reset();  // drains
  if (stopped) {
    if (!options_.json) say("stopped; the same command goes on where it stopped\n");
    return RunResult::kStopped;
  }
  if (has(options_.steps, 'V')) return verify();
  return RunResult::kDone;
}

Result<RunResult> Session::verify() {
  if (!options_.json) say("verifying: every event is accounted for\n");
  Line line(access_);
  bool passed = false, decided = false, none = false;
  // Asked for nothing else, it must be possible.
  Request request{"verify",
                  {{"rules", options_.rules},
                   {"format", options_.json ? "json" : "table"},
                   {"finish", "1"},
                   {"spare", options_.steps == "V" ? "0" : "1"}},
                  ""};
  Status asked = line.ask(
      request,
      [&](std::string_view piece) {
        if (piece.starts_with('\x01')) {
          decided = true;
          passed = piece == "\x01PASS";
          none = piece == "\x01NONE";
        } else {
          say(std::string(piece));
        }
        return true;
      },
      interrupted());
  if (!asked.ok() && asked.error().code != Code::kStopped) return std::move(asked).error();
  if (!decided) {
    if (!options_.json) say("stopped before the verdict; the same command verifies again\n");
    return RunResult::kStopped;
  }
  if (none) return RunResult::kDone;
  return passed ? RunResult::kPassed : RunResult::kFailed;
}

Result<RunResult> Session::run() {
  Status went = begin();
  if (went.ok() && options_.on_started) options_.on_started();
  if (went.ok()) went = watch();
  const bool input_ended = !stop_asked_ && (simulator_ ? simulator_->ended() : options_.until_end);
  if (went.ok() && input_ended) went = wait_settled();
  if (!went.ok()) {
    say("");
    return std::move(went).error();
  }
  return end();
}

}  // namespace

Status check_steps(const std::string& steps) {
  size_t wrong = steps.find_first_not_of("CIDPTMV");
  if (steps.empty() || wrong != std::string::npos) {
    return user_error(
        "--steps: '" + steps +
        "'; letters of C (create the run), I (log and topics), D (served store), P (process), T (simulate), "
        "M (report), V (verify), as in CIDPTMV");
  }
  return {};
}

bool is_live(const RunStore& runs, const RunRecord& record) {
  auto client = SocketClient::connect(runs.directory(record.name, record.number));
  return client.ok();
}

Result<std::unique_ptr<FileLock>> lock_idle_run(const RunStore& runs, const RunRecord& record) {
  auto lock = log::lock_data_directory(FileSystem::posix(), runs.directory(record.name, record.number));
  if (lock.ok() || lock.error().code != Code::kExists) return lock;
  return user_error("run " + record.id() + " is running; stop it first: tidemill stop " + record.id());
}

Result<RunRecord> choose_run(const RunStore& runs, const RunOptions& options) {
  const std::string name = options.name.empty() ? options.loaded.solution.name : options.name;
  TM_TRY(check_run_name(name));
  if (options.fresh) {
    for (const RunRecord& old : runs.list(name)) {
      TM_ASSIGN(auto lock, lock_idle_run(runs, old));
      TM_TRY(runs.remove(old));
    }
  }
  // Without a simulator a run is never over: more may be produced into it.
  const bool simulates = has(options.steps, 'T') && options.loaded.solution.simulate.enabled;
  while (true) {
    std::optional<RunRecord> latest = runs.latest(name);
    if (latest) TM_TRY(check_usable(runs, *latest));
    const bool unfinished = latest && (latest->state != "finished" || is_live(runs, *latest));
    if (options.resume && !unfinished) {
      return user_error(latest ? "run " + latest->id() +
                                     " is finished: nothing to resume; without --resume a new run starts"
                               : "no run of " + name + " in " + runs.root() + ": nothing to resume");
    }
    if (latest && (unfinished || !simulates)) return *latest;
    RunRecord record;
    record.name = name;
    record.solution = options.solution;
    record.size = options.loaded.size;
    record.variant = options.loaded.variant;
    record.target = options.loaded.target;
    record.settings = options.settings;
    record.created_us = Clock::system().wall_us();
    auto created = runs.create(std::move(record), latest ? latest->number : 0);
    if (created.ok() || created.error().code != Code::kExists) return created;
  }
}

Result<RunResult> run_steps(const RunStore& runs, const RunRecord& record, const RunOptions& options,
                            const Print& print) {
  (void)interrupted();
  RunAccess access(runs, record, options.loaded.solution);
  Result<RunResult> result = Session(access, options, print).run();
  access.disown();
  return result;
}

Status run_replay(const RunStore& runs, const RunRecord& record, const RunOptions& options,
                  const std::string& from, const std::string& into, const Print& print) {
  RunAccess access(runs, record, options.loaded.solution);
  Line line(access);
  Status replayed;
  while (true) {
    replayed = line.ask(
        Request{"replay", {{"from", from}, {"into", into}}, ""},
        [&](std::string_view piece) {
          print(std::string(piece));
          return true;
        },
        interrupted());
    // An owner that leaves hands over to the next, who goes on where the new table stands.
    if (replayed.ok() || !replayed.error().retryable || replayed.error().code != Code::kStopped) break;
    Clock::system().sleep_us(kAskAgainUs);
  }
  access.disown();
  return replayed;
}

}  // namespace tidemill::solution
