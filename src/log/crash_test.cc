// The power fails at every operation of a scripted workload, and after every reopening of a random
// one: what was acknowledged is there, nothing is there twice, transactions are whole.
#include <gtest/gtest.h>

#include <map>

#include "base/logging.h"
#include "log/log.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;

const TopicPartition kPlain{"plain", Partition(0)};
const TopicPartition kOut0{"out", Partition(0)};
const TopicPartition kOut1{"out", Partition(1)};
const TopicPartition kIn{"in", Partition(0)};

// One pipeline and one producer on a log that may lose its power at any time; and what must be
// true of the log afterwards, by a model that knows only what calls answered.
class Workload {
 public:
  explicit Workload(uint64_t seed) : random_(seed) {
    fixture_.options.segment_bytes = 1500;
    fixture_.options.index_interval_bytes = 200;
  }
  LogFixture& fixture() { return fixture_; }

  // Opens, checks, works until `steps` are done or the power fails.
  void run(int steps) {
    auto log = fixture_.try_open();
    if (!log.ok()) {
      EXPECT_TRUE(fixture_.files.power_failed()) << log.error().message;
      return;
    }
    log_ = std::move(*log);
    if (!begin()) return stop();
    for (int i = 0; i < steps; ++i) {
      if (!step()) return stop();
    }
    if (random_.below(3) == 0) static_cast<void>(log_->close().ok());
    stop();
  }

  // Opens a last time, with the power on, and checks.
  void check() {
    log_ = fixture_.open();
    ASSERT_NE(log_, nullptr);
    ASSERT_TRUE(begin());
    stop();
  }

 private:
  void stop() { log_ = nullptr; }
  bool alive(const Status& status) const {
    EXPECT_TRUE(status.ok() || fixture_.files.power_failed()) << (status.ok() ? "" : status.error().message);
    return status.ok();
  }

  bool begin() {
    for (const auto& [name, partitions] : {std::pair{"plain", 1}, {"out", 2}, {"in", 1}}) {
      if (!alive(log_->create_topic(name, {.partitions = partitions}))) return false;
    }
    auto named = log_->init_idempotent("producer");
    if (!named.ok()) return alive(std::move(named).error());
    EXPECT_TRUE(named_.id < 0 || *named == named_);
    named_ = *named;
    auto task = log_->init_transactional("task");
    if (!task.ok()) return alive(std::move(task).error());
    EXPECT_GT(task->epoch, task_.epoch) << "an epoch handed out before came again";
    task_ = *task;
    sequence_[kOut0] = sequence_[kOut1] = 0;
    return check_plain() && check_transactions();
  }

