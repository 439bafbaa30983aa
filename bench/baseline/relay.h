// The relay as a hand-written loop: reads RecordBatch v2 files, parses two fields of every event
// with On-Demand, splices two members in, checksums and writes. It has no dedup, no state, no
// transactions, no positions, and believes what it reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace baseline {

struct Relayed {
  uint64_t records = 0;
  uint64_t bytes = 0;  // of what was written
  uint64_t ids = 0;    // the sum of the first 8 bytes of eventId and deviceId: what parsing found
};

// Output: batches of about 1 MB in one file.
Relayed relay(const std::vector<std::string>& files, const std::string& output);

}  // namespace baseline
