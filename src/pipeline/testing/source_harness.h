// The harness that every source must pass. It depends on no test framework: a failure comes back as
// an error that says in which scenario what was wrong.
//
// It reads in polls of many sizes, from every position, with one reader and with several, across restarts
// of the process, and demands what the contract (pipeline/source.h) promises: every event once, in
// offset order, batches without gap or overlap, the same again from the same position; batches that
// outlive their reader; positions that the system cannot serve refused with the range that was lost.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "pipeline/source.h"

namespace tidemill::pipeline::testing {

struct SourceUnderTest {
  // Opens the source as a new process would; reading starts at the earliest event. The harness has
  // destroyed what an earlier call gave.
  std::function<Result<std::unique_ptr<Source>>()> open;
  // Appends events first … first + count - 1 to a partition; event i has the value source_event(partition,
  // i). They are visible when it returns.
  std::function<Status(int32_t partition, int first, int count)> produce;
  // Deletes the events before an offset. Empty where the system cannot.
  std::function<Status(int32_t partition, Offset before)> remove_before;
  // Back to empty partitions, at least two, while no source is open.
  std::function<Status()> clear;
  // How long a poll may wait: a source that is reached over a network gives nothing at once.
  int64_t poll_us = 0;
};

std::string source_event(int32_t partition, int number);

Status check_source(const SourceUnderTest& sut);

}  // namespace tidemill::pipeline::testing
