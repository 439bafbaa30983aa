#include "pipeline/testing/sink_harness.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/random.h"
#include "base/steps.h"
#include "pipeline/testing/sink_session.h"

namespace tidemill::pipeline::testing {
namespace {

const std::vector<int32_t> kEach = {0, 1, 2};

// One store over several lives of a process.
class Store {
 public:
  explicit Store(const SinkUnderTest& sut) : sut_(sut) {}

  Status clear() {
    sink_.reset();
    model = StoreModel();
    return sut_.clear();
  }
  Status open() {
    sink_.reset();
    TM_ASSIGN(sink_, sut_.open());
    TM_TRY(sink_->prepare(harness_schema()));
    frames_ = sink_->traits().changelog_in_transaction;
    return {};
  }
  void close() { sink_.reset(); }
  Result<SinkSession> session(int task = 0) { return SinkSession::open(*sink_, task); }
  // Opens, and takes partitions over.
  Result<SinkSession> start(const std::vector<int32_t>& partitions = kEach) {
    TM_TRY(open());
    TM_ASSIGN(SinkSession made, session());
    TM_TRY(made.acquire(partitions, model));
    return made;
  }
  // One epoch, filled and committed.
  Status commit_one(SinkSession& session, const std::vector<int32_t>& partitions, size_t records) {
    TM_ASSIGN(FilledEpoch epoch, session.fill(partitions, records, model));
    TM_TRY(session.commit_to(epoch, &model));
    if (!sut_.read_live) return {};
    TM_ASSIGN(StoredContents stored, sut_.read_live());
    if (auto same = model.compare(stored, sut_.ordered, frames_); !same.ok()) {
      return std::move(same).error().within("a second reader after the commit");
    }
    return {};
  }
  // Closes, and compares what is there with the model.
  Status close_and_compare() {
    close();
    TM_ASSIGN(StoredContents stored, sut_.read());
    return model.compare(stored, sut_.ordered, frames_);
  }

  StoreModel model;

