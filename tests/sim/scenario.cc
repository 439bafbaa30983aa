#include "scenario.h"

#include <fmt/format.h>

namespace tidemill::sim {
namespace {

template <class T, size_t N>
T pick(SeededRandom& chance, const T (&of)[N]) {
  return of[chance.below(N)];
}

void draw_system(Scenario& it, SeededRandom& chance) {
  it.partitions = 1 + static_cast<int>(chance.below(3));
  it.tasks = it.partitions > 1 && chance.below(3) == 0 ? 2 : 1;
  it.log.segment_bytes = pick<uint64_t>(chance, {700, 1500, 1500, 4000, 20'000});
  it.log.index_interval_bytes = pick<uint32_t>(chance, {50, 200, 1000});
  it.log.segment_us = chance.below(5) == 0 ? 3'000'000 : 3'600'000'000;
  it.retention_bytes = chance.below(4) == 0 ? pick<int64_t>(chance, {0, 2000, 8000}) : -1;
  it.sink = pick(chance, {SinkKind::kLog, SinkKind::kLog, SinkKind::kFiles, SinkKind::kFiles,
                          SinkKind::kModel, SinkKind::kModel, SinkKind::kModelWithChangelog});
  for (uint64_t i = 0; i <= chance.below(4); ++i) {
    it.clients.push_back(
        pick(chance, {ClientKind::kNamed, ClientKind::kNamed, ClientKind::kAnonymous, ClientKind::kPlain,
                      ClientKind::kTransactional, ClientKind::kTransactional}));
  }
  it.compression =
      pick(chance, {Compression::kNone, Compression::kNone, Compression::kNone, Compression::kLz4,
                    Compression::kZstd, Compression::kSnappy, Compression::kGzip});
  it.enrich = chance.below(2) == 0;
  if (chance.below(3) > 0) {
    it.dedup_last = pick<int64_t>(chance, {1, 3, 20, 100});
  } else {
    it.dedup_horizon_us = pick<int64_t>(chance, {50'000, 2'000'000, 60'000'000});
  }
  it.snapshot_min_bytes = pick<uint64_t>(chance, {50, 300, 300, 2000, 1u << 20});
  it.max_events = pick<uint64_t>(chance, {1, 5, 20, 20, 60, 0});
  it.epoch_us = pick<int64_t>(chance, {0, 20'000, 100'000});
  it.files_roll_bytes = pick<uint64_t>(chance, {1, 500, 3000, 1u << 20});
  it.journal_compact_bytes = pick<uint64_t>(chance, {200, 1000, 1u << 20});
  it.devices = 1 + static_cast<int>(chance.below(6));
  it.ids = pick<uint64_t>(chance, {3, 10, 50, 1000});
}

// Most scenarios have an honest disk, so that the strongest claims are tested most.
void draw_faults(Scenario& it, SeededRandom& chance) {
  switch (chance.below(12)) {
    case 0:
      it.write_errors = pick(chance, {5, 30, 100});
      break;
    case 1:
      it.sync_errors = pick(chance, {5, 30});
      break;
    case 2:
      it.log.durability = log::Durability::kNone;
      break;
    case 3:
      it.log.durability = log::Durability::kInterval;
      it.log.sync_interval_us = pick<int64_t>(chance, {100'000, 1'000'000});
      break;
    case 4:
      it.lies = pick(chance, {300, 3000, 10'000});
      break;
    case 5:
      it.flips = 10'000;
      break;
    default:
      it.power_only = chance.below(2) == 0;
  }
  if (chance.below(4) == 0) it.disk_full = pick(chance, {50, 200});
  if (chance.below(4) == 0) it.slow = pick(chance, {50, 500});
  if (chance.below(4) == 0) it.clock_jumps = 100;
  if (chance.below(2) == 0) it.lost_answers = pick(chance, {200, 1000});
  if (chance.below(3) == 0) it.rivals = pick(chance, {50, 200});
  if (chance.below(5) == 0) it.deletions = pick(chance, {50, 200});
}

std::string_view durability_name(log::Durability durability) {
  switch (durability) {
    case log::Durability::kSync:
      return "sync";
    case log::Durability::kInterval:
      return "interval";
    case log::Durability::kNone:
      return "none";
  }
  return "";
}

constexpr std::string_view kSinkNames[] = {"log", "files", "model", "model-with-changelog"};
constexpr std::string_view kClientNames[] = {"named", "anonymous", "plain", "transactional"};

}  // namespace

std::string_view end_name(End end) {
  static constexpr std::string_view kNames[] = {"power cut", "power cut at a file", "power cut at a step",
                                                "kill",      "kill at a change",    "kill at a step",
                                                "close"};
  return kNames[static_cast<size_t>(end)];
}

Scenario Scenario::draw(uint64_t seed) {
  Scenario it;
  it.seed = seed;
  SeededRandom chance(seed * 0x9e3779b97f4a7c15ULL + 1);
  draw_system(it, chance);
  draw_faults(it, chance);
  it.lives = 2 + static_cast<int>(chance.below(6));
  it.steps = pick(chance, {30, 100, 100, 300});
  if (chance.below(10) == 0) it.read_errors = pick(chance, {3, 10, 50});
  // A rival is of another group.
  if (it.rivals == 0 && chance.below(4) == 0) it.moves = pick(chance, {100, 400});
  it.batch_bytes = pick<size_t>(chance, {100, 400, 400, 1u << 20});
  return it;
}

std::string Scenario::to_string() const {
  std::string names;
  for (ClientKind kind : clients) names += fmt::format(" {}", kClientNames[static_cast<size_t>(kind)]);
  return fmt::format(
      "seed {}: {} partitions, {} tasks, sink {}, durability {}, segments of {}, index every {}, retention "
      "{}, "
      "clients{}, {}, enrich {}, dedup last {} horizon {}, snapshots at {}, epochs of {} events or {} us, "
      "batches of {}, files of {}, "
      "journal of {}, {} devices with {} ids; {} lives of {} steps; write errors {}, sync errors {}, read "
      "errors {}, lies "
      "{}, "
      "flips {}, full {}, slow {}, jumps {}, lost answers {}, rivals {}, moves {}, deletions {}, power only "
      "{}",
      seed, partitions, tasks, kSinkNames[static_cast<size_t>(sink)], durability_name(log.durability),
      log.segment_bytes, log.index_interval_bytes, retention_bytes, names, compression_name(compression),
      enrich, dedup_last.value_or(0), dedup_horizon_us.value_or(0), snapshot_min_bytes, max_events, epoch_us,
      batch_bytes, files_roll_bytes, journal_compact_bytes, devices, ids, lives, steps, write_errors,
      sync_errors, read_errors, lies, flips, disk_full, slow, clock_jumps, lost_answers, rivals, moves,
      deletions, power_only);
}

}  // namespace tidemill::sim
