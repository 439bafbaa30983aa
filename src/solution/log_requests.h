// Requests about the topics of a run, answered by its owner: listing, reading, following, appending. What is
// in Kafka is read there; appended to is the log only.
#pragma once

#include <atomic>

#include "log/log.h"
#include "solution/socket.h"
#include "solution/topic_reader.h"

namespace tidemill::solution {

// Verbs (arguments → answer):
//   log.topics        format=table|json, all=0|1     → a line per partition
//   log.read          topic, partition (-1: all), from (offset, earliest, latest, or ISO time), max,
//   follow=0|1,
//                     format=values|events|json|batches → text
//   log.init          name                            → producer id, epoch (two decimal numbers)
//   log.last_sequence topic, partition, id, epoch     → decimal number, or nothing
//   log.append        topic, partition; body: a sealed batch → first offset, last offset, sync ticket
//   log.wait          topic, ticket                   → nothing, once it is durable; retryable where another
//                                                     owner gave the ticket
//   log.end           topic, partition                → partition's visible end, log end
//   log.partitions    topic                           → number of partitions
// kNotFound for a verb that is none of these.
Status answer_log_request(log::Log& log, const std::vector<KafkaTopic>& in_kafka, Request& request,
                          const Reply& reply, const std::atomic<bool>& gone,
                          const std::function<void(uint64_t records, uint64_t bytes)>& on_append);

}  // namespace tidemill::solution
