// The owner of a run: its lock, log, database, pipelines and metrics, and the answers that it gives to
// other processes (design point 13). Commands that find the lock free become the owner themselves,
// for as long as they run; those that find it held ask over the socket. Both ways lead to answer().
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/file_system.h"
#include "duck/duck.h"
#include "kafka/stall.h"
#include "log/log.h"
#include "observe/metrics.h"
#include "observe/prometheus.h"
#include "observe/report.h"
#include "pipeline/pipeline.h"
#include "solution/config.h"
#include "solution/log_lease.h"
#include "solution/query_runner.h"
#include "solution/run_directory.h"
#include "solution/socket.h"
#include "solution/wire.h"

namespace tidemill::solution {

class Host {
 public:
  // Takes the lock and listens; the log waits until somebody needs it. Errors: kExists while another process
  // owns the run.
  static Result<std::unique_ptr<Host>> open(const RunStore& runs, RunRecord record, Solution solution);
  // Drains what runs, then closes the log cleanly.
  ~Host();

  const Solution& solution() const { return solution_; }
  RunRecord record() const;
  Status save_record(const std::function<void(RunRecord&)>& change);
  const std::string& directory() const { return directory_; }
  // Recovers the log and creates the topics when it is first called: who asks only the store does not wait
  // for that.
  Result<log::Log*> log();
  Result<std::shared_ptr<LogLease>> lease_log();
  const observe::Metrics& metrics() const { return metrics_; }
  // The database file of this sink, or of the solution's own.
  Result<std::shared_ptr<duck::Database>> database(const DuckDbSink& sink);
  Result<std::shared_ptr<duck::Database>> database() { return database(solution_.serve.duckdb); }
  Result<Ground> ground();

  QueryGate& queries() { return *queries_; }

  // Serves the run's metrics for Prometheus as `observe` says; ok where that is off, or done already.
  Status serve_metrics();
  // Of the topics of Kafka that the solution reads and serves, while metrics are served; empty else.
  std::vector<kafka::Stall> stalls() const;
  std::string metrics_url() const;  // empty: not served

  // Starts the solution's pipelines; ok where they run already. Each user of processing says so, and
  // the last one who leaves drains them.
  Status enter_processing();
  Status leave_processing();
  bool processing() const;
  // The error that stopped processing, if one did. A store that DuckDB has given up is opened again here, and
  // the pipelines go on with it: a query or a full disk must not end them.
  Status processing_failed();
  // Waits until everything that is in the input topic now is committed, or `cancelled`, or processing failed.
  Status wait_settled(const std::function<bool()>& cancelled);
  struct Lane {
    std::string branch;  // empty: of the solution's own pipeline
    pipeline::LaneProgress progress;
  };
  // Empty while the pipelines start; does not wait for them.
  std::vector<Lane> lanes() const;
  // Events in the input that are not yet committed; -1: nothing is known.
  int64_t lag() const;
  // Of every partition of the log; empty while nobody has needed the log.
  std::vector<log::PartitionInfo> log_partitions() const;

  // What the sink of the stage that reads them, of the solution or a branch of it, holds for partitions of
  // one topic, whether anything is processing or not.
  Result<std::vector<pipeline::Committed>> committed(const Solution& solution,
                                                     const std::vector<TopicPartition>& sources);

  // Whether a sink of the solution, or of that branch, may hold rows twice, whether anything is processing or
  // not.
  Result<bool> repeats(const Solution& solution);
  // Of what runs: guarantees that an endpoint has made weaker than its kind of sink has, and why; lines.
  std::string weakened() const;

  // Answers one request of any process (docs/formats/socket.md).
  Status answer(Request& request, const Reply& reply, const std::atomic<bool>& gone);

  // Set by a `stop` request: whoever runs should end gracefully.
  const std::atomic<bool>& stop_asked() const { return stop_asked_; }
  void ask_stop();
  // What runs here does not come back soon after its end: places that are kept for it are given up then.
  void leave_for_good();
  std::string leave_note() const;
  // A producer in this process has been acknowledged this much.
  void on_incoming(uint64_t records, uint64_t bytes) { metrics_.on_incoming(records, bytes); }

 private:
  struct Running;
  Host(const RunStore& runs, RunRecord record, Solution solution);
  Status start();
  void housekeeping();
  Status watch_stalls();
  Status replay(const Request& request, const Reply& reply, const std::atomic<bool>& gone);
  Status process(const Request& request, const Reply& reply, const std::atomic<bool>& gone);
  Status report(const Request& request, const Reply& reply, const std::atomic<bool>& gone);
  Status status(const Request& request, const Reply& reply);
  Status summary(const Request& request, const Reply& reply);
  Status settle(const Reply& reply, const std::atomic<bool>& gone);
  void note_shared_log(const Reply& reply) const;

  // Notes in the run's record which entries of its directory a sink makes, before it makes them.
  Status note_made(const std::string& replay_into = {});
  void hold_inputs(bool hold);
  Status check_databases();
  // With processing_mutex_ held. revive(): `why` where it is not the store that failed.
  Status revive(Status why);
  Status reopen();
  std::unique_ptr<Running> exchange_running(std::unique_ptr<Running> now);
  Result<std::unique_ptr<Running>> start_stages(const Replay& replay, observe::Metrics* metrics);
  // Where a topic ends now, for readers of committed events; and whether lanes have read that far.
  using Ends = std::vector<std::pair<TopicPartition, Offset>>;
  static bool reached(const std::vector<pipeline::LaneProgress>& progress, const Ends& ends);
  static Result<bool> reached_by_all(Running& running, size_t stage, const Ends& ends, bool ask);

  RunStore runs_;
  mutable std::mutex record_mutex_;
  RunRecord record_;
  Solution solution_;
  std::string directory_;
  std::unique_ptr<FileLock> lock_;
  std::mutex log_mutex_;  // of opening it
  std::unique_ptr<log::Log> log_;
  std::shared_ptr<LogLease> log_lease_;
  std::atomic<log::Log*> opened_log_{nullptr};  // log_, once it is there
  int64_t started_us_ = 0;
  observe::Metrics metrics_;

  std::shared_ptr<QueryGate> queries_ = QueryGate::make();
  std::mutex database_mutex_;
  std::map<std::string, std::shared_ptr<duck::Database>> databases_;  // by the file's path

  mutable std::mutex processing_mutex_;
  // Changed by exchange_running(), so that whoever holds one of the two mutexes may use it.
  std::unique_ptr<Running> running_;
  // Never held while a store or broker is waited for: a scrape must not wait for a start or a recovery.
  mutable std::mutex running_mutex_;
  int processing_users_ = 0;
  bool processing_ending_ = false;  // the last user left, the pipelines still drain
  std::condition_variable processing_ended_;
  bool store_down_ = false;  // until it is open again there are users, but no pipelines
  int64_t reopen_ns_ = 0;    // not before
  int64_t reopen_pause_ns_ = 0;
  Status processing_error_;

  std::atomic<bool> leaves_{false};
  std::atomic<bool> stop_asked_{false};
  std::atomic<bool> closing_{false};
  std::mutex housekeeping_mutex_;
  std::condition_variable housekeeping_wake_;
  std::thread housekeeper_;
  std::unique_ptr<SocketServer> server_;
  mutable std::mutex prometheus_mutex_;
  std::vector<std::unique_ptr<kafka::StallWatch>> stall_watches_;
  std::unique_ptr<observe::PrometheusServer> prometheus_;
  bool processing_begun_ = false;
};

}  // namespace tidemill::solution
