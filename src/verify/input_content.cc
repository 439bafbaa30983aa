// The input topic against manifests whose events have no ids: counts per partition, and the
// multiset of contents.
#include <algorithm>
#include <functional>
#include <unordered_map>

#include "verify/expected.h"
#include "verify/run.h"

namespace tidemill::verify {
namespace {

struct Hash128 {
  size_t operator()(Sum128 value) const { return static_cast<size_t>(value ^ value >> 64); }
};

// How often each content may be there.
using Doubtful = std::unordered_map<Sum128, int64_t, Hash128>;

struct PartitionCount {
  int64_t acknowledged = 0;
  int64_t in_log = 0;
};

Sum128 parse_sum(const std::string& digits) {
  Sum128 sum = 0;
  for (char c : digits) sum = sum << 4 | static_cast<Sum128>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  return sum;
}

// The sensor records of an instance in send order: those that were acknowledged give a sum, those
// that may follow them in their partitions are put into `in_doubt`.
Status regenerate_sensor(const Manifest& manifest, const std::vector<int64_t>& extra, Sum128* acknowledged,
                         Doubtful* in_doubt) {
  constexpr int64_t kChunk = 64;
  Schedule schedule(manifest);
  SensorEvents events(schedule);
  SendOrder order(schedule);
  std::vector<int64_t> ranks(static_cast<size_t>(manifest.partitions), 0);
  int64_t record = 0, open = 0;
  for (size_t p = 0; p < ranks.size(); ++p) open += manifest.partition_records[p] + extra[p];
  while (open > 0) {
    auto i = order.next();
    if (!i) break;
    Sum128 hash = content_hash(events.bytes(*i));
    for (int copy = schedule.copies(*i); copy > 0; --copy, ++record) {
      auto p = static_cast<size_t>(record / kChunk % manifest.partitions);
      int64_t rank = ranks[p]++;
      if (rank >= manifest.partition_records[p] + extra[p]) continue;
      --open;
      if (rank < manifest.partition_records[p])
        *acknowledged += hash;
      else
        ++(*in_doubt)[hash];
    }
  }
  for (size_t p = 0; p < ranks.size(); ++p) {
    if (ranks[p] < manifest.partition_records[p]) {
      return user_error(manifest.path + ": more records are acknowledged than its schedule has");
    }
  }
  return ok_status();
}

// The telemetry records of an instance that may be in the input beside those that were acknowledged: of each
// device what follows them, as far as it was sent, or where the manifest is not finished below `extent`.
Status regenerate_telemetry(const Manifest& manifest, int64_t extent, Doubtful* in_doubt) {
  Schedule schedule(manifest);
  TelemetryEvents events(schedule);
  SendOrder order(schedule);
  std::unordered_map<int64_t, size_t> positions;
  for (size_t n = 0; n < schedule.order().size(); ++n) positions[schedule.order()[n]] = n;
  std::vector<DeviceRange> ranges(positions.size());
  int64_t open = 0;
  for (const DeviceRange& range : manifest.ranges) {
    auto at = positions.find(range.device);
    if (at == positions.end()) {
      return user_error(manifest.path + ": device " + std::to_string(range.device) +
                        " is not of this instance");
    }
    ranges[at->second] = range;
    open += range.acknowledged + range.in_doubt;
  }
  std::vector<int64_t> ranks(ranges.size(), 0);
  for (int64_t below = extent; open > 0 || below > 0;) {
    auto i = order.next();
    if (!i) break;
    if (*i < extent) --below;
    const size_t n = schedule.position_of(*i);
    const int64_t rank = ranks[n]++;
    const bool sent = rank < ranges[n].acknowledged + ranges[n].in_doubt;
    if (sent) --open;
    if (rank < ranges[n].acknowledged || (!sent && *i >= extent)) continue;
    (*in_doubt)[content_hash(events.bytes(*i))] += schedule.copies(*i);
  }
  return ok_status();
}

using OnRecord = std::function<void(size_t, const LogRecord&)>;

Status read_input(Run& run, const OnRecord& on_record) {
  for (size_t n = 0; n < run.input->size(); ++n) {
    RecordReader reader(run.input->files(n));
    TM_TRY(reader.seek(run.input->span(n).start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      on_record(n, *record);
    }
  }
  return ok_status();
}

Status find_telemetry_in_doubt(Run& run, Doubtful* in_doubt) {
  std::vector<int64_t> extents(run.manifests.size(), 0);  // by instance: beyond its events in the input
  const EventIds ids(run.manifests.front().seed);
  TM_TRY(read_input(run, [&](size_t, const LogRecord& record) {
    auto name = ids.decode(find_event_id(record.value));
    if (!name || name->instance >= static_cast<int64_t>(extents.size())) return;
    int64_t& extent = extents[static_cast<size_t>(name->instance)];
    extent = std::max(extent, name->i + 1);
  }));
  for (const Manifest& manifest : run.manifests) {
    const int64_t extent = manifest.finished ? 0 : extents[static_cast<size_t>(manifest.instance)];
    TM_TRY(regenerate_telemetry(manifest, extent, in_doubt));
  }
  return ok_status();
}

}  // namespace

Status check_input_content(Run& run) {
  if (run.manifests.empty()) return ok_status();
  const Profile profile = run.manifests.front().profile;
  std::vector<PartitionCount> counts(run.input->size());
  Sum128 acknowledged = 0;
  bool doubt = false;
  for (const Manifest& manifest : run.manifests) {
    acknowledged += parse_sum(manifest.content_sum);
    doubt = doubt || !manifest.finished;
    for (const DeviceRange& range : manifest.ranges) {
      doubt = doubt || range.in_doubt > 0;
      run.verdict.in_doubt += static_cast<uint64_t>(range.in_doubt);
    }
    if (manifest.records_sent > manifest.events_sent) {
      run.verdict.copies_sent += static_cast<uint64_t>(manifest.records_sent - manifest.events_sent);
    }
    for (size_t n = 0; n < counts.size(); ++n) {
      auto p = static_cast<size_t>(run.input->span(n).partition);
      if (p < manifest.partition_records.size()) counts[n].acknowledged += manifest.partition_records[p];
    }
  }
  Sum128 in_log = 0;
  TM_TRY(read_input(run, [&](size_t n, const LogRecord& record) {
    ++counts[n].in_log;
    in_log += content_hash(record.value);
  }));
  bool equal = true;
  for (size_t n = 0; n < counts.size(); ++n) {
    int64_t more = counts[n].in_log - counts[n].acknowledged;
    std::string where = "partition " + std::to_string(run.input->span(n).partition);
    equal = equal && more == 0;
    if (more < 0) {
      run.faults.add(FaultKind::kLost, static_cast<uint64_t>(-more),
                     [&] { return where + " of the input lacks acknowledged records"; });
    } else if (more > 0 && !doubt) {
      run.faults.add(FaultKind::kUnexpected, static_cast<uint64_t>(more),
                     [&] { return where + " of the input holds more records than were sent"; });
    }
  }
  Doubtful in_doubt;
  if (profile == Profile::kSensor) {
    std::vector<int64_t> extra(static_cast<size_t>(run.manifests.front().partitions), 0);
    for (size_t n = 0; n < counts.size() && doubt; ++n) {
      auto p = static_cast<size_t>(run.input->span(n).partition);
      if (p < extra.size()) extra[p] = std::max<int64_t>(0, counts[n].in_log - counts[n].acknowledged);
    }
    Sum128 regenerated = 0;
    for (const Manifest& manifest : run.manifests)
      TM_TRY(regenerate_sensor(manifest, extra, &regenerated, &in_doubt));
    if (regenerated != acknowledged) {
      run.faults.reason("the manifests' content sum is " + hex(acknowledged) +
                        ", that of what they describe is " + hex(regenerated));
    }
    acknowledged = regenerated;
  }
  if (equal) {
    if (in_log != acknowledged) {
      run.faults.reason("the input does not hold what was sent: its content sum is " + hex(in_log) +
                        " instead of " + hex(acknowledged));
    }
    return ok_status();
  }
  if (!doubt) return ok_status();
  if (profile == Profile::kTemplate) {
    run.faults.note("records in doubt reached the input: its contents cannot be compared with the manifests");
    return ok_status();
  }
  if (profile == Profile::kTelemetry) TM_TRY(find_telemetry_in_doubt(run, &in_doubt));
  std::vector<std::vector<Sum128>> found(counts.size());
  TM_TRY(read_input(run, [&](size_t n, const LogRecord& record) {
    const Sum128 hash = content_hash(record.value);
    auto candidate = in_doubt.find(hash);
    if (candidate == in_doubt.end() || candidate->second == 0) return;
    --candidate->second;
    found[n].push_back(hash);
  }));
  // Of an event in doubt a first copy may be acknowledged: what is not comes last.
  Sum128 certain = in_log;
  for (size_t n = 0; n < counts.size(); ++n) {
    const int64_t more = std::max<int64_t>(0, counts[n].in_log - counts[n].acknowledged);
    for (int64_t left = more; left > 0 && !found[n].empty(); --left, found[n].pop_back())
      certain -= found[n].back();
  }
  if (certain != acknowledged) {
    run.faults.reason(
        "the input does not hold what was sent: without the records in doubt its content sum is " +
        hex(certain) + " instead of " + hex(acknowledged));
  }
  return ok_status();
}

}  // namespace tidemill::verify
