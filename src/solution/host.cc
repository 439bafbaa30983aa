#include "solution/host.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "base/logging.h"
#include "event/timestamp.h"
#include "kafka/topic_pattern.h"
#include "log/owner.h"
#include "serve/duckdb_sink.h"
#include "solution/between.h"
#include "solution/host_impl.h"
#include "solution/run_metrics.h"

namespace tidemill::solution {
namespace {

constexpr auto kHousekeepingPause = std::chrono::milliseconds(100);
constexpr int kSyncThreads = 7;
constexpr int64_t kSettlePauseUs = 2'000;
constexpr int64_t kAskOthersNs = 300'000'000;
constexpr int64_t kFirstReopenPauseNs = 1'000'000'000;
constexpr int64_t kLongestReopenPauseNs = 8'000'000'000;

}  // namespace

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
  // Copies of files in Azure storage, which a crash has left.
  if (const std::string copies = join_path(directory_, "delta.tmp"); files.exists(copies))
    TM_TRY(files.remove_tree(copies));
  TM_TRY(note_made());
  started_us_ = Clock::system().wall_us();
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
  {
    std::lock_guard lock(prometheus_mutex_);
    prometheus_.reset();
  }
  if (running_) running_->drain();
  running_.reset();
  housekeeping_wake_.notify_all();
  if (housekeeper_.joinable()) housekeeper_.join();
  databases_.clear();
  if (log_) {
    log_lease_->end();
    if (Status closed = log_->close(); !closed.ok()) log_error(closed.error().message);
  }
}

Result<log::Log*> Host::log() {
  if (log::Log* opened = opened_log_) return opened;
  std::lock_guard lock(log_mutex_);
  if (log::Log* opened = opened_log_) return opened;
  FileSystem& files = FileSystem::posix();
  std::string log_directory = join_path(directory_, "log");
  log::Options options = solution_.log.options;
  options.sync_threads = kSyncThreads;
  TM_ASSIGN(auto opened, log::Log::open(files, Clock::system(), Random::system(), log_directory, options));
  if (Status created = create_topics(solution_, *opened); !created.ok()) {
    Error error = std::move(created).error();
    if (error.code != Code::kExists) return error;
    // kExists is for the lock.
    return user_error(
        "run " + record_.id() + ": " + error.message +
        "; it was begun with other settings: give those, or begin anew with --fresh or another --name");
  }
  log_ = std::move(opened);
  log_lease_ = std::make_shared<LogLease>(*log_);
  opened_log_ = log_.get();
  hold_inputs(true);
  housekeeper_ = std::thread([this] { housekeeping(); });
  return log_.get();
}

Result<std::shared_ptr<LogLease>> Host::lease_log() {
  TM_TRY(log());
  return log_lease_;
}

std::vector<log::PartitionInfo> Host::log_partitions() const {
  std::vector<log::PartitionInfo> all;
  const log::Log* log = opened_log_;
  if (log == nullptr) return all;
  for (const log::TopicInfo& topic : log->topics()) {
    for (int32_t p = 0; p < topic.config.partitions; ++p) {
      auto info = log->partition({topic.name, Partition(p)});
      if (info.ok()) all.push_back(std::move(*info));
    }
  }
  return all;
}

Status Host::serve_metrics() {
  if (solution_.observe.prometheus_port < 0) return {};
  std::lock_guard lock(prometheus_mutex_);
  if (prometheus_) return {};
  TM_TRY(watch_stalls());
  TM_ASSIGN(prometheus_, observe::PrometheusServer::start(solution_.observe.prometheus_address,
                                                          solution_.observe.prometheus_port,
                                                          [this] { return run_metrics(*this); }));
  if (processing_begun_) prometheus_->set_ready();
  return {};
}

Status Host::watch_stalls() {
  std::vector<std::pair<kafka::Connection, std::string>> topics;
  if (reads_kafka(solution_) && !kafka::is_pattern(input_topic(solution_)))
    topics.emplace_back(solution_.ingest.kafka.connection, input_topic(solution_));
  for (const BetweenTopic& topic : between_topics(solution_)) {
    if (topic.in_kafka) topics.emplace_back(solution_.ingest.kafka.connection, topic.name);
  }
  if (solution_.serve.kind == SinkKind::kKafka) {
    topics.emplace_back(solution_.serve.kafka.connection, solution_.serve.kafka.topic);
  }
  for (const auto& [connection, topic] : topics) {
    TM_ASSIGN(auto watch, kafka::StallWatch::open(connection, {topic}));
    watch->start();
    stall_watches_.push_back(std::move(watch));
  }
  return {};
}

