// Many threads on one log: run under ThreadSanitizer too.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <thread>

#include "log/log.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;

// Producers, transactions, readers, retention and housekeeping at once: every reader sees every
// committed event once and in order.
TEST(LogConcurrency, ThreadsOfProducersAndReadersSeeEveryEventOnceInOrder) {
  constexpr int kProducers = 3;
  constexpr int kBatches = 120;
  LogFixture fixture;
  fixture.options.segment_bytes = 5000;
  fixture.options.sync_threads = 3;
  auto log = fixture.open();
  must(log->create_topic("t", {.partitions = 2}));
  std::atomic<int> running{2 * kProducers};
  std::vector<std::thread> threads;
  for (int p = 0; p < kProducers; ++p) {
    threads.emplace_back([&, p] {
      Producer producer = must(log->init_idempotent("plain" + std::to_string(p)));
      for (int i = 0; i < kBatches; ++i) {
        TopicPartition tp{"t", Partition(p % 2)};
        auto appended = must(append(*log, tp, {"p" + std::to_string(p) + " " + std::to_string(i)},
                                    {.producer = producer, .sequence = i}));
        must(log->wait_durable(appended.sync_ticket));
      }
      --running;
    });
    threads.emplace_back([&, p] {
      Producer producer = must(log->init_transactional("task" + std::to_string(p)));
      std::optional<Position> position;
      for (int i = 0; i < kBatches; ++i) {
        for (int partition = 0; partition < 2; ++partition) {
          must(append(*log, {"t", Partition(partition)}, {"t" + std::to_string(p) + " " + std::to_string(i)},
                      {.producer = producer, .sequence = i, .transactional = true}));
        }
        PositionCommit move;
        move.group = "task" + std::to_string(p);
        move.source = {"in", Partition(0)};
        move.expected = position;
        move.next.position = {Offset(i + 1), LeaderEpoch(0)};
        std::vector<TransactionCommit> one{{producer, {move}}};
        must(log->commit(one));
        position = move.next.position;
      }
      --running;
    });
  }
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      TopicPartition tp{"t", Partition(r)};
      std::map<std::string, int> next;
      Offset from(0);
      uint64_t seen = 0;
      bool last_look = false;
      while (true) {
        Fetched fetched = must(log->read(tp, from, 2000, Isolation::kReadCommitted));
        std::string_view bytes = *fetched.batches;
        while (!bytes.empty()) {
          auto header = parse_batch_header(bytes);
          std::string scratch;
          std::vector<Record> records;
          must(decode_records(**header, bytes.substr(0, (*header)->size_bytes()), 1 << 20, &scratch,
                              &records));
          for (const Record& record : records) {
            std::string text(record.value);
            size_t space = text.find(' ');
            EXPECT_EQ(std::stoi(text.substr(space + 1)), next[text.substr(0, space)]++) << text;
          }
          bytes.remove_prefix((*header)->size_bytes());
        }
        from = fetched.end.offset;
        if (!fetched.at_end) continue;
        if (last_look) break;
        last_look = running == 0;
        if (!last_look) seen = log->wait_visible(seen, 1000);
      }
      for (int p = 0; p < kProducers; ++p) EXPECT_EQ(next["t" + std::to_string(p)], kBatches);
      for (int p = r; p < kProducers; p += 2) EXPECT_EQ(next["p" + std::to_string(p)], kBatches);
    });
  }
  threads.emplace_back([&] {
    while (running > 0) {
      fixture.clock.advance_us(1'000'000);
      must(log->housekeep());
      must(log->create_topic("u", {}));
      must(log->delete_topic("u"));
    }
  });
  for (std::thread& thread : threads) thread.join();
  must(log->close());
  for (int p = 0; p < kProducers; ++p) {
    EXPECT_EQ(log->committed_position("task" + std::to_string(p), {"in", Partition(0)})->position.offset,
              Offset(kBatches));
  }
}

