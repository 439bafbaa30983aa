// What the sink must hold for the position that it has committed: the plain model of dedup over the
// events before it, each once, in order.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "log_model.h"
#include "process/dedup_model.h"
#include "sink_view.h"

namespace tidemill::sim {

class SinkModel {
 public:
  SinkModel(World& world, const Events& events, const LogModel& log);

  // Compares and moves on. Precondition: the log model has observed everything that is visible.
  void check(const SinkPlaces& places);
  // The positions that the sink held at the last check.
  int64_t position(int partition) const { return partitions_[static_cast<size_t>(partition)].position; }
  // The log lost what the sink has taken in: opening a task must say so.
  bool ahead_of_log() const;

 private:
  struct PartitionModel {
    std::optional<process::LruModel> lru;
    std::optional<process::HorizonModel> horizon;
    size_t taken = 0;  // of the log model's stream
    int64_t position = 0;
    int64_t epoch = 0;
    pipeline::Counters counters;
    std::vector<std::string> rows;
    std::vector<int64_t> dead_letters;
  };
  void advance(PartitionModel& model, int partition, int64_t to);
  void compare(const PartitionModel& model, int partition, const SinkContents& contents);

  World& world_;
  const Events& events_;
  const LogModel& log_;
  std::vector<PartitionModel> partitions_;
};

}  // namespace tidemill::sim