std::vector<kafka::Stall> Host::stalls() const {
  std::vector<kafka::Stall> all;
  // They are there before whoever asks, and end after it.
  for (const auto& watch : stall_watches_) {
    auto some = watch->stalls();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::string Host::metrics_url() const {
  std::lock_guard lock(prometheus_mutex_);
  return prometheus_ ? prometheus_->url() : std::string();
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

void Host::ask_stop() {
  // Noted first: once this process has gone, nobody who was here takes its place.
  if (Status noted = runs_.note_stop(record()); !noted.ok()) log_warning(noted.error().message);
  stop_asked_ = true;
}

// Where a place is kept, --leave or not.
std::string Host::leave_note() const {
  const KafkaSource& source = solution_.ingest.kafka;
  const bool kept = solution_.ingest.kind == SourceKind::kKafka && !source.member.empty() &&
                    source.protocol == kafka::Membership::Protocol::kConsumer;
  if (!kept) return {};
  return "the place of ingest.kafka.member " + source.member +
         " is kept all the same: with protocol: consumer the group gives it up only at the end of the "
         "session "
         "that the brokers set";
}

void Host::leave_for_good() {
  leaves_ = true;
  if (std::string note = leave_note(); !note.empty()) log_warning("--leave: " + note);
  std::lock_guard lock(processing_mutex_);
  if (!running_) return;
  for (Stage& stage : running_->stages) stage.source->leave_for_good();
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

Status Host::note_made(const std::string& replay_into) {
  std::vector<std::string> paths;
  for (const Solution* one : with_branches(solution_)) {
    if (one->serve.kind == SinkKind::kDuckDb) {
      for (const char* suffix : {"", ".wal", ".tmp"}) paths.push_back(one->serve.duckdb.database + suffix);
    } else if (one->serve.kind == SinkKind::kFiles) {
      paths.insert(paths.end(), {one->serve.files.directory, one->dead_letters.name});
    } else if (one->serve.kind == SinkKind::kDelta && is_in_azure(one->serve.delta)) {
      continue;
    } else if (one->serve.kind == SinkKind::kDelta) {
      paths.insert(paths.end(), {one->serve.delta.table, one->dead_letters.name});
    } else if (one->serve.kind == SinkKind::kParquet) {
      paths.insert(paths.end(), {one->serve.parquet.directory, one->dead_letters.name});
    }
  }
  const SinkKind kind = solution_.serve.kind;
  const bool delta = kind == SinkKind::kDelta && !is_in_azure(solution_.serve.delta);
  if (!replay_into.empty() && kind == SinkKind::kFiles) paths.push_back(replay_into);
  if (!replay_into.empty() && (kind == SinkKind::kParquet || delta))
    paths.insert(paths.end(), {replay_into, replay_into + "_dead_letters"});
  RunRecord record = this->record();
  for (const std::string& path : paths) {
    const std::string entry =
        path.substr(0, path.find('/'));  // empty: an absolute path is not in the directory
    if (entry.empty() || entry == "." || entry == ".." ||
        std::count(record.made.begin(), record.made.end(), entry))
      continue;
    record.made.push_back(entry);
  }
  if (!replay_into.empty() && !std::count(record.replays.begin(), record.replays.end(), replay_into))
    record.replays.push_back(replay_into);
  const RunRecord now = this->record();
  if (record.made == now.made && record.replays == now.replays) return {};
  return save_record([&](RunRecord& kept) {
    kept.made = record.made;
    kept.replays = record.replays;
  });
}

Result<std::shared_ptr<duck::Database>> Host::database(const DuckDbSink& sink) {
  std::lock_guard lock(database_mutex_);
  std::string path = sink.database.starts_with("/") ? sink.database : join_path(directory_, sink.database);
  path = std::filesystem::path(path).lexically_normal().string();  // one file, one database
  auto& database = databases_[path];
  if (database) return database;
  serve::DuckDbStoreOptions options;
  options.path = std::move(path);
  options.memory_limit_bytes = sink.memory_limit_bytes;
  options.threads = sink.threads;
  options.spill_bytes = solution_.query.spill_bytes;
  TM_ASSIGN(database, serve::open_duckdb_store(options));
  return database;
}

Status Host::check_databases() {
  std::lock_guard lock(database_mutex_);
  for (const auto& [path, database] : databases_) {
    if (database) TM_TRY(database->check());
  }
  return {};
}

Result<Ground> Host::ground() {
  Ground ground;
  TM_ASSIGN(ground.log, log());
  ground.files = &FileSystem::posix();
  ground.clock = &Clock::system();
  ground.run_directory = directory_;
  ground.of_run = true;
  const RunRecord run = record();
  ground.log_id = "of run " + run.id() + " begun " + format_timestamp(run.created_us, 3);
  ground.database = [this](const DuckDbSink& sink) { return database(sink); };
  if (shares_input(solution_)) ground.latest_us = run.created_us;
  return ground;
}

// Retention keeps what a pipeline has yet to commit. While none runs, nobody says what that is: everything.
void Host::hold_inputs(bool hold) {
  log::Log* log = opened_log_;
  if (log == nullptr) return;
  std::vector<std::pair<TopicPartition, Offset>> all;
  for (const std::string& name : input_topics(solution_)) {
    auto topic = log->topic(name);
    for (int32_t p = 0; hold && topic.ok() && p < topic->config.partitions; ++p) {
      all.emplace_back(TopicPartition{name, Partition(p)}, Offset(0));
    }
  }
  log->hold_retention("no pipeline", all);
}

Result<std::unique_ptr<Host::Running>> Host::start_stages(const Replay& replay, observe::Metrics* metrics) {
  auto running = std::make_unique<Running>();
  TM_ASSIGN(Ground ground, this->ground());
  ground.runs = true;
  TM_ASSIGN(running->stages,
            replay.into.empty() ? wire_all(solution_, ground) : wire(solution_, ground, replay));
  for (size_t i = 0; i < running->stages.size(); ++i) {
    Stage& stage = running->stages[i];
    if (leaves_) stage.source->leave_for_good();
    // What a branch serves is none of the run's own latency and rows.
    const bool ends = i + 1 == running->stages.size() || running->stages[i + 1].solution != stage.solution;
    const bool last = ends && stage.solution == &solution_;
    running->observers.push_back(std::make_unique<StageObserver>(metrics, !stage.output_topic.empty(), last));
    pipeline::Pipeline::Parts parts;
    parts.plan = &stage.plan;
    parts.source = stage.source.get();
    parts.sink = stage.sink.get();
    parts.changelog = stage.changelog.get();
    parts.clock = &Clock::system();
    parts.random = &Random::system();
    parts.listener = running->observers.back().get();
    auto pipeline = std::make_unique<pipeline::Pipeline>(parts, pipeline_options(*stage.solution, stage));
    TM_TRY(pipeline->start());
    running->pipelines.push_back(std::move(pipeline));
  }
  return running;
}

std::unique_ptr<Host::Running> Host::exchange_running(std::unique_ptr<Running> now) {
  std::lock_guard lock(running_mutex_);
  return std::exchange(running_, std::move(now));
}

Status Host::enter_processing() {
  std::unique_lock lock(processing_mutex_);
  // Whoever begins while the last ones still drain would fence them.
  processing_ended_.wait(lock, [this] { return !processing_ending_; });
  if (closing_) return leaving();
  if (!running_ && !store_down_) {
    processing_error_ = {};
    auto started = start_stages({}, &metrics_);
    if (!started.ok()) {
      // It has been waited for. Whoever asks would ask again, for ever.
      Error error = std::move(started).error();
      error.retryable = false;
      return error;
    }
    exchange_running(std::move(*started));
    hold_inputs(false);
  }
  ++processing_users_;
  std::lock_guard served(prometheus_mutex_);
  processing_begun_ = true;
  if (prometheus_) prometheus_->set_ready();
  return {};
}

Status Host::leave_processing() {
  std::unique_ptr<Running> ending;
  {
    std::lock_guard lock(processing_mutex_);
    TM_CHECK(processing_users_ > 0);
    if (--processing_users_ > 0) return {};
    hold_inputs(true);
    ending = exchange_running(nullptr);
    store_down_ = false;
    processing_ending_ = true;
  }
  Status failed;
  if (ending) {
    ending->drain();
    for (auto& pipeline : ending->pipelines) {
      if (Status ended = pipeline->wait(); !ended.ok()) failed = ended;
    }
    ending.reset();  // with the sinks' locks, which whoever begins next needs
  }
  std::lock_guard lock(processing_mutex_);
  if (!failed.ok()) processing_error_ = failed;
  processing_ending_ = false;
  processing_ended_.notify_all();
  return processing_error_;
}

bool Host::processing() const {
  std::lock_guard lock(processing_mutex_);
  return running_ != nullptr || store_down_;
}

Status Host::processing_failed() {
  std::lock_guard lock(processing_mutex_);
  if (store_down_) return reopen();
  if (running_) {
    for (auto& pipeline : running_->pipelines) {
      if (pipeline->running()) continue;
      if (Status ended = pipeline->wait(); !ended.ok()) return revive(std::move(ended));
    }
  }
  return processing_error_;
}

Status Host::revive(Status why) {
  if (closing_ || stop_asked_) return why;
  if (check_databases().ok()) return why;
  log_warning("sink: " + why.error().message + "; the store is opened again");
  hold_inputs(true);
  running_->drain();
  exchange_running(nullptr);
  store_down_ = true;
  reopen_pause_ns_ = kFirstReopenPauseNs;
  return reopen();
}

Status Host::reopen() {
  const int64_t now_ns = Clock::system().steady_ns();
  if (now_ns < reopen_ns_) return {};
  {
    std::lock_guard lock(database_mutex_);
    for (auto& [path, database] : databases_) {
      if (database && !database->check().ok()) database.reset();
    }
  }
  auto started = start_stages({}, &metrics_);
  if (!started.ok()) {
    reopen_ns_ = now_ns + reopen_pause_ns_;
    reopen_pause_ns_ = std::min(2 * reopen_pause_ns_, kLongestReopenPauseNs);
    const Error& error = started.error();
    // A query may hold the old one for a moment, and a full disk is waited for.
    if (error.code == Code::kExists) return {};
    if (!error.retryable && error.code != Code::kDiskFull) return std::move(started).error();
    log_warning("sink: " + error.message + "; trying again");
    return {};
  }
  exchange_running(std::move(*started));
  store_down_ = false;
  reopen_ns_ = now_ns + kFirstReopenPauseNs;
  hold_inputs(false);
  return {};
}

bool Host::reached(const std::vector<pipeline::LaneProgress>& progress, const Ends& ends) {
  return std::all_of(ends.begin(), ends.end(), [&](const auto& end) {
    return std::any_of(progress.begin(), progress.end(), [&](const pipeline::LaneProgress& lane) {
      return lane.source == end.first && lane.read.offset >= end.second;
    });
  });
}

// Where the source shares its partitions out, those of other processes are done when they have committed
// every event before the end. `ask`: also ask for those, which takes a while.
Result<bool> Host::reached_by_all(Running& running, size_t stage, const Ends& ends, bool ask) {
  const auto progress = running.pipelines[stage]->progress();
  Ends here, elsewhere;
  for (const auto& end : ends) {
    const bool ours = std::any_of(progress.begin(), progress.end(), [&](const pipeline::LaneProgress& lane) {
      return lane.source == end.first;
    });
    (ours ? here : elsewhere).push_back(end);
  }
  if (!reached(progress, here)) return false;
  pipeline::Source& source = *running.stages[stage].source;
  if (elsewhere.empty()) return true;
  if (!ask || !source.traits().assigns) return false;
  std::vector<TopicPartition> partitions;
  for (const auto& [tp, end] : elsewhere) partitions.push_back(tp);
  TM_ASSIGN(auto writer, running.stages[stage].sink->open_writer(0));
  auto held = writer->committed(partitions);
  if (!held.ok() && held.error().retryable) return false;
  if (!held.ok()) return std::move(held).error();
  for (size_t i = 0; i < elsewhere.size(); ++i) {
    auto left = source.holds_events(elsewhere[i].first, (*held)[i].position, elsewhere[i].second);
    if (!left.ok() && !left.error().retryable) return std::move(left).error();
    if (!left.ok() || *left) return false;
  }
  return true;
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
    std::optional<Ends> targets;
    bool settled = false;
    int64_t ask_ns = 0, ask_ends_ns = 0;
    while (!settled) {
      TM_TRY(go_on());
      {
        std::lock_guard lock(processing_mutex_);
        if (!running_ && !store_down_) return closing_ ? leaving() : was_stopped();
        if (running_ && !targets && Clock::system().steady_ns() >= ask_ends_ns) {
          auto ends = running_->stages[i].source->ends();
          if (!ends.ok() && !ends.error().retryable) return std::move(ends).error();
          // None: nothing matches a pattern, and there is nothing to wait for.
          if (ends.ok()) targets = std::move(*ends);
          ask_ends_ns = Clock::system().steady_ns() + kAskOthersNs;
        }
        if (running_ && targets && running_->pipelines[i]->settled()) {
          // What other processes read is asked for less often.
          const bool ask = Clock::system().steady_ns() >= ask_ns;
          TM_ASSIGN(settled, reached_by_all(*running_, i, *targets, ask));
          if (ask) ask_ns = Clock::system().steady_ns() + kAskOthersNs;
        }
      }
      if (!settled) Clock::system().sleep_us(kSettlePauseUs);
    }
  }
  return {};
}

std::vector<Host::Lane> Host::lanes() const {
  std::lock_guard lock(running_mutex_);
  std::vector<Lane> all;
  if (!running_) return all;
  for (size_t i = 0; i < running_->pipelines.size(); ++i) {
    for (pipeline::LaneProgress& lane : running_->pipelines[i]->progress())
      all.push_back({running_->stages[i].solution->branch, std::move(lane)});
  }
  return all;
}

int64_t Host::lag() const {
  int64_t lag = -1;
  for (const auto& [branch, lane] : lanes()) {
    auto info = log_->partition(lane.source);
    if (info.ok()) {
      lag = std::max<int64_t>(lag, 0) + info->last_stable.since(lane.committed.offset);
    } else if (lane.lag >= 0) {
      lag = std::max<int64_t>(lag, 0) + lane.lag;
    }
  }
  return lag;
}

Result<bool> Host::repeats(const Solution& solution) {
  auto any = [&](const std::vector<Stage>& stages) {
    return std::any_of(stages.begin(), stages.end(), [&](const Stage& stage) {
      return stage.solution == &solution &&
             stage.sink->traits().capability == pipeline::Capability::kAtLeastOnce;
    });
  };
  std::lock_guard lock(processing_mutex_);
  if (running_) return any(running_->stages);
  TM_ASSIGN(Ground ground, this->ground());
  TM_ASSIGN(std::vector<Stage> stages, wire(solution, ground));
  return any(stages);
}

std::string Host::weakened() const {
  std::lock_guard lock(processing_mutex_);
  std::string text;
  for (size_t i = 0; running_ && i < running_->stages.size(); ++i) {
    const Stage& stage = running_->stages[i];
    const pipeline::SinkTraits sink = stage.sink->traits();
    if (!sink.in_steps) continue;
    text += "guarantee of " + sink.store + ": " + pipeline::guarantee_name(stage.guarantee.guarantee) + ": " +
            sink.weakness + "\n";
  }
  return text;
}

Result<std::vector<pipeline::Committed>> Host::committed(const Solution& solution,
                                                         const std::vector<TopicPartition>& sources) {
  auto reader_of = [&](std::vector<Stage>& stages) -> Stage& {
    auto reads = [&](const Stage& stage) {
      return stage.solution == &solution && stage.input_topic == sources.front().topic;
    };
    return *std::find_if(stages.begin(), stages.end() - 1, reads);
  };
  auto ask = [&](pipeline::Sink& sink) -> Result<std::vector<pipeline::Committed>> {
    TM_ASSIGN(auto writer, sink.open_writer(0));
    return writer->committed(sources);
  };
  std::lock_guard lock(processing_mutex_);
  // A sink that is at work may have locked its store, and answers itself.
  if (running_) return ask(*reader_of(running_->stages).sink);
  TM_ASSIGN(Ground ground, this->ground());
  TM_ASSIGN(std::vector<Stage> stages, wire(solution, ground));
  Stage& stage = reader_of(stages);
  TM_TRY(stage.sink->prepare(stage.plan.sink_schema));
  return ask(*stage.sink);
}

}  // namespace tidemill::solution
