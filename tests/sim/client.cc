#include "client.h"

#include <algorithm>
#include <utility>

#include "event/record_batch.h"

namespace tidemill::sim {
namespace {

constexpr size_t kMostInFlight = 5;  // as many as the log recognises again

}  // namespace

void Client::judge(const std::string& what, const Error& error) {
  world_.note("{} {}: {}", name_, what, error.message);
  const Scenario& scenario = world_.scenario;
  bool excused = world_.disk.power_failed() || error.code == Code::kDiskFull || scenario.write_errors > 0 ||
                 scenario.sync_errors > 0 || scenario.read_errors > 0 || scenario.may_be_damaged();
  if (!excused) world_.violation("{} {}: {}", name_, what, error.message);
}

void Client::disconnected() {
  if (producer_.id >= 0) former_ = producer_;  // else it never connected
  producer_ = {};
  for (Flight& flight : flights_) {
    flight.appended = false;
    model_.append_in_doubt(flight.serials);
  }
  if (kind_ != ClientKind::kNamed) flights_.clear();
  transaction_ = -1;
}

void Client::connect(log::Log& log) {
  if (kind_ == ClientKind::kPlain) return;
  auto got = transactional() ? log.init_transactional(name_)
                             : log.init_idempotent(kind_ == ClientKind::kNamed ? name_ : std::string());
  if (!got.ok()) return judge("connect", got.error());
  producer_ = *got;
  world_.note("{} is producer {} epoch {}", name_, producer_.id, producer_.epoch);
  bool lossless = !world_.scenario.may_lose();
  if (lossless && kind_ == ClientKind::kNamed && former_.id >= 0 && former_ != producer_) {
    world_.violation("{}: was producer {}, and is now {}", name_, former_.id, producer_.id);
  }
  if (lossless && transactional() && former_.id == producer_.id && producer_.epoch <= former_.epoch) {
    world_.violation("{}: epoch {} came again", name_, producer_.epoch);
  }
  // A new id: the log lost the name, as it may, and with it knows nothing of what was sent.
  if (former_.id >= 0 && former_ != producer_) flights_.clear();
  if (kind_ != ClientKind::kNamed) {
    std::fill(sequences_.begin(), sequences_.end(), 0);
    return;
  }
  for (int p = 0; p < world_.scenario.partitions; ++p) {
    auto last = log.last_sequence(input(p), producer_);
    if (!last.ok()) return judge("last sequence", last.error());
    int32_t next = last->value_or(-1) + 1;
    bool resends =
        std::any_of(flights_.begin(), flights_.end(), [&](const Flight& f) { return f.partition == p; });
    int32_t known = sequences_[static_cast<size_t>(p)];
    for (const Flight& flight : flights_) {
      if (flight.partition == p) known = std::min(known, flight.sequence);
    }
    if (next < known && lossless && world_.scenario.flips == 0) {
      world_.violation("{}: the log knows sequences below {} in partition {}, but below {} were acknowledged",
                       name_, next, p, known);
    }
    if (next >= known && (resends || next == known)) continue;
    // Told by the log: what it lost is sent no more, and the numbers go on from what it has.
    std::erase_if(flights_, [&](const Flight& flight) { return flight.partition == p; });
    sequences_[static_cast<size_t>(p)] = next;
  }
}

Client::Flight Client::make_flight() {
  Flight flight;
  flight.partition = static_cast<int>(world_.chance.below(static_cast<uint64_t>(world_.scenario.partitions)));
  for (uint64_t i = 0; i <= world_.chance.below(4); ++i) {
    int64_t serial = events_.make(world_.chance, flight.partition);
    events_.at(serial).transaction = transaction_;
    flight.serials.push_back(serial);
  }
  int32_t& next = sequences_[static_cast<size_t>(flight.partition)];
  flight.sequence = next;
  next += static_cast<int32_t>(flight.serials.size());
  return flight;
}

bool Client::send(log::Log& log, Flight& flight) {
  RecordBatchBuilder::Options options;
  options.compression = world_.scenario.compression;
  options.transactional = transactional();
  if (kind_ != ClientKind::kPlain) {
    options.producer_id = producer_.id;
    options.producer_epoch = producer_.epoch;
    options.base_sequence = flight.sequence;
  }
  RecordBatchBuilder builder(options);
  for (int64_t serial : flight.serials) {
    const Event& event = events_.at(serial);
    builder.add(world_.clock.wall_us() / 1000, event.key, event.value);
  }
  bool sealed = world_.chance.below(2) == 0;
  auto batch = builder.finish(sealed);
  TM_CHECK(batch.ok());
  auto appended = log.append(input(flight.partition), *batch, sealed);
  if (!appended.ok()) {
    world_.note("{} appends {}+{}: {}", name_, flight.serials.front(), flight.serials.size(),
                appended.error().message);
    // After a power cut, or where the log is at its end, nobody knows. Else it was refused: it is not there.
    if (world_.disk.power_failed() || world_.scenario.sync_errors > 0 || world_.scenario.write_errors > 0)
      model_.append_in_doubt(flight.serials);
    judge("append", appended.error());
    return false;
  }
  world_.note("{} appends {}+{} to {}: {}{}", name_, flight.serials.front(), flight.serials.size(),
              flight.partition, appended->first.value(), appended->duplicate ? " again" : "");
  bool may_be_duplicate = flight.first >= 0 || events_.at(flight.serials.front()).in_doubt ||
                          events_.at(flight.serials.front()).offset >= 0;
  if (appended->duplicate && !may_be_duplicate) {
    world_.violation("{}: a new batch was taken for a retry", name_);
  }
  if (!appended->duplicate && events_.at(flight.serials.front()).offset >= 0) {
    world_.violation("{}: a retry of event {} was stored again at {}", name_, flight.serials.front(),
                     appended->first.value());
  }
  flight.appended = true;
  flight.first = appended->first.value();
  flight.ticket = appended->sync_ticket;
  model_.appended(flight.partition, flight.first, flight.serials);
  flight.ends = model_.ends();
  return true;
}

void Client::resend(log::Log& log) {
  for (Flight& flight : flights_) {
    if (!flight.appended && !send(log, flight)) return;
  }
}

void Client::wait(log::Log& log) {
  if (flights_.empty() || !flights_.front().appended) return;
  size_t upto = static_cast<size_t>(world_.chance.below(flights_.size()));
  while (!flights_[upto].appended) --upto;
  Status durable = log.wait_durable(flights_[upto].ticket);
  world_.note("{} waits for {}: {}", name_, flights_[upto].ticket, answer(durable));
  if (!durable.ok()) return judge("wait", durable.error());
  model_.acknowledged(flights_[upto].ends);
  flights_.erase(flights_.begin(), flights_.begin() + static_cast<ptrdiff_t>(upto) + 1);
}

void Client::step(log::Log& log) {
  if (!usable()) return connect(log);
  if (transactional()) {
    if (transaction_ < 0) {
      transaction_ = model_.begin_transaction();
      transaction_ends_.clear();
    }
    uint64_t choice = world_.chance.below(10);
    if (choice < 3) return commit(log);
    if (choice < 4) return abort(log);
    Flight flight = make_flight();
    bool sent = send(log, flight);
    if (sent) transaction_ends_ = flight.ends;
    if (sent || world_.disk.power_failed()) return;
    // A refused batch takes the whole transaction with it, and leaves a gap in the sequences.
    abort(log);
    producer_ = {};
    return;
  }
  resend(log);
  if (world_.disk.power_failed() || world_.violated()) return;
  if (!flights_.empty() && !flights_.back().appended) return;
  uint64_t choice = world_.chance.below(10);
  if (choice < 3 || flights_.size() >= kMostInFlight) return wait(log);
  if (choice < 4 && kind_ != ClientKind::kPlain && !flights_.empty()) {
    // As if the answer had been lost.
    send(log, flights_[world_.chance.below(flights_.size())]);
    return;
  }
  flights_.push_back(make_flight());
  if (!send(log, flights_.back()) && kind_ == ClientKind::kPlain) flights_.pop_back();
}

void Client::commit(log::Log& log) {
  std::vector<int64_t> ends = std::exchange(transaction_ends_, {});
  std::vector<log::TransactionCommit> one{{producer_, {}}};
  Status done = log.commit(one);
  world_.note("{} commits {}: {}", name_, transaction_, answer(done));
  if (done.ok()) {
    model_.end_transaction(transaction_, Outcome::kCommitted);
    model_.acknowledged(ends);
    transaction_ = -1;
    return;
  }
  bool unknown = done.error().code == Code::kUnknown;
  model_.end_transaction(transaction_, unknown ? Outcome::kInDoubt : Outcome::kOpen);
  judge("commit", done.error());
  if (unknown) {
    transaction_ = -1;
    producer_ = {};
  } else if (!world_.disk.power_failed()) {
    abort(log);
  }
}

void Client::abort(log::Log& log) {
  model_.end_transaction(transaction_, Outcome::kAborted);
  transaction_ = -1;
  Status done = log.abort(producer_);
  world_.note("{} aborts: {}", name_, answer(done));
  if (done.ok()) return;
  judge("abort", done.error());
  producer_ = {};  // the next one fences it
}

void Client::finish(log::Log& log) {
  if (!usable()) connect(log);
  if (!usable()) return world_.violation("{}: cannot connect although nothing is wrong any more", name_);
  if (transactional() && transaction_ >= 0) return commit(log);
  resend(log);
  for (size_t left = SIZE_MAX; !flights_.empty() && flights_.size() < left && !world_.violated();) {
    left = flights_.size();  // where a step forward is not to be had, it was judged
    wait(log);
  }
}

}  // namespace tidemill::sim