// A takeover in the middle of another thread's transactions: the old owner is fenced, and what it
// had not committed is never seen.
TEST(LogConcurrency, AThreadThatTakesOverFencesTheOldOwner) {
  LogFixture fixture;
  auto log = fixture.open();
  must(log->create_topic("t", {}));
  TopicPartition tp{"t", Partition(0)};
  std::atomic<int> committed{0};
  std::atomic<bool> fenced{false};
  Producer first = must(log->init_transactional("task"));
  std::thread owner([&] {
    for (int i = 0;; ++i) {
      auto appended = append(*log, tp, {"old"}, {.producer = first, .sequence = i, .transactional = true});
      std::vector<TransactionCommit> one{{first, {}}};
      Status done = appended.ok() ? log->commit(one) : Status(appended.error());
      if (!done.ok()) {
        EXPECT_EQ(done.error().code, Code::kFenced) << done.error().message;
        fenced = true;
        return;
      }
      ++committed;
    }
  });
  uint64_t seen = 0;
  while (committed < 20) seen = log->wait_visible(seen, 1000);
  must(log->init_transactional("task"));
  owner.join();
  EXPECT_TRUE(fenced);
  EXPECT_EQ(read_values(*log, tp).size(), static_cast<size_t>(committed));
}

// The same in real files with the system's clock, as an owner has it: everything that may happen to a log at
// once, held against what must be true of each reader.
class LogConcurrencyInFiles : public ::testing::Test {
 protected:
  static constexpr int kPartitions = 2;

  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("tidemill-log-threads-" + std::to_string(::getpid()));
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    Options options;
    options.sync_threads = 3;
    options.segment_bytes = 6000;
    log_ = must(Log::open(FileSystem::posix(), Clock::system(), random_, directory_ / "log", options));
    // Retention deletes all but the newest segments, and a reader holds it back now and then.
    must(log_->create_topic("t", {.partitions = kPartitions, .retention_bytes = 30'000}));
  }
  void TearDown() override {
    log_.reset();
    std::filesystem::remove_all(directory_);
  }

  // "name number" of each record that is visible from `*from` on, in order; false at the end.
  bool read_on(const TopicPartition& tp, Offset* from, std::vector<std::pair<std::string, int>>* found) {
    auto fetched = log_->read(tp, *from, 3000, Isolation::kReadCommitted);
    if (!fetched.ok()) {
      // Retention or delete_records was faster.
      EXPECT_EQ(fetched.error().code, Code::kOutOfRange) << fetched.error().message;
      *from = std::max(*from, must(log_->partition(tp)).log_start);
      return true;
    }
    std::string_view bytes = *fetched->batches;
    while (!bytes.empty()) {
      auto header = must(parse_batch_header(bytes));
      std::string scratch;
      std::vector<Record> records;
      must(decode_records(*header, bytes.substr(0, header->size_bytes()), 1 << 20, &scratch, &records));
      for (const Record& record : records) {
        std::string text(record.value);
        size_t space = text.find(' ');
        found->emplace_back(text.substr(0, space), std::stoi(text.substr(space + 1)));
      }
      bytes.remove_prefix(header->size_bytes());
    }
    EXPECT_GE(fetched->end.offset, *from);
    *from = fetched->end.offset;
    return !fetched->at_end;
  }

  void produce(const std::string& name, int count) {
    Producer producer = must(log_->init_idempotent(name));
    for (int i = 0; i < count; ++i) {
      TopicPartition tp{"t", Partition(i % kPartitions)};
      auto appended = must(append(*log_, tp, {name + " " + std::to_string(i)},
                                  {.producer = producer,
                                   .sequence = i / kPartitions,
                                   .compression = static_cast<Compression>(i % 5)}));
      must(log_->wait_durable(appended.sync_ticket));
    }
  }
  // Every third transaction is aborted: nobody may ever see its events.
  void transact(const std::string& name, int count) {
    Producer producer = must(log_->init_transactional(name));
    int sequence = 0;
    for (int i = 0; i < count; ++i, ++sequence) {
      bool aborted = i % 3 == 2;
      for (int partition = 0; partition < kPartitions; ++partition) {
        must(append(*log_, {"t", Partition(partition)},
                    {(aborted ? "aborted " : name + " ") + std::to_string(i)},
                    {.producer = producer, .sequence = sequence, .transactional = true}));
      }
      if (aborted) {
        must(log_->abort(producer));
        continue;
      }
      std::vector<TransactionCommit> one{{producer, {}}};
      must(log_->commit(one));
    }
  }
  // Numbers of one producer only rise, whatever was deleted in between.
  void follow(int partition, const std::atomic<bool>& going) {
    TopicPartition tp{"t", Partition(partition)};
    std::map<std::string, int> last;
    Offset from(0);
    uint64_t seen = 0;
    bool last_look = false;
    while (true) {
      std::vector<std::pair<std::string, int>> found;
      bool more = read_on(tp, &from, &found);
      for (const auto& [name, number] : found) {
        EXPECT_NE(name, "aborted");
        auto [at, first] = last.try_emplace(name, number);
        EXPECT_TRUE(first || at->second < number) << name << " " << number;
        at->second = number;
      }
      log_->hold_retention("reader " + std::to_string(partition), {{tp, from}});
      if (more) continue;
      if (last_look) break;
      last_look = !going;
      if (!last_look) seen = log_->wait_visible(seen, 1000);
    }
    log_->hold_retention("reader " + std::to_string(partition), {});
  }

  SeededRandom random_{3};
  std::filesystem::path directory_;
  std::unique_ptr<Log> log_;
};

TEST_F(LogConcurrencyInFiles, ThreadsThatAppendCommitReadRetainAndDeleteAtOnce) {
  constexpr int kCount = 200;
  std::atomic<bool> going{true};
  std::vector<std::thread> readers;
  for (int partition = 0; partition < kPartitions; ++partition)
    readers.emplace_back([&, partition] { follow(partition, going); });
  // Reads old and new by time and by epoch, and looks at everything.
  readers.emplace_back([&] {
    while (going) {
      for (int partition = 0; partition < kPartitions; ++partition) {
        TopicPartition tp{"t", Partition(partition)};
        PartitionInfo info = must(log_->partition(tp));
        EXPECT_LE(info.log_start, info.log_end);
        EXPECT_LE(info.last_stable, info.high_watermark);
        (void)log_->offset_for_time(tp, 0).ok();
        must(log_->leader_epoch_end(tp, info.leader_epoch));
        Offset from = info.log_start;
        std::vector<std::pair<std::string, int>> found;
        read_on(tp, &from, &found);
      }
    }
  });
  readers.emplace_back([&] {
    for (int round = 0; going; ++round) {
      must(log_->housekeep());
      TopicPartition tp{"t", Partition(round % kPartitions)};
      PartitionInfo info = must(log_->partition(tp));
      // Behind what a pipeline holds no reader is hurt; here they are asked to cope.
      if (round % 8 == 0)
        must(log_->delete_records(tp, info.log_start.next(info.last_stable.since(info.log_start) / 2)));
      must(log_->create_topic("other", {}));
      must(append(*log_, {"other", Partition(0)}, {"x 1"}));
      must(log_->delete_topic("other"));
    }
  });
  std::vector<std::thread> writers;
  for (const char* name : {"plain-1", "plain-2"}) writers.emplace_back([&, name] { produce(name, kCount); });
  for (const char* name : {"task-1", "task-2"})
    writers.emplace_back([&, name] { transact(name, kCount / 2); });
  for (std::thread& writer : writers) writer.join();
  going = false;
  for (std::thread& reader : readers) reader.join();
  must(log_->housekeep());
  EXPECT_GT(must(log_->partition({"t", Partition(0)})).log_start, Offset(0));
  must(log_->close());
}

}  // namespace
}  // namespace tidemill::log
