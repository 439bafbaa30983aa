#include "solution/host.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/logging.h"
#include "event/json_splice.h"
#include "event/timestamp.h"
#include "log/owner.h"
#include "serve/duckdb_sink.h"
#include "solution/log_requests.h"
#include "solution/query.h"
#include "solution/verification.h"

namespace tidemill::solution {
namespace {

constexpr auto kHousekeepingPause = std::chrono::milliseconds(100);
constexpr int64_t kSettlePauseUs = 2'000;
constexpr int64_t kLookUpUs = 20'000;

// This process leaves the run, which is not over for whoever asks: the next owner may answer.
Error leaving() {
  return external_error("the run's owner has left", Code::kStopped, true);
}
Error was_stopped() {
  return Error{Domain::kUser, Code::kStopped, false, "the run was stopped"};
}

}  // namespace

// Turns what pipelines tell into metrics and console lines. The output topic counts as incoming.
class Host::Observer final : public pipeline::Listener {
 public:
  Observer(observe::Metrics* metrics, bool sink_is_topic)
      : metrics_(metrics), sink_is_topic_(sink_is_topic) {}
  void on_commit(const pipeline::CommitReport& report) override {
    metrics_->on_commit(report.events_in, report.bytes_in, report.rows, report.dead, report.dropped,
                        report.created_us, report.enqueued_us, report.committed_us);
    if (sink_is_topic_) metrics_->on_incoming(report.rows, report.bytes_out);
  }
  void on_retry(const std::string& what) override {
    metrics_->on_retry();
    log_warning(what);
  }
  void on_restore(const TopicPartition& source, uint64_t bytes) override {
    // A line for every 64 MB of changelog read: long restores show that they move.
    if ((bytes >> 26) != (last_bytes_.exchange(bytes) >> 26)) {
      log_info("restoring the state of " + source.to_string() + ": " + std::to_string(bytes >> 20) +
               " MB of changelog read");
    }
  }
  void on_dead_letter(const std::string& reason) override {
    if (warned_.fetch_add(1) < 3) log_warning("dead letter: " + reason);
  }

 private:
  observe::Metrics* metrics_;
  bool sink_is_topic_;
  std::atomic<uint64_t> last_bytes_{0};
  std::atomic<int> warned_{0};
};

struct Host::Running {
  std::vector<Stage> stages;
  std::vector<std::unique_ptr<pipeline::Pipeline>> pipelines;