 private:
  const SinkUnderTest& sut_;
  std::unique_ptr<Sink> sink_;
  bool frames_ = false;
};

// From an empty store to a comparison of what it then holds. `body` leaves nothing of the sink alive.
Status run_scenario(const SinkUnderTest& sut, const std::function<Status(Store&)>& body) {
  Store store(sut);
  TM_TRY(store.clear());
  TM_TRY(body(store));
  return store.close_and_compare();
}

Status check_traits(const SinkUnderTest& sut) {
  TM_TRY(sut.clear());
  TM_ASSIGN(auto sink, sut.open());
  SinkTraits traits = sink->traits();
  if (traits.store.empty()) return harness_error("traits: the store has no name");
  if (traits.preferred_rows == 0 || traits.preferred_bytes == 0) {
    return harness_error("traits: preferred epochs are empty");
  }
  if (traits.capability == Capability::kAtLeastOnce && traits.weakness.empty()) {
    return harness_error("traits: at-least-once without saying why");
  }
  return {};
}

Status check_sizes(Store& store, const SinkUnderTest& sut, uint64_t seed) {
  SeededRandom random(seed);
  std::vector<size_t> sizes = {1, 0, 2, 3, 7, 63, 64, 65, 100, 1000, 2047, 2048, 2049, 5000, sut.max_records};
  for (size_t i = 0; i < sizes.size();) {
    {
      TM_ASSIGN(SinkSession session, store.start());
      for (size_t end = std::min(i + 4, sizes.size()); i < end; ++i) {
        std::vector<int32_t> partitions = kEach;
        if (i % 3 != 0) partitions = {static_cast<int32_t>(random.below(kHarnessPartitions))};
        size_t batch_records = 1 + random.below(i % 2 == 0 ? 500 : 5000);
        TM_ASSIGN(FilledEpoch epoch,
                  session.fill(partitions, std::min(sizes[i], sut.max_records), store.model, batch_records));
        TM_TRY(session.commit_to(epoch, &store.model));
      }
    }
    TM_TRY(store.close_and_compare());
  }
  return {};
}

// The next epoch is filled while the last one is yet to be committed, as tasks do.
Status check_overlap(Store& store) {
  TM_ASSIGN(SinkSession session, store.start());
  StoreModel ahead = store.model;
  std::optional<FilledEpoch> last;
  for (size_t i = 0; i < 5; ++i) {
    TM_ASSIGN(FilledEpoch next, session.fill(kEach, 150 + i, ahead));
    ahead.apply(next);
    if (last) TM_TRY(session.commit_to(*last, &store.model));
    last = std::move(next);
  }
  TM_TRY(session.commit_to(*last, &store.model));
  return {};
}

// The process ends between any two steps; what it had not committed is not there.
Status check_restarts(Store& store) {
  for (int stop = 0; stop < 12; ++stop) {
    {
      TM_TRY(store.open());
      if (stop % 6 == 0) continue;
      TM_ASSIGN(SinkSession session, store.session());
      if (stop % 6 == 1) continue;
      TM_TRY(session.acquire(kEach, store.model));
      if (stop % 6 == 2) continue;
      TM_ASSIGN(auto untouched, session.writer().begin());
      if (stop % 6 == 3) continue;
      untouched.reset();
      TM_ASSIGN(FilledEpoch epoch, session.fill(kEach, 120, store.model));
      if (stop % 6 == 4) continue;
      TM_TRY(session.commit_to(epoch, &store.model));
    }
    TM_TRY(store.close_and_compare());
  }
  TM_ASSIGN(SinkSession session, store.start());
  return store.commit_one(session, kEach, 77);
}

// Commits that must not go through although their owner is the right one.
Status check_stale(Store& store) {
  TM_ASSIGN(SinkSession session, store.start());
  StoreModel before = store.model;
  TM_TRY(store.commit_one(session, kEach, 50));
  // The first epoch again, as after an answer that was lost and a blind retry.
  TM_ASSIGN(FilledEpoch again, session.fill(kEach, 50, before));
  TM_TRY(session.expect_fenced(again, store.model));
  // From a position that the store does not hold; for one partition of three.
  TM_ASSIGN(FilledEpoch gap, session.fill(kEach, 50, store.model));
  gap.request.partitions[1].expected->offset = gap.request.partitions[1].expected->offset.next();
  TM_TRY(session.expect_fenced(gap, store.model));
  TM_TRY(store.commit_one(session, kEach, 60));
  // A commit without rows moves positions all the same.
  TM_ASSIGN(FilledEpoch empty, session.fill({2}, 0, store.model));
  empty.request.partitions[0].next.offset = empty.request.partitions[0].next.offset.next(9);
  TM_TRY(session.commit_to(empty, &store.model));
  return {};
}

// The old owner is paused before and after its commit while another takes over.
Status check_takeover(Store& store) {
  TM_ASSIGN(SinkSession old_owner, store.start());
  TM_TRY(store.commit_one(old_owner, kEach, 40));
  TM_ASSIGN(SinkSession new_owner, store.session(1));

  // Before.
  TM_ASSIGN(FilledEpoch late, old_owner.fill(kEach, 40, store.model));
  TM_TRY(new_owner.acquire(kEach, store.model));
  TM_TRY(old_owner.expect_fenced(late, store.model));
  TM_TRY(store.commit_one(new_owner, kEach, 41));
  TM_ASSIGN(late, old_owner.fill(kEach, 40, store.model));
  TM_TRY(old_owner.expect_fenced(late, store.model));

  // After; and only one partition of those in the old owner's next commit.
  TM_TRY(old_owner.acquire(kEach, store.model));
  TM_TRY(store.commit_one(old_owner, kEach, 42));
  TM_TRY(new_owner.acquire({1}, store.model));
  TM_ASSIGN(late, old_owner.fill(kEach, 43, store.model));
  TM_TRY(old_owner.expect_fenced(late, store.model));
  TM_TRY(store.commit_one(old_owner, {0, 2}, 44));
  TM_TRY(store.commit_one(new_owner, {1}, 45));
  TM_TRY(store.commit_one(old_owner, {0}, 46));
  return {};
}

// A takeover on a thread of its own, begun while the old owner's commit stands at a step. It may
// wait the commit out, or fence it; the harness accepts both and demands that they agree.
class Rival {
 public:
  explicit Rival(SinkSession& session) : session_(session) {}
  ~Rival() { join(); }

