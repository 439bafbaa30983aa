// Many threads on one log: run under ThreadSanitizer too.
#include <gtest/gtest.h>

#include <atomic>
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

}  // namespace
}  // namespace tidemill::log