  // The producer resumes after the last sequence that the log has: every value once, in order.
  bool check_plain() {
    auto last = log_->last_sequence(kPlain, named_);
    if (!last.ok()) return alive(std::move(last).error());
    std::vector<std::string> values = read_values(*log_, kPlain);
    int32_t stored = last->value_or(-1) + 1;
    EXPECT_EQ(values.size(), static_cast<size_t>(stored));
    EXPECT_GE(stored, acknowledged_);
    EXPECT_LE(stored, sent_);
    for (size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(values[i].substr(0, values[i].find(' ')), std::to_string(i));
    acknowledged_ = sent_ = stored;
    return !::testing::Test::HasFailure();
  }

  // Position n says that transactions 0 … n−1 are in both outputs, whole, and no other.
  bool check_transactions() {
    auto position = log_->committed_position("g", kIn);
    int64_t now = position ? position->position.offset.value() : 0;
    EXPECT_GE(now, committed_);
    EXPECT_LE(now, attempted_);
    for (const TopicPartition& tp : {kOut0, kOut1}) {
      std::vector<std::string> expected;
      for (int64_t i = 0; i < now; ++i) expected.push_back(value(i));
      EXPECT_EQ(read_values(*log_, tp), expected) << tp.to_string();
    }
    position_ = position ? std::optional(position->position) : std::nullopt;
    committed_ = attempted_ = now;
    return !::testing::Test::HasFailure();
  }

  static std::string value(int64_t number) { return "t" + std::to_string(number) + std::string(60, '.'); }

  bool step() {
    fixture_.clock.advance_us(300'000);
    switch (random_.below(8)) {
      case 0:
        return alive(log_->housekeep());
      case 1:
      case 2:
      case 3:
        return send();
      case 4:
        return abort();
      default:
        return commit();
    }
  }

  bool send() {
    std::vector<std::string> values;
    for (uint64_t i = 0; i <= random_.below(3); ++i)
      values.push_back(std::to_string(sent_ + static_cast<int32_t>(i)) + " " +
                       std::string(random_.below(120), '-'));
    auto appended = append(*log_, kPlain, values, {.producer = named_, .sequence = sent_});
    // Even a refused append may be on the disk once the power has failed.
    int32_t first = sent_;
    sent_ += static_cast<int32_t>(values.size());
    if (!appended.ok()) return alive(std::move(appended).error());
    EXPECT_EQ(appended->first, Offset(first));
    if (random_.below(3) == 0) return true;  // waits later, or never
    Status durable = log_->wait_durable(appended->sync_ticket);
    if (!durable.ok()) return alive(durable);
    acknowledged_ = sent_;
    return true;
  }

  bool put(const TopicPartition& tp, const std::string& text) {
    auto appended =
        append(*log_, tp, {text}, {.producer = task_, .sequence = sequence_[tp], .transactional = true});
    if (!appended.ok()) return alive(std::move(appended).error());
    ++sequence_[tp];
    return true;
  }

  bool abort() { return put(random_.below(2) == 0 ? kOut0 : kOut1, "aborted") && alive(log_->abort(task_)); }

  bool commit() {
    if (!put(kOut0, value(committed_)) || !put(kOut1, value(committed_))) return false;
    PositionCommit move;
    move.group = "g";
    move.source = kIn;
    move.expected = position_;
    move.next.position = {Offset(committed_ + 1), LeaderEpoch(0)};
    std::vector<TransactionCommit> one{{task_, {move}}};
    ++attempted_;
    Status done = log_->commit(one);
    if (!done.ok()) return alive(done);
    committed_ = attempted_;
    position_ = move.next.position;
    return true;
  }

  LogFixture fixture_;
  SeededRandom random_;
  std::unique_ptr<Log> log_;
  Producer named_, task_;
  int32_t sent_ = 0, acknowledged_ = 0;
  int64_t attempted_ = 0, committed_ = 0;
  std::optional<Position> position_;
  std::map<TopicPartition, int32_t> sequence_;
};

class LogCrash : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }  // every cut is said at kInfo
  void TearDown() override { set_log_level(LogLevel::kInfo); }
};

TEST_F(LogCrash, APowerCutAtAnyOperationLosesNothingAcknowledged) {
  constexpr uint64_t kScript = 11;
  Workload whole(kScript);
  whole.run(40);
  uint64_t operations = whole.fixture().files.operations();
  ASSERT_GT(operations, 200u);
  for (uint64_t cut = 1; cut <= operations && !HasFailure(); ++cut) {
    for (uint64_t seed = 0; seed < 3 && !HasFailure(); ++seed) {
      SCOPED_TRACE("power cut at operation " + std::to_string(cut) + ", disk seed " + std::to_string(seed));
      Workload workload(kScript);
      workload.fixture().files.fail_power_after(cut);
      workload.run(40);
      workload.fixture().files.crash(seed);
      workload.check();
    }
  }
}

TEST_F(LogCrash, ManyCrashesInARowLoseNothingAcknowledged) {
  for (uint64_t seed = 1; seed <= 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Workload workload(seed);
    SeededRandom random(seed * 77);
    for (int life = 0; life < 12 && !HasFailure(); ++life) {
      MemoryFiles& files = workload.fixture().files;
      files.fail_power_after(1 + random.below(400));
      workload.run(30);
      if (random.below(4) == 0 && !files.power_failed()) {
        files.kill_process();
      } else {
        files.crash(random.next());
      }
    }
    workload.check();
  }
}

}  // namespace
}  // namespace tidemill::log
