// What must be true of the log after every opening.
#include <algorithm>

#include "log_model.h"

namespace tidemill::sim {

void LogModel::life_ended(bool power_cut) {
  std::vector<int64_t> all = ends();
  for (size_t p = 0; p < partitions_.size(); ++p) {
    PartitionModel& model = partitions_[p];
    model.kept_end = !power_cut && checked_ ? all[p] : 0;
    if (power_cut && world_.scenario.lies > 0) model.durable_end = 0;
  }
  checked_ = checked_ && !power_cut;
  lost_power_ = lost_power_ || power_cut;
  // Whoever was in the middle of one knows nothing of it: it was not asked to commit.
  for (Outcome& outcome : transactions_) {
    if (outcome == Outcome::kOpen) outcome = Outcome::kAborted;
  }
}

void LogModel::check_opened(log::Log& log) {
  Observing observing(world_);
  shown_.clear();
  bool all = true;
  for (int p = 0; p < world_.scenario.partitions && !world_.violated(); ++p) {
    all = check_partition(log, p) && all;
  }
  for (const auto& [transaction, counts] : shown_) {
    if (world_.violated()) return;
    auto [visible, hidden] = counts;
    Outcome& outcome = transactions_[static_cast<size_t>(transaction)];
    if (visible > 0 && hidden > 0 && !world_.scenario.may_forget()) {
      world_.violation("transaction {} is there in part: {} of its events are visible, {} are not",
                       transaction, visible, hidden);
    }
    outcome = visible > 0 ? Outcome::kCommitted : Outcome::kAborted;
  }
  checked_ = checked_ || all;
}

bool LogModel::check_partition(log::Log& log, int p) {
  PartitionModel& model = at(p);
  const std::string name = input(p).to_string();
  auto info = log.partition(input(p));
  if (!info.ok()) {
    world_.violation("{}: {}", name, info.error().message);
    return false;
  }
  int64_t start = info->log_start.value();
  world_.note("{}: {} to {}, durable to {}", name, start, info->log_end.value(), model.durable_end);
  if (start < model.start_low) {
    world_.violation("{}: begins at {}, but records before {} were deleted", name, start, model.start_low);
    return false;
  }
  if (start > model.start_high && world_.scenario.retention_bytes < 0 && !world_.scenario.may_lose()) {
    world_.violation("{}: begins at {}, but only records before {} were to be deleted", name, start,
                     model.start_high);
    return false;
  }
  std::vector<ReadRecord> records;
  int64_t end = start;
  Status read = read_records(log, input(p), start, 3000, log::Isolation::kReadUncommitted, &records, &end);
  if (!read.ok()) {
    read_failed(p, read.error());
    return false;
  }
  std::set<int64_t> there;
  for (const ReadRecord& record : records) {
    if (!check_record(p, record)) return false;
    there.insert(record.offset);
  }
  check_missing(p, there, start);
  if (!world_.violated()) check_visible(log, p, there, start);
  if (world_.scenario.lies == 0) model.durable_end = info->log_end.value();
  if (world_.scenario.may_lose()) model.read_to = std::min(model.read_to, info->log_end.value());
  return !world_.violated();
}

// What is missing is a tail that nobody relied on, and nothing follows it.
void LogModel::check_missing(int p, const std::set<int64_t>& there, int64_t start) {
  PartitionModel& model = at(p);
  int64_t last = there.empty() ? -1 : *there.rbegin();
  for (auto entry = model.entries.lower_bound(start); entry != model.entries.end();) {
    auto [offset, serial] = *entry;
    if (there.contains(offset)) {
      ++entry;
      continue;
    }
    if (offset < std::max(model.durable_end, model.kept_end) && world_.scenario.flips == 0) {
      return world_.violation(
          "{}: event {} at offset {} is lost; everything before {} was acknowledged or read",
          input(p).to_string(), serial, offset, std::max(model.durable_end, model.kept_end));
    }
    if (offset < last) {
      return world_.violation("{}: event {} at offset {} is missing, but later ones are there",
                              input(p).to_string(), serial, offset);
    }
    world_.note("event {} at {} is gone", serial, offset);
    events_.at(serial).offset = -1;
    events_.at(serial).in_doubt = true;
    entry = model.entries.erase(entry);
  }
}

void LogModel::check_visible(log::Log& log, int p, const std::set<int64_t>& there, int64_t start) {
  PartitionModel& model = at(p);
  std::vector<ReadRecord> records;
  int64_t end = start;
  Status read = read_records(log, input(p), start, 3000, log::Isolation::kReadCommitted, &records, &end);
  if (!read.ok()) return read_failed(p, read.error());
  std::set<int64_t> visible;
  for (const ReadRecord& record : records) visible.insert(record.offset);
  for (int64_t offset : there) {
    int64_t serial = model.entries.at(offset);
    int64_t transaction = events_.at(serial).transaction;
    bool shown = visible.contains(offset);
    Outcome outcome = transaction < 0 ? Outcome::kCommitted : transactions_[static_cast<size_t>(transaction)];
    if (outcome == Outcome::kInDoubt) {
      ++(shown ? shown_[transaction].first : shown_[transaction].second);
    } else if (shown != (outcome == Outcome::kCommitted) &&
               !(shown ? world_.scenario.may_show_aborted() : world_.scenario.may_forget())) {
      return world_.violation("{}: event {} at {} of transaction {} is {}visible, but that was {}",
                              input(p).to_string(), serial, offset, transaction, shown ? "" : "not ",
                              outcome == Outcome::kCommitted ? "committed" : "aborted");
    }
  }
  // What readers saw they see again.
  auto gone = std::find_if(model.stream.begin(), model.stream.end(), [&](const Seen& seen) {
    return seen.offset >= start && !visible.contains(seen.offset);
  });
  if (gone == model.stream.end()) return;
  if (!world_.scenario.may_lose() && world_.scenario.flips == 0) {
    return world_.violation("{}: a reader saw event {} at {}, and it is gone", input(p).to_string(),
                            gone->serial, gone->offset);
  }
  lost_something_ = true;
  model.stream.erase(gone, model.stream.end());
  model.read_to = model.stream.empty() ? start : std::max(start, model.stream.back().offset + 1);
}

void LogModel::check_repaired(log::Log& log, const std::vector<log::DamagedPlace>& places) {
  for (int p = 0; p < world_.scenario.partitions && !world_.violated(); ++p) {
    const std::string name = input(p).to_string();
    auto info = log.partition(input(p));
    if (!info.ok()) return world_.violation("{}: {}", name, info.error().message);
    int64_t start = info->log_start.value();
    std::vector<ReadRecord> records;
    Status read =
        read_records(log, input(p), start, 3000, log::Isolation::kReadUncommitted, &records, &start);
    if (!read.ok()) return world_.violation("{}: after its repair: {}", name, read.error().message);
    std::set<int64_t> there;
    for (const ReadRecord& record : records) {
      if (!check_record(p, record)) return;
      there.insert(record.offset);
    }
    for (const auto& [offset, serial] : at(p).entries) {
      auto named = [&, at = Offset(offset)](const log::DamagedPlace& place) {
        return place.tp == input(p) && place.first_lost <= at && (place.to_end || at < place.end_lost);
      };
      bool durable = offset < std::max(at(p).durable_end, at(p).kept_end);
      if (offset < info->log_start.value() || !durable || there.contains(offset)) continue;
      if (std::none_of(places.begin(), places.end(), named)) {
        return world_.violation("{}: event {} at {} is gone after a repair that did not name it", name,
                                serial, offset);
      }
    }
  }
}

}  // namespace tidemill::sim
