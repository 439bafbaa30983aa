// A pipeline that was checked and planned, before anything runs: which fields are decoded, in which
// order operators act, what the guarantee is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "event/json_decoder.h"
#include "pipeline/guarantee.h"
#include "pipeline/operator.h"

namespace tidemill::pipeline {

struct Plan {
  Schema event_schema;  // as the solution file has it
  Schema sink_schema;   // with what operators added
  DecodePlan decode;
  bool decodes = false;  // false: events are passed on as they came, unchecked
  std::vector<std::unique_ptr<Operator>> operators;
  bool stateful = false;
  int64_t every_us = 0;  // of the intervals of its last operator, which an epoch is then one of; 0: none
  // The decoded column that latency is measured from; empty: none.
  std::string time_field;
};

// Binds the operators one after another and collects what they and the sink need. `needs` is the sink's.
// Errors are the operators', or a field that the sink needs and nobody has.
Result<Plan> make_plan(Schema schema, std::vector<std::unique_ptr<Operator>> operators,
                       const SinkNeeds& needs, size_t event_limit_bytes = kDefaultEventLimitBytes);

}  // namespace tidemill::pipeline
