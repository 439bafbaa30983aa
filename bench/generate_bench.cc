// How fast one thread makes telemetry events: their schedule, key, partition and bytes.
#include <fmt/format.h>

#include "support/measure.h"
#include "support/workload.h"
#include "verify/expected.h"

namespace tidemill::bench {
namespace {

// Against the verifier's own regeneration, which shares no code with the simulator.
void check(uint64_t events) {
  simulate::Plan plan = telemetry_plan(events, 1);
  verify::Manifest manifest;
  manifest.seed = plan.seed;
  manifest.start_us = plan.start_us;
  manifest.devices = plan.devices;
  manifest.count = plan.count;
  manifest.device_id_format = plan.device_id_format;
  manifest.duplicate_every = static_cast<int64_t>(plan.duplicate_every);
  verify::Schedule schedule(manifest);
  verify::TelemetryEvents expected(schedule);
  int64_t i = 0;
  generate(events, 1, [&](const simulate::EventGenerator::Text& text, int32_t, uint32_t) {
    require(text.value == expected.bytes(i), fmt::format("event {} is the one that the format describes", i));
    ++i;
  });
  require(i == static_cast<int64_t>(events), "every event was made");
}

void run(const Options& options) {
  std::vector<Cost> costs;
  uint64_t bytes = 0;
  for (int round = 0; round < options.rounds; ++round) {
    uint64_t events = 0;
    bytes = 0;
    costs.push_back(measure([&] {
      generate(options.events, 8, [&](const simulate::EventGenerator::Text& text, int32_t, uint32_t) {
        ++events;
        bytes += text.value.size();
      });
    }));
    require(events == options.events, "every event was made");
  }
  check(options.events);
  Row row;
  row.path = "generate telemetry";
  row.unit = "events/s/core";
  row.ours = rate(costs, static_cast<double>(options.events), By::kCpu);
  row.checks = {{"events/s/core", *row.ours, true, 1.5e6}};
  row.note =
      fmt::format("{:.1f} bytes each", static_cast<double>(bytes) / static_cast<double>(options.events));
  print(row);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  tidemill::bench::run(tidemill::bench::parse_options(argc, argv));
  return 0;
}
