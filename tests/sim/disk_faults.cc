#include "disk_faults.h"

#include <vector>

#include "base/crc32c.h"
#include "log/format.h"
#include "process.h"

namespace tidemill::sim {
namespace {

using Fate = MemoryFiles::Fate;
using Operation = MemoryFiles::Operation;

constexpr std::string_view kOperationNames[] = {"write", "sync", "sync directory", "change"};
constexpr std::string_view kFateNames[] = {"", " FAILS", " LIES", " POWER"};

}  // namespace

DiskFaults::DiskFaults(World& world) : world_(world) {
  world_.disk.set_judge([this](const MemoryFiles::Change& change) { return judge(change); });
  world_.disk.set_read_fault([this](const std::string& path, uint64_t offset, size_t size) {
    return read_fails(path, offset, size);
  });
}

void DiskFaults::begin_life(bool faults) {
  faults_ = faults;
  end_after_ = 0;
  end_part_ = {};
  failed_writes_ = failed_syncs_ = failed_reads_ = failed_log_sync_ = world_.disk_errors = false;
}

bool DiskFaults::read_fails(const std::string& path, uint64_t offset, size_t size) {
  int rate = world_.scenario.read_errors;
  if (!faults_ || rate == 0 || world_.observing ||
      world_.disk_chance.below(10'000) >= static_cast<uint64_t>(rate))
    return false;
  world_.note("  disk read {} {}+{} FAILS", path, offset, size);
  return failed_reads_ = world_.disk_errors = true;
}

Fate DiskFaults::judge(const MemoryFiles::Change& change) {
  Fate fate = ends_here(change) ? Fate{Fate::kPower} : draw(change);
  world_.note("  disk {} {} {}+{} {:08x}{}", kOperationNames[static_cast<size_t>(change.operation)],
              change.path, change.offset, change.bytes.size(), crc32c(change.bytes), kFateNames[fate.kind]);
  return fate;
}

bool DiskFaults::ends_here(const MemoryFiles::Change& change) {
  if (end_after_ > 0 && --end_after_ == 0) return true;
  if (end_part_.empty() || change.path.find(end_part_) == std::string::npos) return false;
  end_part_ = {};
  end_after_ = end_later_;
  return end_later_ == 0;
}

Fate DiskFaults::draw(const MemoryFiles::Change& change) {
  if (!faults_) return {};
  const Scenario& scenario = world_.scenario;
  auto happens = [&](int rate) {
    return rate > 0 && world_.disk_chance.below(10'000) < static_cast<uint64_t>(rate);
  };
  if (happens(scenario.slow))
    world_.clock.advance_us(static_cast<int64_t>(world_.disk_chance.below(3'000'000)));
  bool sync = change.operation == Operation::kSync || change.operation == Operation::kSyncDirectory;
  if (sync && happens(scenario.lies)) {
    lied_ = true;
    return {Fate::kLies};
  }
  if (sync && happens(scenario.sync_errors)) {
    failed_syncs_ = world_.disk_errors = true;
    failed_log_sync_ = failed_log_sync_ || change.path.starts_with(kLogDirectory);
    return {Fate::kFails, 0, world_.disk_chance.below(2) == 0};
  }
  if (!sync && happens(scenario.write_errors)) {
    failed_writes_ = world_.disk_errors = true;
    return {Fate::kFails, static_cast<size_t>(world_.disk_chance.below(change.bytes.size() + 1))};
  }
  return {};
}

bool DiskFaults::unnoted_sync_failure() const {
  return failed_log_sync_ && !world_.disk.exists(kLogDirectory + "/" + std::string(log::kFailedSyncName));
}

std::string DiskFaults::flip_one() {
  std::vector<std::string> paths;
  for (const std::string& path : world_.disk.paths()) {
    // No checksum stands over Kafka's checkpoints (text: a changed digit is another number), nor over files
    // that were handed to readers.
    bool covered = path.find("checkpoint") == std::string::npos && !path.ends_with(".jsonl");
    if (covered && !world_.disk.content(path).empty()) paths.push_back(path);
  }
  if (paths.empty()) return {};
  const std::string& path = paths[world_.disk_chance.below(paths.size())];
  uint64_t at = world_.disk_chance.below(world_.disk.content(path).size());
  auto mask = static_cast<uint8_t>(1u << world_.disk_chance.below(8));
  world_.disk.flip(path, at, mask);
  world_.note("flip {} byte {} mask {:02x}", path, at, mask);
  return path;
}

}  // namespace tidemill::sim
