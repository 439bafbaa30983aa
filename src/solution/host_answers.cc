// What the owner of a run answers to other processes.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "event/json_splice.h"
#include "solution/between.h"
#include "solution/host_impl.h"
#include "solution/log_requests.h"
#include "solution/query.h"
#include "solution/replay.h"
#include "solution/verification.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kLookUpUs = 20'000;
constexpr int64_t kReplayProgressNs = 1'000'000'000;

}  // namespace

Status Host::answer(Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  if (request.verb.starts_with("log.")) {
    TM_ASSIGN(log::Log * log, this->log());
    return answer_log_request(*log, kafka_topics(solution_), request, reply, gone,
                              [this](uint64_t records, uint64_t bytes) { on_incoming(records, bytes); });
  }
  if (request.verb == "query") return answer_query(*this, request, reply, gone);
  if (request.verb == "verify") {
    Status verified = answer_verify(*this, request, reply, [&] { return gone || stop_asked_ || closing_; });
    const bool ended = !verified.ok() && verified.error().code == Code::kStopped;
    if (ended && stop_asked_) return was_stopped();
    return ended && closing_ ? Status(leaving()) : verified;
  }
  if (request.verb == "report") return report(request, reply, gone);
  if (request.verb == "status") return status(request, reply);
  if (request.verb == "summary") return summary(request, reply);
  if (request.verb == "settle") return settle(reply, gone);
  if (request.verb == "process") return process(request, reply, gone);
  if (request.verb == "replay") return replay(request, reply, gone);
  if (request.verb == "stop") {
    if (request.get("leave") == "1") {
      leave_for_good();
      if (std::string note = leave_note(); !note.empty()) reply(note + "\n");
    }
    ask_stop();
    return {};
  }
  return user_error("no such request: " + request.verb + "; is the run's owner an older program?",
                    Code::kNotFound);
}

Status Host::process(const Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  if (request.get("leave") == "1") leave_for_good();
  TM_TRY(enter_processing());
  reply("started\n" + weakened());
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

// Ends when it has taken what the log held as it began: beside a live run the end would never be reached.
Status Host::replay(const Request& request, const Reply& reply, const std::atomic<bool>& gone) {
  TM_ASSIGN(Replay replay, parse_replay(solution_, request));
  TM_TRY(note_made(replay.into));
  // What it stores is none of the live run's traffic.
  TM_ASSIGN(auto running, start_stages(replay, nullptr));
  pipeline::Pipeline& pipeline = *running->pipelines.back();
  TM_ASSIGN(auto targets, running->stages.back().source->ends());
  uint64_t last_stored = 0;
  int64_t said_ns = 0;
  while (!gone && !stop_asked_ && !closing_) {
    if (!pipeline.running()) TM_TRY(pipeline.wait());
    uint64_t read = 0, stored = 0;
    int64_t left = 0;
    size_t arrived = 0;
    for (const auto& lane : pipeline.progress()) {
      read += lane.counters.read;
      stored += lane.counters.stored;
      for (const auto& [partition, end] : targets) {
        if (partition != lane.source) continue;
        left += std::max<int64_t>(0, end.since(lane.committed.offset));
        arrived += lane.committed.offset >= end ? 1 : 0;
      }
    }
    // What holds no event for the sink (of an aborted transaction) moves `read` only.
    if (arrived == targets.size() || (pipeline.settled() && reached(pipeline.progress(), targets))) {
      running->drain();
      TM_TRY(pipeline.wait());
      read = stored = 0;
      for (const auto& lane : pipeline.progress()) {
        read += lane.counters.read;
        stored += lane.counters.stored;
      }
      reply(fmt::format("replayed {} events into {}: {} rows\n", observe::with_thousands(read), replay.into,
                        observe::with_thousands(stored)));
      return {};
    }
    const int64_t now_ns = Clock::system().steady_ns();
    if (stored != last_stored && now_ns - said_ns >= kReplayProgressNs) {
      said_ns = now_ns;
      last_stored = stored;
      if (!reply(fmt::format("{} rows, {} events to go\n", observe::with_thousands(stored),
                             observe::with_thousands(static_cast<uint64_t>(left)))))
        break;
    }
    if (!reply("")) break;
    Clock::system().sleep_us(kLookUpUs);
  }
  running->drain();
  TM_TRY(pipeline.wait());
  return closing_ && !stop_asked_ ? Status(leaving()) : Status();
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
  note_shared_log(reply);
  return {};
}

// Under a table: why its first columns count more than the events that come in.
void Host::note_shared_log(const Reply& reply) const {
  bool rekeyed =
      std::any_of(solution_.process.begin(), solution_.process.end(),
                  [&](const OperatorConfig& op) { return topic_before(solution_, op).has_value(); });
  if (solution_.serve.kind == SinkKind::kLog || rekeyed) reply(observe::shared_log_note() + "\n");
  std::lock_guard lock(processing_mutex_);
  const bool by_producers =
      running_ && solution_.ingest.kind == SourceKind::kKafka &&
      running_->stages.front().source->traits().timestamp_type == TimestampType::kCreateTime;
  if (by_producers) reply(observe::create_time_note(solution_.ingest.kafka.topic) + "\n");
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
  const bool table = format == "table" && request.get("bare") != "1";  // bare: rows alone
  if (table && !reply(observe::report_header() + "\n")) return {};
  bool heard = true;
  const auto over = [&] { return !heard || gone || stop_asked_ || closing_; };
  while (!over() && rows != 0) {
    due_us += every_us;
    while (clock.wall_us() < due_us && !over()) {
      clock.sleep_us(kLookUpUs);
      heard = reply("");
    }
    if (over()) break;
    observe::ReportRow row = reporter.row(clock.wall_us(), lag());
    std::string line = format == "json"       ? observe::report_json(row)
                       : format == "progress" ? observe::progress_line(row.time_us - begun_us, row)
                                              : observe::report_line(row);
    heard = reply(line + "\n");
    if (rows > 0) --rows;
  }
  if (rows != 0 && closing_ && !stop_asked_) return leaving();
  if (table) note_shared_log(reply);
  return rows != 0 && stop_asked_ ? Status(was_stopped()) : ok_status();
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
