// The events that everything here is measured with: the simulator's telemetry, 949 bytes each, of 1000
// devices, one in a thousand sent twice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "baseline/topic_content.h"
#include "event/record_batch.h"
#include "log/log.h"
#include "simulate/generator.h"

namespace tidemill::bench {

inline constexpr size_t kBatchBytes = 1u << 20;

// Calls each(value, key, partition, copies) for `events` events.
using EachEvent =
    std::function<void(const simulate::EventGenerator::Text&, int32_t partition, uint32_t copies)>;
simulate::Plan telemetry_plan(uint64_t events, int32_t partitions);
void generate(uint64_t events, int32_t partitions, const EachEvent& each);

// What was sent: every record, and what is left of them without the repeats.
struct Sent {
  baseline::Content all;
  baseline::Content unique;
};

// Unsealed RecordBatch v2 batches of about `batch_bytes`, all for one partition.
struct Batches {
  std::vector<std::string> batches;
  Sent sent;
  uint64_t bytes = 0;  // of the batches
};
Batches make_batches(uint64_t events, size_t batch_bytes = kBatchBytes);

// A log in a directory of its own, emptied first.
std::unique_ptr<log::Log> open_log(const std::string& directory, log::Durability durability);
// Creates the topic (append time) and fills it. Works beside readers of the topic: `before_batch`, where
// given, is called before every append.
Sent fill_topic(log::Log& log, const std::string& topic, int32_t partitions, uint64_t events,
                const std::function<void()>& before_batch = {});
// The directories of a topic's partitions.
std::vector<std::string> partition_directories(const std::string& log_directory, const std::string& topic,
                                               int32_t partitions);

}  // namespace tidemill::bench
