// Decoding events into columns beside bare simdjson On-Demand into the same columns, over the same
// bytes, batch by batch in turn.
#include <fmt/format.h>
#include <simdjson.h>
#include <time.h>

#include <algorithm>

#include "baseline/decode.h"
#include "event/json_decoder.h"
#include "support/measure.h"
#include "support/workload.h"

namespace tidemill::bench {
namespace {

constexpr size_t kGroups = 10;  // of batches; each gives one ratio

// Of this thread, which does all of the work.
double cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

bool same(const Column& ours, const std::vector<double>& theirs) {
  for (size_t i = 0; i < theirs.size(); ++i) {
    if (!ours.valid(i) || ours.double_at(i) != theirs[i]) return false;
  }
  return ours.size() == theirs.size();
}
bool same(const Column& ours, const std::vector<int64_t>& theirs) {
  for (size_t i = 0; i < theirs.size(); ++i) {
    if (!ours.valid(i) || ours.int64_at(i) != theirs[i]) return false;
  }
  return ours.size() == theirs.size();
}
bool same(const Column& ours, const baseline::Text& theirs) {
  size_t rows = theirs.offsets.size() - 1;
  for (size_t i = 0; i < rows; ++i) {
    auto from = static_cast<size_t>(theirs.offsets[i]);
    auto size = static_cast<size_t>(theirs.offsets[i + 1]) - from;
    if (!ours.valid(i) || ours.text_at(i) != std::string_view(theirs.bytes).substr(from, size)) return false;
  }
  return ours.size() == rows;
}

bool same_columns(const Batch& ours, const baseline::Telemetry& theirs, bool all) {
  if (!same(*ours.column("eventId"), theirs.event_id)) return false;
  if (!same(*ours.column("deviceId"), theirs.device_id)) return false;
  if (!all) return ours.columns.size() == 2;
  for (int m = 0; m < baseline::kMembers; ++m) {
    if (!same(*ours.column(fmt::format("complexData.moreData{}", m)), theirs.members[m])) return false;
  }
  return same(*ours.column("value"), theirs.value) &&
         same(*ours.column("deviceSequenceNumber"), theirs.sequence) &&
         same(*ours.column("type"), theirs.type) && same(*ours.column("createdAt"), theirs.created_us) &&
         ours.columns.size() == 29;
}

Row compare(const Batches& made, bool all) {
  Schema schema = telemetry_schema();
  DecodePlan plan{schema.fields, {"enqueuedAt", "processedAt"}};
  if (!all) {
    std::erase_if(plan.fields,
                  [](const Field& field) { return field.name != "eventId" && field.name != "deviceId"; });
  }
  JsonDecoder decoder(std::move(plan));
  baseline::Decoder bare;
  std::vector<baseline::Event> events;
  Batch batch;
  Pair groups;
  std::vector<double> counts;
  const size_t group = std::max<size_t>(1, made.batches.size() / kGroups);
  for (size_t i = 0; i < made.batches.size(); ++i) {
    if (i % group == 0) {
      groups.ours.emplace_back();
      groups.baseline.emplace_back();
      counts.push_back(0);
    }
    auto bytes =
        std::make_shared<const std::string>(made.batches[i] + std::string(simdjson::SIMDJSON_PADDING, ' '));
    std::string_view whole(bytes->data(), made.batches[i].size());
    std::vector<Record> records;
    must(decode_records(*must(parse_batch_header(whole)), whole, SIZE_MAX, nullptr, &records));
    events.clear();
    for (const Record& record : records) {
      events.push_back({record.value.data(), static_cast<uint32_t>(record.value.size())});
    }
    batch.set_record_batches(std::make_shared<const std::string>(made.batches[i]), Offset(0), SIZE_MAX).ok();
    batch.select_all();
    counts.back() += static_cast<double>(records.size());

    auto baseline_turn = [&] {
      double from = cpu_s();
      all ? bare.all(events) : bare.two(events);
      groups.baseline.back().cpu_s += cpu_s() - from;
    };
    auto our_turn = [&] {
      double from = cpu_s();
      decoder.decode(batch);
      groups.ours.back().cpu_s += cpu_s() - from;
    };
    // Who comes second finds warmer caches: in turn.
    if (i % 2 == 0) baseline_turn();
    our_turn();
    if (i % 2 != 0) baseline_turn();
    require(batch.selected.size() == records.size(), "every event is decoded");
    require(same_columns(batch, bare.columns(), all), "both decoders give the same columns");
  }
  std::vector<double> ours, theirs;
  for (size_t g = 0; g < counts.size(); ++g) {
    ours.push_back(counts[g] / groups.ours[g].cpu_s);
    theirs.push_back(counts[g] / groups.baseline[g].cpu_s);
  }
  Row row;
  row.path = all ? "decode all fields" : "decode two fields";
  row.unit = "events/s/core";
  row.ours = median(ours);
  row.baseline = median(theirs);
  row.ratio = speed_ratio(groups, By::kCpu);
  row.checks = {{"ratio", *row.ratio, true, all ? 0.85 : 0.80}};
  row.note = "baseline: bare simdjson On-Demand into the same columns, " +
             simdjson::get_active_implementation()->name();
  return row;
}

void run(const Options& options) {
  Batches made = make_batches(options.events);
  say(fmt::format("decode: {} events, {:.1f} bytes each", made.sent.all.records,
                  static_cast<double>(made.sent.all.bytes) / static_cast<double>(made.sent.all.records)));
  print(compare(made, true));
  print(compare(made, false));
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
