#include "log/repair.h"

#include <algorithm>

#include "log/checkpoints.h"
#include "log/format.h"
#include "log/repaired.h"
#include "log/segment_scan.h"
#include "log/topics_file.h"

namespace tidemill::log {
namespace {

struct SegmentFile {
  Offset base;
  std::string path;
  uint64_t size = 0;
};

Result<std::vector<SegmentFile>> list_segments(FileSystem& files, const std::string& directory) {
  TM_ASSIGN(auto names, files.list(directory));
  std::vector<SegmentFile> segments;  // the names sort by base
  for (const std::string& name : names) {
    std::optional<Offset> base = parse_segment_name(name, kLogSuffix);
    if (!base) continue;
    SegmentFile segment{*base, join_path(directory, name), 0};
    TM_ASSIGN(auto file, files.open(segment.path, OpenMode::kRead));
    TM_ASSIGN(segment.size, file->size());
    segments.push_back(std::move(segment));
  }
  return segments;
}

// The damaged places of one segment. `*next` is the offset that should come first, and then the
// one behind the segment.
Status inspect_segment(FileSystem& files, const TopicPartition& tp, const SegmentFile& segment,
                       const Gaps& gaps, Offset* next, std::vector<DamagedPlace>* places) {
  TM_ASSIGN(auto file, files.open(segment.path, OpenMode::kRead));
  uint64_t position = 0;
  *next = std::max(*next, segment.base);
  while (true) {
    SegmentReader reader(*file, segment.size, segment.base, *next, &gaps, position);
    auto step = SegmentReader::Step::kBatch;
    while (step == SegmentReader::Step::kBatch) {
      TM_ASSIGN(step, reader.next());
    }
    *next = reader.expected();
    if (step == SegmentReader::Step::kEnd) return {};
    TM_ASSIGN(Damage damage, examine_damage(*file, segment.size, segment.base, reader));
    DamagedPlace place;
    place.tp = tp;
    place.file = segment.path;
    place.position = damage.position;
    place.bytes = (damage.resume ? damage.resume->position : segment.size) - damage.position;
    place.what = damage.what;
    place.first_lost = damage.expected;
    place.end_lost = damage.resume ? damage.resume->offset : damage.expected;
    place.to_end = !damage.resume;
    place.torn_tail = !damage.resume && damage.torn;
    places->push_back(std::move(place));
    if (!damage.resume) return {};
    position = damage.resume->position;
    *next = damage.resume->offset;
  }
}

Result<Offset> checkpoint_of(FileSystem& files, const std::string& directory, std::string_view name,
                             const TopicPartition& tp) {
  TM_ASSIGN(OffsetMap offsets, read_offset_checkpoint(files, join_path(directory, name)));
  auto found = offsets.find(tp);
  return found == offsets.end() ? Offset(0) : found->second;
}

Result<std::vector<DamagedPlace>> inspect_partition(FileSystem& files, const std::string& directory,
                                                    const TopicPartition& tp) {
  TM_ASSIGN(Offset recovery_point, checkpoint_of(files, directory, kRecoveryPointName, tp));
  TM_ASSIGN(Offset log_start, checkpoint_of(files, directory, kLogStartName, tp));
  TM_ASSIGN(auto segments, list_segments(files, join_path(directory, tp.to_string())));
  TM_ASSIGN(RepairedOffsets repaired,
            RepairedOffsets::load(files, join_path(join_path(directory, tp.to_string()), kRepairedName)));
  Gaps gaps{repaired, log_start};
  std::vector<DamagedPlace> places;
  Offset next;
  for (size_t i = 0; i < segments.size(); ++i) {
    // A segment ends before the next one begins, and no damage before says why.
    bool said = !places.empty() && places.back().end_lost >= segments[i].base;
    if (i > 0 && next < segments[i].base && !said && !gaps.allow(next, segments[i].base)) {
      DamagedPlace place;
      place.tp = tp;
      place.file = segments[i - 1].path;
      place.position = segments[i - 1].size;
      place.what = "the segment ends, and the next one begins later";
      place.first_lost = next;
      place.end_lost = segments[i].base;
      places.push_back(std::move(place));
    }
    size_t before = places.size();
    TM_TRY(inspect_segment(files, tp, segments[i], gaps, &next, &places));
    if (places.size() == before || !places.back().to_end) continue;
    if (i + 1 < segments.size()) {
      places.back().to_end = places.back().torn_tail = false;
      places.back().end_lost = segments[i + 1].base;
    } else {
      places.back().torn_tail = places.back().torn_tail && places.back().first_lost >= recovery_point;
      places.back().end_lost = std::max(places.back().end_lost, recovery_point);
    }
  }
  bool tail_known = !places.empty() && places.back().to_end;
  if (next < recovery_point && !tail_known && !segments.empty()) {
    DamagedPlace place;
    place.tp = tp;
    place.file = segments.back().path;
    place.position = segments.back().size;
    place.what =
        "the segment ends, but offsets up to " + std::to_string(recovery_point.value()) + " were durable";
    place.first_lost = next;
    place.end_lost = recovery_point;
    place.to_end = true;
    places.push_back(std::move(place));
  }
  return places;
}

// Writes the segment anew without the damaged stretches, and replaces it.
Status cut_segment(FileSystem& files, const std::string& path, const std::vector<DamagedPlace>& places) {
  TM_ASSIGN(auto from, files.open(path, OpenMode::kRead));
  TM_ASSIGN(uint64_t size, from->size());
  std::string temporary = path + std::string(kTemporarySuffix);
  {
    TM_ASSIGN(auto to, files.open(temporary, OpenMode::kCreate));
    TM_TRY(to->truncate(0));
    uint64_t written = 0;
    uint64_t position = 0;
    std::string buffer;
    auto copy_until = [&](uint64_t end) -> Status {
      while (position < end) {
        buffer.resize(static_cast<size_t>(std::min<uint64_t>(end - position, 1 << 20)));
        TM_ASSIGN(size_t read, from->read_at(position, buffer.data(), buffer.size()));
        if (read == 0) return external_error(path + ": ends early");
        TM_TRY(to->write_at(written, std::string_view(buffer).substr(0, read)));
        position += read;
        written += read;
      }
      return {};
    };
    for (const DamagedPlace& place : places) {
      TM_TRY(copy_until(place.position));
      position += place.bytes;
    }
    TM_TRY(copy_until(size));
    TM_TRY(to->sync());
  }
  // The indexes name positions of the old bytes: they go first.
  std::string stem = path.substr(0, path.size() - kLogSuffix.size());
  for (std::string_view suffix : {kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix}) {
    Status removed = files.remove(stem + std::string(suffix));
    if (!removed.ok() && removed.error().code != Code::kNotFound) return removed;
  }
  TM_TRY(files.sync_directory(parent_path(path)));
  TM_TRY(files.rename(temporary, path));
  return files.sync_directory(parent_path(path));
}

}  // namespace

Result<std::vector<DamagedPlace>> inspect_damage(FileSystem& files, const std::string& directory) {
  TM_ASSIGN(TopicsFile known, TopicsFile::load(files, join_path(directory, kTopicsName)));
  std::vector<DamagedPlace> all;
  for (const auto& [name, entry] : known.topics) {
    for (int32_t i = 0; i < entry.config.partitions && !entry.deleting; ++i) {
      TM_ASSIGN(auto places, inspect_damage(files, directory, {name, Partition(i)}));
      all.insert(all.end(), places.begin(), places.end());
    }
  }
  return all;
}

Result<std::vector<DamagedPlace>> inspect_damage(FileSystem& files, const std::string& directory,
                                                 const TopicPartition& tp) {
  return inspect_partition(files, directory, tp);
}

Result<std::vector<DamagedPlace>> repair_partition(FileSystem& files, const std::string& directory,
                                                   const TopicPartition& tp) {
  TM_ASSIGN(auto places, inspect_damage(files, directory, tp));
  if (places.empty()) return places;
  // The next opening must scan, and may find the log to end below what was durable once.
  Status removed = files.remove(join_path(directory, kCleanShutdownName));
  if (!removed.ok() && removed.error().code != Code::kNotFound) return std::move(removed).error();
  TM_TRY(files.sync_directory(directory));
  // The note comes first: a gap that nobody noted is damage.
  std::string note = join_path(join_path(directory, tp.to_string()), kRepairedName);
  TM_ASSIGN(RepairedOffsets repaired, RepairedOffsets::load(files, note));
  for (const DamagedPlace& place : places) repaired.add(place.first_lost, place.end_lost);
  TM_TRY(repaired.save(files, note));
  for (size_t first = 0; first < places.size();) {
    size_t end = first;
    while (end < places.size() && places[end].file == places[first].file) ++end;
    std::vector<DamagedPlace> of_segment(places.begin() + static_cast<ptrdiff_t>(first),
                                         places.begin() + static_cast<ptrdiff_t>(end));
    TM_TRY(cut_segment(files, places[first].file, of_segment));
    first = end;
  }
  // What is left is durable from here on: opening takes the gaps as they are.
  TM_ASSIGN(Offset log_start, checkpoint_of(files, directory, kLogStartName, tp));
  TM_ASSIGN(auto segments, list_segments(files, join_path(directory, tp.to_string())));
  Gaps gaps{repaired, log_start};
  Offset end;
  std::vector<DamagedPlace> none;
  for (const SegmentFile& segment : segments) {
    TM_TRY(inspect_segment(files, tp, segment, gaps, &end, &none));
    TM_ASSIGN(auto file, files.open(segment.path, OpenMode::kReadWrite));
    TM_TRY(file->sync());
  }
  std::string checkpoint = join_path(directory, kRecoveryPointName);
  TM_ASSIGN(OffsetMap points, read_offset_checkpoint(files, checkpoint));
  points[tp] = end;
  TM_TRY(write_offset_checkpoint(files, checkpoint, points));
  return places;
}

}  // namespace tidemill::log
