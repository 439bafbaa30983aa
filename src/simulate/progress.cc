#include "simulate/progress.h"

#include <algorithm>

#include "base/check.h"

namespace tidemill::simulate {

Progress::Progress(Manifest manifest, const Devices& devices, bool recount, LiveCounters& live)
    : manifest_(std::move(manifest)), devices_(devices), live_(live) {
  per_device_ = manifest_.plan.ranges_per_device();
  if (per_device_) {
    sent_by_device_.resize(devices.size());
    acknowledged_by_device_.resize(devices.size());
  }
  // Counted again while the schedule is walked from its beginning; only what depends on the
  // records' bytes is taken from the manifest.
  manifest_.ranges.clear();
  manifest_.events_sent = 0;
  manifest_.records_sent = 0;
  std::fill(manifest_.partition_records.begin(), manifest_.partition_records.end(), 0);
  if (recount) {
    manifest_.bytes_sent = 0;
    manifest_.content_sum = 0;
  }
  live_.worst_shortfall_us.store(manifest_.shortfall_us, std::memory_order_relaxed);
}

void Progress::sent(uint32_t position) {
  ++events_sent_;
  if (per_device_) ++sent_by_device_[position];
}

void Progress::acknowledged(int32_t partition, const BatchAccount& account) {
  manifest_.partition_records[static_cast<size_t>(partition)] += account.records;
  manifest_.records_sent += account.records;
  manifest_.bytes_sent += account.bytes;
  manifest_.content_sum += account.content_sum;
  manifest_.events_sent += account.events;
  if (per_device_) {
    for (uint32_t position : account.positions) ++acknowledged_by_device_[position];
  }
  TM_CHECK(manifest_.events_sent <= events_sent_);
  publish();
}

void Progress::found_record(int32_t partition, bool counted, std::string_view value, Uint128 hash) {
  ++manifest_.partition_records[static_cast<size_t>(partition)];
  ++manifest_.records_sent;
  if (counted) return;
  manifest_.bytes_sent += static_cast<int64_t>(value.size());
  manifest_.content_sum += hash;
}

void Progress::found_event(uint32_t position) {
  ++manifest_.events_sent;
  if (per_device_) ++acknowledged_by_device_[position];
  publish();
}

void Progress::shortfall(int64_t us) {
  if (us <= manifest_.shortfall_us) return;
  manifest_.shortfall_us = us;
  live_.worst_shortfall_us.store(us, std::memory_order_relaxed);
}

void Progress::publish() {
  live_.events.store(manifest_.events_sent, std::memory_order_relaxed);
  live_.records.store(manifest_.records_sent, std::memory_order_relaxed);
  live_.bytes.store(manifest_.bytes_sent, std::memory_order_relaxed);
}

DeviceRange Progress::range(size_t position) const {
  const auto turns = static_cast<int64_t>(sent_by_device_.size());
  const auto turn = static_cast<int64_t>(position);
  DeviceRange range;
  range.device = devices_.number(static_cast<uint32_t>(position));
  range.acknowledged = acknowledged_by_device_[position];
  range.in_doubt = sent_by_device_[position] - range.acknowledged;
  if (manifest_.scheduled >= 0) {
    const int64_t events =
        (manifest_.scheduled - turn + turns - 1) / turns;  // scheduled >= turn - turns + 1 …
    range.not_sent = std::max<int64_t>(events, 0) - sent_by_device_[position];
  }
  TM_CHECK(range.in_doubt >= 0 && range.not_sent >= -1);
  return range;
}

Manifest Progress::snapshot(bool finished) const {
  Manifest manifest = manifest_;
  manifest.finished = finished;
  if (per_device_) {
    manifest.ranges.reserve(sent_by_device_.size());
    for (size_t position = 0; position < sent_by_device_.size(); ++position) {
      manifest.ranges.push_back(range(position));
    }
    std::sort(manifest.ranges.begin(), manifest.ranges.end(),
              [](const DeviceRange& a, const DeviceRange& b) { return a.device < b.device; });
  } else {
    const int64_t left = manifest_.scheduled < 0 ? -1 : manifest_.scheduled - events_sent_;
    manifest.ranges.push_back({-1, manifest_.events_sent, events_sent_ - manifest_.events_sent, left});
  }
  return manifest;
}

}  // namespace tidemill::simulate
