// Appends to a topic in Kafka: acks from all in-sync replicas, idempotent.
//
// Kafka keeps no name of a producer without transactions. So each record carries a header `tidemill-sent`
// with its producer's name and its sequence number there: after a restart the end of each partition says what
// it holds.
#pragma once

#include <cstdint>
#include <functional>

#include "kafka/connection.h"
#include "simulate/appender.h"

namespace tidemill::simulate {

inline constexpr const char* kSentHeader = "tidemill-sent";

// `acknowledged(records, bytes)` is called for each batch that Kafka took.
AppenderFactory kafka_appenders(const kafka::Connection& connection,
                                std::function<void(uint64_t records, uint64_t bytes)> acknowledged);

}  // namespace tidemill::simulate
