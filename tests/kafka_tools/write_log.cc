// Writes a log of every kind that Kafka's dump-log must read: all codecs, plain and transactional
// batches, commits and aborts, several segments with their indexes, both timestamp types.
//
//   kafka_tools_write_log <directory>
#include <cstdio>

#include "base/random.h"
#include "event/record_batch.h"
#include "log/log.h"

using namespace tidemill;
using namespace tidemill::log;

namespace {

template <class T>
T must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  std::exit(1);
}
void must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

std::string batch(int number, Producer producer, int32_t sequence, bool transactional) {
  RecordBatchBuilder::Options options;
  options.compression = static_cast<Compression>(number % 5);
  options.transactional = transactional;
  options.producer_id = producer.id;
  options.producer_epoch = producer.epoch;
  options.base_sequence = sequence;
  RecordBatchBuilder builder(options);
  std::string headers = encode_headers({{"trace", "abc"}, {"none", std::nullopt}});
  for (int i = 0; i < 5; ++i) {
    // Timestamps that do not rise: the time index keeps the largest so far.
    int64_t timestamp_ms = 1'700'000'000'000 + (number % 7) * 1000 + number * 10 + i;
    builder.add(timestamp_ms, i % 2 == 0 ? std::optional<std::string_view>("key") : std::nullopt,
                "value " + std::to_string(number) + std::string(static_cast<size_t>(60 + 10 * i), 'v'),
                headers);
  }
  return must(builder.finish(false));
}

void write(Log& log, const std::string& topic, int round) {
  TopicPartition tp{topic, Partition(0)};
  Producer plain = must(log.init_idempotent(topic));
  Producer task = must(log.init_transactional(topic));
  int32_t sequence = must(log.last_sequence(tp, plain)).value_or(-1) + 1;
  for (int i = 0; i < 200; ++i) {
    int number = round * 200 + i;
    bool transactional = i % 4 == 3;
    std::string bytes =
        transactional ? batch(number, task, 5 * (i / 4), true) : batch(number, plain, sequence, false);
    if (!transactional) sequence += 5;
    Appended appended = must(log.append(tp, bytes, false));
    must(log.wait_durable(appended.sync_ticket));
    if (i % 24 == 11) must(log.abort(task));
    if (i % 24 == 23) must(log.commit(std::vector<TransactionCommit>{{task, {}}}));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  Options options;
  options.segment_bytes = 30'000;
  options.index_interval_bytes = 2'000;
  // Twice after a clean shutdown, and once without one.
  for (int round = 0; round < 3; ++round) {
    auto log = must(Log::open(FileSystem::posix(), Clock::system(), Random::system(), argv[1], options));
    must(log->create_topic("create-time", {.partitions = 1, .timestamp_type = TimestampType::kCreateTime}));
    must(log->create_topic("append-time", {.partitions = 1}));
    write(*log, "create-time", round);
    write(*log, "append-time", round);
    if (round < 2) must(log->close());
  }
  auto log = must(Log::open(FileSystem::posix(), Clock::system(), Random::system(), argv[1], options));
  must(log->close());
  return 0;
}
