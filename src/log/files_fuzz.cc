// The files beside the segments, of any bytes: topics, checkpoints, indexes, producer snapshots. Opening
// refuses them with their name or makes them anew; what was acknowledged is there or was reported as lost,
// and nothing crashes.
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/logging.h"
#include "base/testing/fuzzing.h"
#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "log/log.h"

using namespace tidemill;
using namespace tidemill::log;

namespace {

const TopicPartition kT0{"t", Partition(0)};
const std::string kDirectory = "/log";
constexpr int kRecords = 40;

Options small_options() {
  Options options;
  options.index_interval_bytes = 100;
  options.segment_bytes = 1500;
  return options;
}

std::map<std::string, std::string> sample_files(bool closed) {
  MemoryFiles files;
  ManualClock clock;
  SeededRandom random(1);
  auto log = Log::open(files, clock, random, kDirectory, small_options()).value();
  TM_CHECK(log->create_topic("t", {.partitions = 1, .timestamp_type = TimestampType::kCreateTime}).ok());
  Producer plain = log->init_idempotent("plain").value();
  Producer task = log->init_transactional("task").value();
  for (int i = 0; i < kRecords; ++i) {
    bool transactional = i % 4 == 0;
    Producer producer = transactional ? task : plain;
    RecordBatchBuilder builder({.transactional = transactional,
                                .producer_id = producer.id,
                                .producer_epoch = producer.epoch,
                                .base_sequence = transactional ? i / 4 : i - i / 4 - 1});
    builder.add(1000 + i, "key", "value " + std::to_string(i));
    std::string bytes = builder.finish(false).value();
    auto appended = log->append(kT0, bytes, false);
    TM_CHECK(appended.ok() && log->wait_durable(appended->sync_ticket).ok());
    if (transactional && i % 8 == 0) TM_CHECK(log->abort(task).ok());
    if (transactional && i % 8 == 4) TM_CHECK(log->commit(std::vector<TransactionCommit>{{task, {}}}).ok());
    clock.advance_us(1'000'000);
    if (i % 5 == 0) TM_CHECK(log->housekeep().ok());
  }
  if (closed) TM_CHECK(log->close().ok());
  std::map<std::string, std::string> found;
  for (const std::string& path : files.paths()) found[path] = files.content(path);
  return found;
}

// The first byte of an input chooses the file, the rest is its content.
struct Sample {
  std::map<std::string, std::string> files;
  std::vector<std::string> names;
};

std::string check(Log& log) {
  auto info = log.partition(kT0);
  if (!info.ok()) return info.error().code == Code::kNotFound ? "" : info.error().message;
  for (Isolation isolation : {Isolation::kReadCommitted, Isolation::kReadUncommitted}) {
    Offset from = info->log_start;
    while (true) {
      auto fetched = log.read(kT0, from, 300, isolation);
      if (!fetched.ok()) return fetched.error().code == Code::kCorrupt ? "" : fetched.error().message;
      if (fetched->at_end) break;
      if (fetched->end.offset <= from) return "a read does not get on";
      from = fetched->end.offset;
    }
  }
  for (int64_t time : {0, 1000, 1020, 99'999}) {
    auto offset = log.offset_for_time(kT0, time);
    if (!offset.ok() && offset.error().code != Code::kCorrupt) return offset.error().message;
  }
  for (int32_t epoch = 0; epoch < 3; ++epoch) (void)log.leader_epoch_end(kT0, LeaderEpoch(epoch)).ok();
  RecordBatchBuilder builder({.producer_id = 999'999, .producer_epoch = 0, .base_sequence = 0});
  builder.add(5000, "key", "after");
  std::string bytes = builder.finish(false).value();
  auto appended = log.append(kT0, bytes, false);
  if (!appended.ok()) return "append after opening: " + appended.error().message;
  if (Status kept = log.housekeep(); !kept.ok()) return "housekeep: " + kept.error().message;
  if (Status closed = log.close(); !closed.ok()) return "close: " + closed.error().message;
  return "";
}

// The checksum lines of our own text files, and the CRC of producer snapshots.
void seal_file(const std::string& name, std::string& content) {
  size_t line = content.rfind("crc32c ");
  if (line != std::string::npos && (line == 0 || content[line - 1] == '\n')) {
    char text[32];
    std::snprintf(text, sizeof text, "crc32c %08x\n", crc32c(std::string_view(content).substr(0, line)));
    content.replace(line, std::string::npos, text);
  }
  constexpr size_t kCrcAt = 2;
  if (name.ends_with(".snapshot") && content.size() >= kCrcAt + 4)
    store_be(content.data() + kCrcAt, crc32c(std::string_view(content).substr(kCrcAt + 4)));
}

std::string run(const Sample (&samples)[2], std::string_view input, SeededRandom& random) {
  if (input.empty()) return "";
  const Sample& sample = samples[random.below(2)];
  const std::string& name = sample.names[static_cast<uint8_t>(input[0]) % sample.names.size()];
  MemoryFiles files;
  ManualClock clock;
  for (const auto& [path, content] : sample.files) {
    if (!files.create_directories(parent_path(path)).ok()) return "create_directories";
    files.set_content(path, content);
  }
  std::string content(input.substr(1));
  if (random.below(4) != 0) seal_file(name, content);
  files.set_content(name, content);
  auto log = Log::open(files, clock, random, kDirectory, small_options());
  if (log.ok()) {
    std::string problem = check(**log);
    return problem.empty() ? "" : name + ": " + problem;
  }
  // kExists: files of a topic that is not there any more.
  Code code = log.error().code;
  bool told = code == Code::kCorrupt || code == Code::kInvalid || code == Code::kExists;
  return told ? "" : name + ": " + log.error().message;
}

}  // namespace

int main(int argc, char** argv) {
  set_log_level(LogLevel::kOff);
  Sample samples[2];
  testing::FuzzTarget target;
  for (bool closed : {false, true}) {
    Sample& sample = samples[closed ? 1 : 0];
    sample.files = sample_files(closed);
    for (const auto& [path, content] : sample.files) {
      if (!path.ends_with(".log")) sample.names.push_back(path);
    }
    for (size_t i = 0; i < sample.names.size(); ++i)
      target.corpus.push_back(std::string(1, static_cast<char>(i)) + sample.files[sample.names[i]]);
  }
  using namespace std::string_view_literals;
  target.dictionary = {"\n"sv,
                       " "sv,
                       "0"sv,
                       "-1"sv,
                       "9223372036854775807"sv,
                       "9223372036854775808"sv,
                       "2147483648"sv,
                       "topic "sv,
                       "t 0 "sv,
                       "\x7f\xff\xff\xff"sv,
                       "\0\0\0\0"sv,
                       "live"sv,
                       "deleting"sv};
  target.run = [&samples](std::string_view input, SeededRandom& random) {
    return run(samples, input, random);
  };
  return testing::fuzz(argc, argv, std::move(target));
}