  void drain() {
    // In order: a later stage still takes in what an earlier one's last epoch writes.
    for (auto& pipeline : pipelines) {
      pipeline->drain();
      (void)pipeline->wait().ok();
    }
  }
};

Host::Host(const RunStore& runs, RunRecord record, Solution solution)
    : runs_(runs), record_(std::move(record)), solution_(std::move(solution)) {}

Result<std::unique_ptr<Host>> Host::open(const RunStore& runs, RunRecord record, Solution solution) {
  auto host = std::unique_ptr<Host>(new Host(runs, std::move(record), std::move(solution)));
  TM_TRY(host->start());
  return host;
}

Status Host::start() {
  FileSystem& files = FileSystem::posix();
  directory_ = runs_.directory(record_.name, record_.number);
  TM_TRY(files.create_directories(directory_));
  TM_ASSIGN(lock_, log::lock_data_directory(files, directory_));
  std::string log_directory = join_path(directory_, "log");
  TM_TRY(files.create_directories(log_directory));
  TM_ASSIGN(log_,
            log::Log::open(files, Clock::system(), Random::system(), log_directory, solution_.log.options));
  TM_TRY(create_topics(solution_, *log_));
  started_us_ = Clock::system().wall_us();
  observer_ = std::make_unique<Observer>(&metrics_, solution_.serve.kind == SinkKind::kLog);
  housekeeper_ = std::thread([this] { housekeeping(); });
  TM_ASSIGN(server_, SocketServer::start(directory_,
                                         [this](Request& request, const Reply& reply,
                                                const std::atomic<bool>& gone) -> Status {
                                           // Who stops a run stops its other processes too, instead of making
                                           // one of them the next owner.
                                           if (stop_asked_ && request.verb != "status") return was_stopped();
                                           if (closing_) return leaving();
                                           return answer(request, reply, gone);
                                         }));
  return {};
}

Host::~Host() {
  closing_ = true;
  server_.reset();  // no more requests
  if (running_) running_->drain();
  running_.reset();
  housekeeping_wake_.notify_all();
  if (housekeeper_.joinable()) housekeeper_.join();
  database_.reset();
  if (log_) {
    if (Status closed = log_->close(); !closed.ok()) log_error(closed.error().message);
  }
}

void Host::housekeeping() {
  std::unique_lock lock(housekeeping_mutex_);
  bool said = false;
  while (!closing_) {
    housekeeping_wake_.wait_for(lock, kHousekeepingPause);
    Status kept = log_->housekeep();
    if (!kept.ok() && !said) log_error(kept.error().message);
    said = !kept.ok();
  }
}

RunRecord Host::record() const {
  std::lock_guard lock(record_mutex_);
  return record_;
}

Status Host::save_record(const std::function<void(RunRecord&)>& change) {
  std::lock_guard lock(record_mutex_);
  change(record_);
  return runs_.save(record_);
}

Result<std::shared_ptr<duck::Database>> Host::database() {
  std::lock_guard lock(database_mutex_);
  if (database_) return database_;
  const DuckDbSink& sink = solution_.serve.duckdb;
  std::string path = sink.database.starts_with("/") ? sink.database : join_path(directory_, sink.database);
  serve::DuckDbStoreOptions options;
  options.path = std::move(path);
  options.memory_limit_bytes = sink.memory_limit_bytes;
  options.threads = sink.threads;
  TM_ASSIGN(database_, serve::open_duckdb_store(options));
  return database_;
}

Ground Host::ground() {
  Ground ground;
  ground.log = log_.get();
  ground.files = &FileSystem::posix();
  ground.clock = &Clock::system();
  ground.run_directory = directory_;
  ground.database = [this] { return database(); };
  return ground;
}

Result<std::unique_ptr<Host::Running>> Host::start_stages(const Replay& replay) {
  auto running = std::make_unique<Running>();
  TM_ASSIGN(running->stages, wire(solution_, ground(), replay));
  for (Stage& stage : running->stages) {
    pipeline::Pipeline::Parts parts;
    parts.plan = &stage.plan;
    parts.source = stage.source.get();
    parts.sink = stage.sink.get();
    parts.changelog = stage.changelog.get();
    parts.clock = &Clock::system();
    parts.random = &Random::system();
    parts.listener = observer_.get();
    auto pipeline = std::make_unique<pipeline::Pipeline>(parts, pipeline_options(solution_, stage));
    TM_TRY(pipeline->start());
    running->pipelines.push_back(std::move(pipeline));
  }
  return running;
}

Status Host::enter_processing() {
  std::lock_guard lock(processing_mutex_);
  if (closing_) return leaving();
  if (!running_) {
    processing_error_ = {};
    TM_ASSIGN(running_, start_stages({}));
  }
  ++processing_users_;
  return {};
}

Status Host::leave_processing() {
  std::unique_ptr<Running> ending;
  {
    std::lock_guard lock(processing_mutex_);
    TM_CHECK(processing_users_ > 0);
    if (--processing_users_ > 0) return {};
    ending = std::move(running_);
  }
  Status failed;
  if (ending) {
    ending->drain();
    for (auto& pipeline : ending->pipelines) {
      if (Status ended = pipeline->wait(); !ended.ok()) failed = ended;
    }
  }
  std::lock_guard lock(processing_mutex_);
  if (!failed.ok()) processing_error_ = failed;
  return processing_error_;
}

bool Host::processing() const {
  std::lock_guard lock(processing_mutex_);
  return running_ != nullptr;
}

Status Host::processing_failed() const {
  std::lock_guard lock(processing_mutex_);
  if (running_) {
    for (auto& pipeline : running_->pipelines) {
      if (pipeline->running()) continue;
      if (Status ended = pipeline->wait(); !ended.ok()) return ended;
    }
  }
  return processing_error_;
}

Status Host::wait_settled(const std::function<bool()>& cancelled) {
  auto go_on = [&]() -> Status {
    if (stop_asked_) return was_stopped();
    if (closing_) return leaving();
    if (cancelled()) return Error{Domain::kUser, Code::kStopped, false, "no longer waited for"};
    return processing_failed();
  };
  // Who waits has asked for processing before; where the owner changed since, it is about to begin.
  size_t stages = 0;
  while (stages == 0) {
    TM_TRY(go_on());
    {
      std::lock_guard lock(processing_mutex_);
      if (running_) stages = running_->stages.size();
    }
    if (stages == 0) Clock::system().sleep_us(kSettlePauseUs);
  }
  for (size_t i = 0; i < stages; ++i) {
    // What the stage's input holds now: the stage before it has settled, so that nothing is missing.
    std::vector<std::pair<TopicPartition, Offset>> targets;
    bool settled = false;
    while (!settled) {
      TM_TRY(go_on());
      {
        std::lock_guard lock(processing_mutex_);
        if (!running_) return closing_ ? leaving() : was_stopped();
        if (targets.empty()) {
          TM_ASSIGN(log::TopicInfo topic, log_->topic(running_->stages[i].input_topic));
          for (int32_t p = 0; p < topic.config.partitions; ++p) {
            TM_ASSIGN(log::PartitionInfo info, log_->partition({topic.name, Partition(p)}));
            targets.emplace_back(info.id, info.last_stable);
          }
        }
        auto progress = running_->pipelines[i]->progress();
        settled = std::all_of(targets.begin(), targets.end(), [&](const auto& target) {
          return std::any_of(progress.begin(), progress.end(), [&](const pipeline::LaneProgress& lane) {
            return lane.source == target.first && lane.read.offset >= target.second;
          });
        });
        settled = settled && running_->pipelines[i]->settled();
      }
      if (!settled) Clock::system().sleep_us(kSettlePauseUs);
    }
  }
  return {};
}

std::vector<pipeline::LaneProgress> Host::progress() const {
  std::lock_guard lock(processing_mutex_);
  std::vector<pipeline::LaneProgress> all;
  if (!running_) return all;
  for (auto& pipeline : running_->pipelines) {
    auto some = pipeline->progress();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

int64_t Host::lag() const {
  int64_t lag = -1;
  for (const pipeline::LaneProgress& lane : progress()) {
    auto info = log_->partition(lane.source);
    if (info.ok()) lag = std::max<int64_t>(lag, 0) + info->last_stable.since(lane.committed.offset);
  }
  return lag;
}

Status Host::answer(Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  if (request.verb.starts_with("log.")) {
    return answer_log_request(*log_, request, reply, gone,
                              [this](uint64_t records, uint64_t bytes) { on_incoming(records, bytes); });
  }
  if (request.verb == "query") return answer_query(*this, request, reply, gone);
  if (request.verb == "verify") return answer_verify(*this, request, reply, gone);
  if (request.verb == "report") return report(request, reply, gone);
  if (request.verb == "status") return status(request, reply);
  if (request.verb == "summary") return summary(request, reply);
  if (request.verb == "settle") return settle(reply, gone);
  if (request.verb == "process") return process(request, reply, gone);
  if (request.verb == "replay") return replay(request, reply, gone);
  if (request.verb == "stop") {
    ask_stop();
    return {};
  }
  return user_error("no such request: " + request.verb + "; is the run's owner an older program?",
                    Code::kNotFound);
}

Status Host::process(const Request&, const Reply& reply, const std::atomic<bool>& gone) {
  TM_TRY(enter_processing());
  reply("started\n");
  Status failed;
  while (!gone && !stop_asked_ && !closing_ && failed.ok()) {
    Clock::system().sleep_us(kLookUpUs);
    failed = processing_failed();
    if (!reply("")) break;
  }
  Status left = leave_processing();
  if (!failed.ok()) return failed;
  return left.ok() && closing_ && !stop_asked_ ? Status(leaving()) : left;
}

Status Host::replay(const Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  Replay replay;
  replay.into = request.get("into");
  std::string from = request.get("from", "earliest");
  if (from == "latest") return user_error("--from latest would replay nothing: use earliest or a time");
  if (from != "earliest") {
    auto time = parse_timestamp_us(from);
    if (!time)
      return user_error("--from: '" + from + "' is neither earliest nor a time like 2026-01-31T12:00:00Z");
    replay.from.kind = StartAt::kTime;
    replay.from.time_us = *time;
  }
  TM_ASSIGN(auto running, start_stages(replay));
  uint64_t last_stored = 0;
  while (!gone && !stop_asked_ && !closing_) {
    bool settled = true;
    uint64_t read = 0, stored = 0;
    int64_t lag = 0;
    for (auto& pipeline : running->pipelines) {
      if (!pipeline->running()) TM_TRY(pipeline->wait());
      settled = settled && pipeline->settled();
      for (const auto& lane : pipeline->progress()) {
        read += lane.counters.read;
        stored += lane.counters.stored;
        auto info = log_->partition(lane.source);
        if (info.ok()) lag += info->last_stable.since(lane.committed.offset);
      }
    }
    if (settled && lag <= 0) {
      reply(fmt::format("replayed {} events into {}: {} rows\n", observe::with_thousands(read), replay.into,
                        observe::with_thousands(stored)));
      break;
    }
    if (stored != last_stored &&
        !reply(fmt::format("{} rows, {} events to go\n", observe::with_thousands(stored),
                           observe::with_thousands(static_cast<uint64_t>(std::max<int64_t>(lag, 0))))))
      break;
    last_stored = stored;
    Clock::system().sleep_us(500'000);
  }
  running->drain();
  for (auto& pipeline : running->pipelines) TM_TRY(pipeline->wait());
  return {};
}

Status Host::settle(const Reply& reply, const std::atomic<bool>& gone) {
  std::atomic<bool> cancelled{false};
  return wait_settled([&] {
    if (gone || !reply("")) cancelled = true;
    return cancelled.load();
  });
}

Status Host::summary(const Request& request, const Reply& reply) {
  observe::ReportRow row;
  row.time_us = Clock::system().wall_us();
  row.period_us = row.time_us - started_us_;
  row.traffic = metrics_.traffic();
  row.latency = metrics_.latency();
  row.lag = lag();
  if (request.get("format") == "json") {
    reply(observe::report_json(row) + "\n");
    return {};
  }
  reply(observe::report_header() + "\n" + observe::report_line(row) + "\n");
  if (solution_.serve.kind == SinkKind::kLog) reply(observe::shared_log_note() + "\n");
  return {};
}

Status Host::report(const Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  // Formats: table, json, and progress, a line for the console.
  const std::string format = request.get("format", "table");
  int64_t every_us = request.number("every_us", 60'000'000);
  int64_t rows = request.number("rows", -1);
  Clock& clock = Clock::system();
  int64_t due_us = clock.wall_us();
  observe::Reporter reporter(metrics_, due_us);
  const int64_t begun_us = due_us;
  if (format == "table" && !reply(observe::report_header() + "\n")) return {};
  while (!gone && !stop_asked_ && !closing_ && rows != 0) {
    due_us += every_us;
    while (clock.wall_us() < due_us && !gone && !stop_asked_ && !closing_) {
      clock.sleep_us(kLookUpUs);
      if (!reply("")) return {};
    }
    if (gone || stop_asked_ || closing_) break;
    observe::ReportRow row = reporter.row(clock.wall_us(), lag());
    std::string line = format == "json"       ? observe::report_json(row)
                       : format == "progress" ? observe::progress_line(row.time_us - begun_us, row)
                                              : observe::report_line(row);
    if (!reply(line + "\n")) return {};
    if (rows > 0) --rows;
  }
  if (rows != 0 && closing_ && !stop_asked_) return leaving();
  return {};
}

Status Host::status(const Request&, const Reply& reply) {
  RunRecord record = this->record();
  observe::Traffic traffic = metrics_.traffic();
  std::string name;
  append_json_string(record.id(), &name);
  reply(
      fmt::format("{{\"run\":{},\"pid\":{},\"state\":\"{}\",\"processing\":{},\"stored\":{},\"dead_letters\":"
                  "{},\"lag\":{}}}\n",
                  name, ::getpid(), record.state, processing() ? "true" : "false", traffic.stored_rows,
                  traffic.dead_letters, lag()));
  return {};
}

}  // namespace tidemill::solution
