// The topics between the pipelines of a solution: a step that divides it is written to by what stands before
// it and read by what follows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "solution/config.h"

namespace tidemill::solution {

// What a topic between two stages of a pipeline is called that is rekeyed by a field, unless it is told.
std::string rekeyed_topic(const Solution& solution, const std::string& by);

struct BetweenTopic {
  std::string name;
  std::string dead_letters;  // topic of what cannot be written to it
  std::string pipeline;      // the name of the one that writes it
  std::string rekey;         // the field that it is partitioned by; empty: its events keep their keys
  int32_t partitions = 0;    // 0: as many as the source has
  bool in_kafka = false;     // in the cluster that the solution reads; else in the embedded log
};

// nullopt: the step divides nothing.
std::optional<BetweenTopic> topic_before(const Solution& solution, const OperatorConfig& step);
// In the order in which events take them.
std::vector<BetweenTopic> between_topics(const Solution& solution);

// Whether the topic is one of them, of a rekey.
bool is_rekeyed(const Solution& solution, const std::string& topic);

// What `check` has to say of a dedup behind a rekey through Kafka; empty: nothing.
std::string rekey_note(const Solution& solution);
// What `check` says of a horizon whose time producers of a topic in Kafka may choose; empty: nothing.
std::string horizon_note(const Solution& solution);

}  // namespace tidemill::solution
