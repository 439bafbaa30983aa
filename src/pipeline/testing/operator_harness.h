// The harness that every operator passes. It runs one operator over the same events again and again
// and demands what the contract (pipeline/operator.h) demands:
//
//   - batches of 1, 2, 7 and all events give the same output, dead letters and drops
//   - a restart (snapshot, fresh instance, apply) between any two steps changes nothing
//   - the deltas of the steps, applied to a fresh instance after every step, give the identical
//     snapshot and identical further output
//   - an outbox that is full at any moment changes nothing, and nothing is done twice
//   - another wall clock changes no decision: the same rows are emitted, dropped and dead
//   - deltas with flipped bytes are refused or applied, never undefined behaviour (run it with sanitizers)
//   - where `one_to_one`: every row that went in is emitted, dropped or dead, once
//
// It needs no test framework: tests of any module may use it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/operator.h"

namespace tidemill::pipeline {

struct HarnessEvent {
  std::optional<std::string> key;
  std::string value;  // JSON
  int64_t timestamp_ms = 0;
};

struct OperatorCase {
  // A new, unbound operator at every call.
  std::function<Result<std::unique_ptr<Operator>>()> make;
  Schema schema;
  // Event i has offset first_offset + i.
  std::vector<HarnessEvent> events;
  int64_t first_offset = 1000;
  TopicPartition source{"harness", Partition(3)};
  bool one_to_one = true;
};

// One event that came out.
struct HarnessRow {
  int64_t offset = 0;
  std::string value;    // the record's bytes
  std::string columns;  // every column: "name=value name=value"
  std::string added;    // what a JSON sink would splice in
};

// One event that went to the dead letter.
struct HarnessDead {
  int64_t offset = 0;
  std::string reason;
  auto operator<=>(const HarnessDead&) const = default;
};

struct HarnessOutput {
  std::vector<HarnessRow> rows;
  std::vector<HarnessDead> dead;  // dead letters of the operator, not those of the decoder
  uint64_t dropped = 0;
  std::string snapshot;  // deltas that rebuild the state at the end
};

// Feeds the events once, in batches of `batch_size`, through the operator. Errors are the
// operator's own.
Result<HarnessOutput> run_operator(const OperatorCase& test_case, size_t batch_size);

// Everything above. The error's message says which demand was broken, at which step.
Status check_operator(const OperatorCase& test_case);

}  // namespace tidemill::pipeline
