// Appends to the embedded log beside plain write() of the same batches, in turns of 128 MB.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "baseline/append.h"
#include "support/measure.h"
#include "support/solution_run.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

const std::string kTopic = "append";
constexpr size_t kTurn = (128u << 20) / kBatchBytes;

void append_to_log(log::Log& log, log::Producer producer, std::vector<std::string>& batches,
                   int32_t* sequence) {
  for (std::string& batch : batches) {
    set_batch_producer(batch.data(), producer.id, producer.epoch, *sequence);
    log::Appended appended = must(log.append({kTopic, Partition(0)}, batch, false));
    must(log.wait_durable(appended.sync_ticket));
    *sequence += static_cast<int32_t>(appended.last.since(appended.first) + 1);
  }
}

// Turns until `most` batches were appended by each of the two.
void compare(const Options& options, const Batches& made, size_t most, bool sync, Row* row) {
  const std::string directory = options.directory + "/append";
  auto log = open_log(directory, sync ? log::Durability::kSync : log::Durability::kNone);
  must(log->create_topic(kTopic, {}));
  log::Producer producer = must(log->init_idempotent());
  baseline::PlainFile plain(directory + "/plain");
  int32_t sequence = 0;
  Pair pair;
  {
    Housekeeping housekeeping(*log);
    for (size_t at = 0; at < most; at += kTurn) {
      // A copy, made outside of the time: the log patches its batches.
      auto first = made.batches.begin() + static_cast<ptrdiff_t>(at);
      std::vector<std::string> batches(first, first + static_cast<ptrdiff_t>(std::min(kTurn, most - at)));
      pair.baseline.push_back(measure([&] {
        for (const std::string& batch : batches) {
          plain.write(batch);
          if (sync) plain.sync();
        }
      }));
      pair.ours.push_back(measure([&] { append_to_log(*log, producer, batches, &sequence); }));
    }
  }
  must(log->close());
  auto held = baseline::read_topic(partition_directories(directory, kTopic, 1), false);
  baseline::Content expected;
  for (size_t i = 0; i < most; ++i) baseline::add_batch(made.batches[i], &expected);
  require(held == expected, "the log holds what was appended");

  const By by = sync ? By::kWall : By::kCpu;
  const double turn_bytes =
      static_cast<double>(made.bytes) / static_cast<double>(made.batches.size()) * kTurn;
  row->unit = sync ? "MB/s" : "MB/s/core";
  row->ours = rate(pair.ours, turn_bytes / 1e6, by);
  row->baseline = rate(pair.baseline, turn_bytes / 1e6, by);
  row->ratio = speed_ratio(pair, by);
  row->checks = {{"ratio", *row->ratio, true, 0.8}};
  log.reset();
  std::filesystem::remove_all(directory);
}

void run(const Options& options) {
  Batches made = make_batches(options.events);
  say(fmt::format("append: {} batches of {} bytes", made.batches.size(), made.bytes / made.batches.size()));
  Row none;
  none.path = "append to the log, durability none";
  none.note = "baseline: write() of the same batches of 1 MB; CPU time";
  compare(options, made, made.batches.size(), false, &none);
  print(none);
  Row sync;
  sync.path = "append to the log, durability sync";
  sync.note = "baseline: write() and fdatasync() of each of the same batches of 1 MB; elapsed time";
  compare(options, made, made.batches.size(), true, &sync);
  print(sync);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
