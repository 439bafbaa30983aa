#include "sink_model.h"

#include <algorithm>

namespace tidemill::sim {

SinkModel::SinkModel(World& world, const Events& events, const LogModel& log)
    : world_(world), events_(events), log_(log) {
  partitions_.resize(static_cast<size_t>(world.scenario.partitions));
  for (PartitionModel& model : partitions_) {
    if (world.scenario.dedup_last) model.lru.emplace(static_cast<size_t>(*world.scenario.dedup_last));
    if (world.scenario.dedup_horizon_us) model.horizon.emplace(*world.scenario.dedup_horizon_us / 1000);
  }
}

bool SinkModel::ahead_of_log() const {
  for (int p = 0; p < world_.scenario.partitions; ++p) {
    if (partitions_[static_cast<size_t>(p)].taken > log_.stream(p).size()) return true;
  }
  return false;
}

void SinkModel::advance(PartitionModel& model, int partition, int64_t to) {
  const auto& stream = log_.stream(partition);
  for (; model.taken < stream.size() && stream[model.taken].offset < to; ++model.taken) {
    const LogModel::Seen& seen = stream[model.taken];
    const Event& event = events_.at(seen.serial);
    ++model.counters.read;
    if (event.id.empty()) {
      ++model.counters.dead;
      model.dead_letters.push_back(seen.offset);
      continue;
    }
    bool passes = model.lru ? model.lru->pass(event.key, event.id, seen.timestamp_ms)
                            : model.horizon->pass(event.key, event.id, seen.timestamp_ms);
    ++(passes ? model.counters.stored : model.counters.dropped);
    if (passes) model.rows.push_back(events_.row_of(seen.serial));
  }
}

void SinkModel::check(const SinkPlaces& places) {
  Observing observing(world_);
  // The log's own positions may be gone with the rest. A disk that lies may lose even the leader epoch that
  // tells positions apart, and whole files, which their readers may have taken away as well.
  if (log_.lost_at_random() && (world_.scenario.sink == SinkKind::kLog || world_.scenario.lies > 0)) return;
  for (int p = 0; p < world_.scenario.partitions && !world_.violated(); ++p) {
    PartitionModel& model = partitions_[static_cast<size_t>(p)];
    if (model.taken > log_.stream(p).size()) continue;  // the log lost it
    auto contents = read_sink(world_, events_, places, p);
    if (!contents.ok()) {
      world_.note("sink: {}", contents.error().message);
      bool excused = world_.scenario.may_be_damaged() || world_.disk_errors || world_.disk.power_failed();
      if (!excused) world_.violation("sink: {}", contents.error().message);
      return;
    }
    const std::string name = input(p).to_string();
    int64_t position = contents->committed.position ? contents->committed.position->offset.value() : 0;
    world_.note("sink {}: position {}, {} rows, {} dead letters", name, position, contents->rows.size(),
                contents->dead_letters.size());
    if (position < model.position) {
      if (world_.scenario.flips > 0) return;  // in the last record, which is then cut as torn
      return world_.violation("{}: the sink's position went back from {} to {}", name, model.position,
                              position);
    }
    if (position > log_.stream_end(p)) {
      if (world_.scenario.may_lose()) return;
      return world_.violation("{}: the sink's position is {}, but only events up to {} were ever visible",
                              name, position, log_.stream_end(p));
    }
    model.position = position;
    if (contents->committed.epoch.value() < model.epoch) {
      return world_.violation("{}: the sink's epoch went back from {} to {}", name, model.epoch,
                              contents->committed.epoch.value());
    }
    model.epoch = contents->committed.epoch.value();
    advance(model, p, position);
    compare(model, p, *contents);
  }
}

void SinkModel::compare(const PartitionModel& model, int partition, const SinkContents& contents) {
  const std::string name = input(partition).to_string();
  size_t at = 0;
  while (at < model.rows.size() && at < contents.rows.size() && model.rows[at] == contents.rows[at]) ++at;
  if (at < model.rows.size() || at < contents.rows.size()) {
    return world_.violation(
        "{}: up to position {} the sink must hold {} rows and holds {}; row {} must be {} and is {}", name,
        model.position, model.rows.size(), contents.rows.size(), at,
        at < model.rows.size() ? model.rows[at] : "none",
        at < contents.rows.size() ? contents.rows[at] : "none");
  }
  // Within one batch the decoder's come before the operators'.
  std::vector<int64_t> dead_letters = contents.dead_letters;
  std::sort(dead_letters.begin(), dead_letters.end());
  if (model.dead_letters != dead_letters) {
    return world_.violation(
        "{}: up to position {} the sink must hold {} dead letters and holds {}, or others", name,
        model.position, model.dead_letters.size(), dead_letters.size());
  }
  const pipeline::Counters& held = contents.committed.counters;
  if (held != model.counters) {
    world_.violation("{}: at position {} the counters must be {} {} {} {} and are {} {} {} {}", name,
                     model.position, model.counters.read, model.counters.stored, model.counters.dead,
                     model.counters.dropped, held.read, held.stored, held.dead, held.dropped);
  }
}

}  // namespace tidemill::sim
