// What a sink holds, read from outside, whatever its kind.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "log_model.h"
#include "pipeline/epoch.h"
#include "pipeline/testing/model_sink.h"

namespace tidemill::sim {

inline const std::string kPipeline = "pipe";
inline const std::string kOutput = "out";
inline const std::string kFilesDirectory = "/run/files";

struct SinkContents {
  pipeline::Committed committed;
  std::vector<std::string> rows;      // in their order
  std::vector<int64_t> dead_letters;  // input offsets, in their order
};

struct SinkPlaces {
  log::Log* log = nullptr;
  pipeline::testing::ModelStore* store = nullptr;
};

// What the sink has committed of one input partition.
Result<pipeline::Committed> read_committed(World& world, const SinkPlaces& places, int partition);
// With its rows.
Result<SinkContents> read_sink(World& world, const Events& events, const SinkPlaces& places, int partition);

}  // namespace tidemill::sim
