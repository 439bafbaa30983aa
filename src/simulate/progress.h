// The accounting of one instance: what was sent, what is acknowledged, per device and in total.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "simulate/devices.h"
#include "simulate/live_counters.h"
#include "simulate/manifest.h"

namespace tidemill::simulate {

// What one batch acknowledges when it is acknowledged.
struct BatchAccount {
  int64_t records = 0;
  int64_t bytes = 0;
  Uint128 content_sum = 0;
  int64_t events = 0;
  std::vector<uint32_t> positions;  // devices of the events whose last copy is in the batch
};

// Used by one thread.
//
// Invariants: acknowledged <= sent, for each device and in all; content_sum and bytes are those of
// exactly the records that partition_records counts.
class Progress {
 public:
  // Continues `manifest`. With `recount` its bytes and content_sum start from zero again.
  // `devices` outlives this.
  Progress(Manifest manifest, const Devices& devices, bool recount, LiveCounters& live);

  // The next event of the device at `position` (ignored without ranges per device) is on its way.
  void sent(uint32_t position);
  void acknowledged(int32_t partition, const BatchAccount& account);
  // One record that a former process of this run stored; `counted`: the manifest's bytes and
  // content_sum hold it already.
  void found_record(int32_t partition, bool counted, std::string_view value, Uint128 hash);
  // Every copy of an event was found.
  void found_event(uint32_t position);
  void shortfall(int64_t us);

  int64_t scheduled() const { return manifest_.scheduled; }
  bool all_acknowledged() const { return events_sent_ == manifest_.events_sent; }
  // The manifest as of now.
  Manifest snapshot(bool finished) const;

 private:
  DeviceRange range(size_t position) const;
  void publish();

  Manifest manifest_;
  const Devices& devices_;
  LiveCounters& live_;
  bool per_device_;
  std::vector<int64_t> sent_by_device_;
  std::vector<int64_t> acknowledged_by_device_;
  int64_t events_sent_ = 0;
};

}  // namespace tidemill::simulate
