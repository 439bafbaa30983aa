// Telemetry events into typed columns with bare simdjson On-Demand: members in their known order,
// every value taken for granted to be what it should, buffers kept between batches.
//
// The columns are the program's: Arrow's layout, a validity bitmap each.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace baseline {

inline constexpr int kMembers = 23;

struct Text {
  std::vector<int32_t> offsets;  // rows + 1
  std::string bytes;             // grows; the first offsets.back() bytes count
};

struct Telemetry {
  Text event_id;
  std::vector<double> members[kMembers];
  std::vector<double> value;
  Text device_id;
  std::vector<int64_t> sequence;
  Text type;
  std::vector<int64_t> created_us;
  std::vector<uint64_t> validity[kMembers + 6];
};

// An event's bytes; at least 64 readable ones must follow.
struct Event {
  const char* at;
  uint32_t size;
};

class Decoder {
 public:
  Decoder();
  ~Decoder();
  // Into columns(), replacing what was there.
  void all(const std::vector<Event>& events);
  void two(const std::vector<Event>& events);  // eventId and deviceId
  const Telemetry& columns() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baseline