  void begin_and_give_it_time() {
    if (begun_.exchange(true)) return;  // the rival itself passes the step
    thread_ = std::thread([this] {
      std::vector<TopicPartition> asked;
      for (int32_t partition : kEach) asked.push_back(harness_partition(partition));
      auto result = session_.writer().acquire(asked);
      std::lock_guard lock(mutex_);
      held_.emplace(std::move(result));
      done_.notify_all();
    });
    std::unique_lock lock(mutex_);
    done_.wait_for(lock, std::chrono::milliseconds(100), [&] { return held_.has_value(); });
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  // nullopt: the step was not passed.
  std::optional<Result<std::vector<Committed>>>& held() { return held_; }

 private:
  SinkSession& session_;
  std::atomic<bool> begun_{false};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::optional<Result<std::vector<Committed>>> held_;
};

Status check_takeover_at(Store& store, const std::string& step) {
  TM_ASSIGN(SinkSession old_owner, store.start());
  TM_TRY(store.commit_one(old_owner, kEach, 40));
  TM_ASSIGN(SinkSession new_owner, store.session(1));
  TM_ASSIGN(FilledEpoch paused, old_owner.fill(kEach, 41, store.model));
  Rival rival(new_owner);
  arm_step(step, [&] { rival.begin_and_give_it_time(); });
  Status outcome = old_owner.commit(paused);
  rival.join();
  arm_step(step, {});
  if (!rival.held()) return harness_error("the commit does not pass this step");
  if (outcome.ok()) {
    store.model.apply(paused);
  } else if (outcome.error().code != Code::kFenced) {
    return std::move(outcome).error().within("a commit during a takeover must succeed or be fenced");
  }
  if (!rival.held()->ok()) return std::move(*rival.held()).error().within("takeover");
  for (size_t i = 0; i < kEach.size(); ++i) {
    const Committed& held = rival.held()->value()[i];
    TM_TRY(store.model.compare(kEach[i], held));
    new_owner.assume_token(kEach[i], held.owner);
  }
  TM_TRY(new_owner.check(store.model));
  TM_TRY(store.commit_one(new_owner, kEach, 42));
  TM_ASSIGN(FilledEpoch late, old_owner.fill(kEach, 43, store.model));
  TM_TRY(old_owner.expect_fenced(late, store.model));
  return {};
}

enum class Found { kNothing, kEverything };

// What a killed commit left: every partition at the old position, or every one at the new.
Result<Found> all_or_nothing(SinkSession& session, const FilledEpoch& killed, const StoreModel& before) {
  std::vector<TopicPartition> asked;
  for (const PartitionEpoch& part : killed.request.partitions) asked.push_back(part.source);
  TM_ASSIGN(std::vector<Committed> held, session.writer().committed(asked));
  size_t moved = 0;
  for (size_t i = 0; i < held.size(); ++i) {
    const PartitionEpoch& part = killed.request.partitions[i];
    if (held[i].epoch == part.epoch) {
      ++moved;
      if (held[i].position != part.next || held[i].counters != part.counters) {
        return harness_error("an epoch without its position or counters: " + part.source.to_string());
      }
    } else {
      TM_TRY(before.compare(part.source.partition.value(), held[i]));
    }
  }
  if (moved != 0 && moved != held.size()) {
    return harness_error("only some partitions of one commit are stored");
  }
  return moved == 0 ? Found::kNothing : Found::kEverything;
}

Status recover_from_kill(Store& store, size_t records) {
  TM_TRY(store.open());
  TM_ASSIGN(SinkSession session, store.session());
  for (int32_t partition : kEach) session.assume_token(partition, Incarnation(0));
  TM_ASSIGN(FilledEpoch killed, session.fill(kEach, records, store.model));
  killed.output.reset();
  TM_ASSIGN(Found found, all_or_nothing(session, killed, store.model));
  if (found == Found::kEverything) {
    for (PartitionEpoch& part : killed.request.partitions) {
      TM_ASSIGN(auto held, session.writer().committed({&part.source, 1}));
      part.owner = held[0].incarnation;
      if (part.owner <= store.model.committed(part.source.partition.value()).incarnation) {
        return harness_error("the token of the killed commit did not rise");
      }
    }
    store.model.apply(killed);
  }
  TM_TRY(session.acquire(kEach, store.model));
  return store.commit_one(session, kEach, 31);
}

constexpr int kNotKilled = 42, kCommitFailed = 43;

[[noreturn]] void die_in_commit(Store& store, const std::string& step, size_t records) {
  auto commit = [&]() -> Status {
    TM_ASSIGN(SinkSession session, store.start());
    TM_ASSIGN(FilledEpoch epoch, session.fill(kEach, records, store.model));
    arm_step(step, [] { ::kill(::getpid(), SIGKILL); });
    return session.commit(epoch);
  };
  Status status = commit();
  if (!status.ok()) {
    std::string line = status.error().message + "\n";
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  }
  ::_exit(status.ok() ? kNotKilled : kCommitFailed);
}

Status check_kill(Store& store, const std::string& step, size_t records) {
  store.close();
  pid_t child = ::fork();
  if (child < 0) return harness_error("fork failed");
  if (child == 0) die_in_commit(store, step, records);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
    bool passed_over = WIFEXITED(status) && WEXITSTATUS(status) == kNotKilled;
    return harness_error(passed_over ? "the commit does not pass this step"
                                     : "the killed process failed before");
  }

