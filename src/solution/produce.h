// `tidemill log produce`: lines of text into a topic, one event each.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "simulate/appender.h"

namespace tidemill::solution {

struct ProduceOptions {
  std::string topic;
  // Dotted path of the JSON member whose text is the event's key, and so chooses its partition. Empty: no
  // key; events then go round the partitions, a batch to each.
  std::string key_path;
  size_t max_line_bytes = 8u << 20;
  size_t batch_bytes = 256u << 10;
};

struct Produced {
  uint64_t events = 0;
  uint64_t bytes = 0;
  uint64_t without_key = 0;  // lines in which the key's member is missing
};

// Reads descriptor `in` to its end, or until `stop`; empty lines are left out. Lines go on their way when no
// more can be read at once, so that those of a slow writer are not kept back. Returns when everything is
// acknowledged. Each line is stored once, also when the run's owner was replaced meanwhile. `told` is called
// now and then with the count so far. Errors: a line that is too long, naming it, when all before it are
// acknowledged; those of the appender.
Result<Produced> produce_lines(int in, simulate::Appender& appender, const ProduceOptions& options,
                               const std::function<void(uint64_t events)>& told,
                               const std::atomic<bool>& stop);

}  // namespace tidemill::solution
