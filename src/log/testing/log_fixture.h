// What tests of the log share: a log on a disk in memory, and short ways to write and read.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "event/record_batch.h"
#include "log/log.h"

namespace tidemill::log::testing_support {

struct BatchOptions {
  Producer producer{};
  int32_t sequence = -1;
  bool transactional = false;
  Compression compression = Compression::kNone;
  int64_t timestamp_ms = 1000;
};

// A batch of one record per value, without checksum unless `sealed`.
inline std::string make_batch(const std::vector<std::string>& values, const BatchOptions& options = {},
                              bool sealed = false) {
  RecordBatchBuilder::Options build;
  build.compression = options.compression;
  build.transactional = options.transactional;
  build.producer_id = options.producer.id;
  build.producer_epoch = options.producer.epoch;
  build.base_sequence = options.sequence;
  RecordBatchBuilder builder(build);
  for (const std::string& value : values) builder.add(options.timestamp_ms, std::nullopt, value);
  auto batch = builder.finish(sealed);
  EXPECT_TRUE(batch.ok());
  return std::move(batch).value();
}

inline Result<Appended> append(Log& log, const TopicPartition& tp, const std::vector<std::string>& values,
                               const BatchOptions& options = {}) {
  std::string batch = make_batch(values, options);
  return log.append(tp, batch, false);
}

template <class T>
T must(Result<T> result) {
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  if (!result.ok()) return T{};
  return std::move(result).value();
}
inline void must(Status status) {
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
}

// Every visible value from `from` on, in order.
inline std::vector<std::string> read_values(Log& log, const TopicPartition& tp,
                                            Isolation isolation = Isolation::kReadCommitted,
                                            Offset from = Offset(0), size_t max_bytes = 4096) {
  std::vector<std::string> values;
  while (true) {
    auto fetched = log.read(tp, from, max_bytes, isolation);
    EXPECT_TRUE(fetched.ok()) << (fetched.ok() ? "" : fetched.error().message);
    if (!fetched.ok()) return values;
    std::string_view bytes = *fetched->batches;
    while (!bytes.empty()) {
      auto header = parse_batch_header(bytes);
      EXPECT_TRUE(header.ok() && header->has_value());
      if (!header.ok() || !header->has_value()) return values;
      std::string_view batch = bytes.substr(0, (*header)->size_bytes());
      EXPECT_TRUE(check_batch(**header, batch).ok());
      std::string scratch;
      std::vector<Record> records;
      EXPECT_TRUE(decode_records(**header, batch, 64u << 20, &scratch, &records).ok());
      for (const Record& record : records) {
        if (record.offset >= from) values.emplace_back(record.value);
      }
      bytes.remove_prefix(batch.size());
    }
    if (fetched->at_end) return values;
    EXPECT_GT(fetched->end.offset, from);
    if (fetched->end.offset <= from) return values;
    from = fetched->end.offset;
  }
}

class LogFixture {
 public:
  MemoryFiles files;
  ManualClock clock;
  SeededRandom random{7};
  Options options;
  std::string directory = "/data/log";

  Result<std::unique_ptr<Log>> try_open() { return Log::open(files, clock, random, directory, options); }
  std::unique_ptr<Log> open() {
    auto log = try_open();
    EXPECT_TRUE(log.ok()) << (log.ok() ? "" : log.error().message);
    return log.ok() ? std::move(log).value() : nullptr;
  }
  std::string path(const TopicPartition& tp, const std::string& name) const {
    return directory + "/" + tp.to_string() + "/" + name;
  }
};

}  // namespace tidemill::log::testing_support