  TM_TRY(recover_from_kill(store, records));
  return store.close_and_compare();
}

std::vector<std::string> all_steps(const SinkUnderTest& sut) {
  std::vector<std::string> steps = sut.steps;
  steps.insert(steps.end(), sut.steps_with_rows.begin(), sut.steps_with_rows.end());
  return steps;
}

Status in_scenario(const std::string& name, Status status) {
  if (status.ok()) return status;
  return std::move(status).error().within(name);
}

}  // namespace

Status check_sink(const SinkUnderTest& sut, uint64_t seed) {
  auto run = [&](const std::string& name, const std::function<Status(Store&)>& body) {
    return in_scenario(name, run_scenario(sut, body));
  };
  TM_TRY(in_scenario("traits", check_traits(sut)));
  TM_TRY(run("sizes, seed " + std::to_string(seed),
             [&](Store& store) { return check_sizes(store, sut, seed); }));
  TM_TRY(run("overlap", check_overlap));
  TM_TRY(run("restarts", check_restarts));
  TM_TRY(run("stale commits", check_stale));
  TM_TRY(run("takeover", check_takeover));
  for (const std::string& step : all_steps(sut)) {
    TM_TRY(
        run("takeover in a commit at " + step, [&](Store& store) { return check_takeover_at(store, step); }));
  }
  return {};
}

Status check_kills(const SinkUnderTest& sut) {
  Store store(sut);
  for (const std::string& step : all_steps(sut)) {
    TM_TRY(store.clear());
    TM_TRY(in_scenario("killed in the first commit at " + step, check_kill(store, step, 100)));
  }
  // Without clearing: what one kill left is there at the next.
  for (size_t records : {size_t{0}, size_t{1}, std::min<size_t>(3000, sut.max_records)}) {
    for (const std::string& step : records == 0 ? sut.steps : all_steps(sut)) {
      TM_TRY(in_scenario("killed in a later commit of " + std::to_string(records) + " records at " + step,
                         check_kill(store, step, records)));
    }
  }
  return {};
}

}  // namespace tidemill::pipeline::testing
