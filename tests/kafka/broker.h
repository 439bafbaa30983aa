// The broker that kafka.py has started: TIDEMILL_KAFKA says where.
#pragma once

#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "event/record_batch.h"
#include "kafka/admin.h"
#include "kafka/reader.h"

namespace tidemill {

inline kafka::Connection broker() {
  kafka::Connection connection;
  const char* address = std::getenv("TIDEMILL_KAFKA");
  connection.brokers = address == nullptr ? "" : address;
  return connection;
}

// Topics are deleted some time after they are asked to be: each store has names of its own.
inline std::string fresh(const std::string& what) {
  static const uint64_t run = Random::system().next() % 1'000'000;
  static std::atomic<int> next{0};
  return what + "-" + std::to_string(run) + "-" + std::to_string(next++);
}

inline Status for_each_record(const std::string& topic,
                              const std::function<void(int32_t, const Record&)>& each) {
  TM_ASSIGN(auto admin, kafka::Admin::open(broker()));
  TM_ASSIGN(int32_t partitions, admin->partition_count(topic));
  for (int32_t p = 0; p < partitions; ++p) {
    const TopicPartition tp{topic, Partition(p)};
    TM_ASSIGN(auto begin, admin->offsets({tp}, {kafka::OffsetQuery::kEarliest, 0}));
    TM_ASSIGN(auto end, admin->offsets({tp}, {kafka::OffsetQuery::kEnd, 0}));
    TM_TRY(kafka::read_range(broker(), tp, begin.front().offset, end.front().offset,
                             [&](const Record& record) -> Status {
                               each(p, record);
                               return {};
                             }));
  }
  return {};
}

inline std::map<std::string, std::string> headers_of(const Record& record) {
  std::map<std::string, std::string> headers;
  std::vector<RecordHeader> decoded = decode_headers(record.headers).value();
  for (RecordHeader& header : decoded) headers[header.key] = header.value.value_or("(null)");
  return headers;
}

}  // namespace tidemill
