// A segment of any bytes: opening reports damage or cuts a torn tail, never crashes, and what it
// then serves is whole; what is repaired opens.
#include "base/bytes.h"
#include "base/logging.h"
#include "base/testing/fuzzing.h"
#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "log/log.h"
#include "log/repair.h"

using namespace tidemill;
using namespace tidemill::log;

namespace {

const TopicPartition kT0{"t", Partition(0)};
const std::string kDirectory = "/log";

Options small_options() {
  Options options;
  options.index_interval_bytes = 100;
  return options;
}

std::string batch(int number, bool transactional) {
  RecordBatchBuilder::Options options;
  options.compression = static_cast<Compression>(number % 5);
  options.transactional = transactional;
  options.producer_id = transactional ? 0 : 500 + number;
  options.producer_epoch = 0;
  options.base_sequence = number;
  RecordBatchBuilder builder(options);
  for (int i = 0; i <= number % 4; ++i) builder.add(1000 + number, "key", "value " + std::to_string(number));
  return builder.finish(false).value();
}

// A log that was not closed, with plain and transactional batches and markers in one segment.
std::map<std::string, std::string> sample_files() {
  MemoryFiles files;
  ManualClock clock;
  SeededRandom random(1);
  auto log = Log::open(files, clock, random, kDirectory, small_options()).value();
  TM_CHECK(log->create_topic("t", {.partitions = 1, .timestamp_type = TimestampType::kCreateTime}).ok());
  Producer producer = log->init_transactional("task").value();
  int32_t sequence = 0;
  for (int i = 0; i < 12; ++i) {
    bool transactional = i % 3 == 0;
    std::string bytes = batch(i, transactional);
    if (transactional) set_batch_producer(bytes.data(), producer.id, producer.epoch, sequence);
    if (transactional) sequence += 1 + i % 4;
    auto appended = log->append(kT0, bytes, false);
    TM_CHECK(appended.ok() && log->wait_durable(appended->sync_ticket).ok());
    if (i % 6 == 0) TM_CHECK(log->abort(producer).ok());
    if (i % 6 == 3) TM_CHECK(log->commit(std::vector<TransactionCommit>{{producer, {}}}).ok());
  }
  std::map<std::string, std::string> found;
  for (const std::string& path : files.paths()) found[path] = files.content(path);
  return found;
}

// Makes the checksums right again, as far as lengths lead, so that what is behind them is reached.
void seal_all(std::string& segment) {
  using namespace record_batch_layout;
  for (size_t at = 0; segment.size() - at >= kRecords;) {
    auto size = static_cast<int64_t>(load_be<int32_t>(segment.data() + at + kLength)) + int64_t{kLogOverhead};
    if (size < static_cast<int64_t>(kRecords) || size > static_cast<int64_t>(segment.size() - at)) return;
    seal_batch(segment.data() + at, static_cast<size_t>(size));
    at += static_cast<size_t>(size);
  }
}

std::string check_reads(Log& log) {
  PartitionInfo info = log.partition(kT0).value();
  for (Isolation isolation : {Isolation::kReadCommitted, Isolation::kReadUncommitted}) {
    Offset from = info.log_start;
    while (true) {
      auto fetched = log.read(kT0, from, 300, isolation);
      if (!fetched.ok()) return fetched.error().code == Code::kCorrupt ? "" : fetched.error().message;
      if (fetched->at_end) break;
      if (fetched->end.offset <= from) return "a read does not get on";
      from = fetched->end.offset;
    }
  }
  if (!log.offset_for_time(kT0, 1005).ok()) return "offset_for_time failed";
  std::string bytes = batch(3, false);
  set_batch_producer(bytes.data(), 999, 0, 0);
  auto appended = log.append(kT0, bytes, false);
  if (!appended.ok()) return "append after recovery: " + appended.error().message;
  return "";
}

std::string run(const std::map<std::string, std::string>& sample, std::string_view input,
                SeededRandom& random) {
  MemoryFiles files;
  ManualClock clock;
  if (!files.create_directories(kDirectory + "/t-0").ok()) return "create_directories";
  if (!files.create_directories(kDirectory + "/__transactions-0").ok()) return "create_directories";
  for (const auto& [path, content] : sample) files.set_content(path, content);
  bool own = random.below(4) == 0;
  files.set_content(kDirectory + (own ? "/__transactions-0/" : "/t-0/") + "00000000000000000000.log",
                    std::string(input));
  for (bool repaired : {false, true}) {
    auto log = Log::open(files, clock, random, kDirectory, small_options());
    if (log.ok()) {
      std::string problem = check_reads(**log);
      if (!problem.empty()) return problem;
      continue;
    }
    if (log.error().code != Code::kCorrupt && log.error().code != Code::kInvalid) return log.error().message;
    // Batches that are whole but mean nothing (a control batch without a marker) are not damage.
    if (repaired) return "";
    for (const std::string& topic : {std::string("t"), std::string("__transactions")}) {
      auto cut = repair_partition(files, kDirectory, {topic, Partition(0)});
      if (!cut.ok()) return "repair: " + cut.error().message;
    }
    auto left = inspect_damage(files, kDirectory);
    if (!left.ok() || !left->empty()) return "repair left damage";
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  set_log_level(LogLevel::kOff);
  std::map<std::string, std::string> sample = sample_files();
  testing::FuzzTarget target;
  target.corpus.push_back(sample[kDirectory + "/t-0/00000000000000000000.log"]);
  target.corpus.push_back(sample[kDirectory + "/__transactions-0/00000000000000000000.log"]);
  target.dictionary = {std::string_view("\0\0\0\0\0\0\0\0", 8), std::string_view("\x7f\xff\xff\xff", 4),
                       std::string_view("\xff\xff\xff\xff", 4), std::string_view("\x02", 1)};
  target.seal = seal_all;
  target.run = [&sample](std::string_view input, SeededRandom& random) { return run(sample, input, random); };
  return testing::fuzz(argc, argv, std::move(target));
}
