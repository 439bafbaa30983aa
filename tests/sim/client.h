// A producer outside of the process: it outlives its crashes, remembers what was acknowledged, and sends
// again what was not, as its kind can.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "log_model.h"

namespace tidemill::sim {

class Client {
 public:
  Client(World& world, Events& events, LogModel& model, ClientKind kind, int number)
      : world_(world), events_(events), model_(model), kind_(kind), name_("client" + std::to_string(number)) {
    sequences_.resize(static_cast<size_t>(world.scenario.partitions));
  }

  // Connects to a log that was just opened.
  void connect(log::Log& log);
  // Appends, waits, sends again, commits or aborts: one of them.
  void step(log::Log& log);
  // Until nothing is in doubt that can be known.
  void finish(log::Log& log);
  void disconnected();

 private:
  struct Flight {  // a batch that is not acknowledged yet
    int partition = 0;
    int32_t sequence = -1;
    std::vector<int64_t> serials;
    bool appended = false;  // an answer came in this life
    int64_t first = -1;
    uint64_t ticket = 0;
    std::vector<int64_t> ends;
  };
  bool usable() const { return producer_.id >= 0 || kind_ == ClientKind::kPlain; }
  bool transactional() const { return kind_ == ClientKind::kTransactional; }
  Flight make_flight();
  // Whether it is in the log now.
  bool send(log::Log& log, Flight& flight);
  void resend(log::Log& log);
  void wait(log::Log& log);
  void commit(log::Log& log);
  void abort(log::Log& log);
  // An error of a call that should have worked, unless the world excuses it.
  void judge(const std::string& what, const Error& error);

  World& world_;
  Events& events_;
  LogModel& model_;
  const ClientKind kind_;
  const std::string name_;
  log::Producer producer_;
  log::Producer former_;  // of the life before
  std::vector<int32_t> sequences_;
  std::deque<Flight> flights_;
  int64_t transaction_ = -1;
  std::vector<int64_t> transaction_ends_;  // after its last batch; empty: it has none
};

}  // namespace tidemill::sim
