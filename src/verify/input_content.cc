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
                         std::unordered_map<Sum128, int64_t, Hash128>* in_doubt) {
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
  auto each = [&](const std::function<void(size_t, Sum128)>& give) -> Status {
    for (size_t n = 0; n < counts.size(); ++n) {
      RecordReader reader(run.input->files(n));
      TM_TRY(reader.seek(run.input->span(n).start));
      for (;;) {
        TM_ASSIGN(const LogRecord* record, reader.next());
        if (record == nullptr) break;
        give(n, content_hash(record->value));
      }
    }
    return ok_status();
  };
  Sum128 in_log = 0;
  TM_TRY(each([&](size_t n, Sum128 hash) {
    ++counts[n].in_log;
    in_log += hash;
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
  std::unordered_map<Sum128, int64_t, Hash128> in_doubt;
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
  Sum128 certain = 0;
  TM_TRY(each([&](size_t, Sum128 hash) {
    auto candidate = in_doubt.find(hash);
    if (candidate != in_doubt.end() && candidate->second > 0)
      --candidate->second;
    else
      certain += hash;
  }));
  if (certain != acknowledged) {
    run.faults.reason(
        "the input does not hold what was sent: without the records in doubt its content sum is " +
        hex(certain) + " instead of " + hex(acknowledged));
  }
  return ok_status();
}

}  // namespace tidemill::verify
