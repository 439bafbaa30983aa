// tidemill_sim: runs seeds of the simulation (docs/simulation.md).
//
//   tidemill_sim --seeds N | A-B [--jobs J] [--failures F] [--canary NAME]
//   tidemill_sim --rotating N …    N seeds, beginning where $TIDEMILL_SEED says (at 1 where it is not set)
//   tidemill_sim --seed N --trace
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include "base/canary.h"
#include "base/logging.h"
#include "workers.h"

namespace tidemill::sim {
namespace {

struct Arguments {
  Range range;
  int jobs = static_cast<int>(std::thread::hardware_concurrency());
  bool trace = false;
  uint64_t failures = 0;  // after which it stops; 0: 10, or the first that a canary's run finds
  size_t canary = 0;      // index into kCanaryNames
};

bool parse_number(std::string_view text, uint64_t* number) {
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), *number);
  return parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size();
}

bool parse_range(std::string_view text, Range* range) {
  size_t dash = text.find('-');
  range->first = 1;
  if (dash == std::string_view::npos) return parse_number(text, &range->last) && range->last > 0;
  return parse_number(text.substr(0, dash), &range->first) &&
         parse_number(text.substr(dash + 1), &range->last) && range->first <= range->last;
}

// Another range for every value, so that what one commit's run passes over another's finds.
Range rotated(uint64_t count) {
  const char* given = std::getenv("TIDEMILL_SEED");
  constexpr uint64_t kFirstSeeds = 1'000'000'000;
  uint64_t first = given == nullptr ? 1 : 1 + std::strtoull(given, nullptr, 10) % kFirstSeeds;
  return {first, first + count - 1};
}

bool parse(int argc, char** argv, Arguments* arguments) {
  for (int i = 1; i < argc; ++i) {
    std::string_view option = argv[i];
    if (option == "--trace") {
      arguments->trace = true;
      continue;
    }
    if (i + 1 == argc) return false;
    std::string_view value = argv[++i];
    uint64_t number = 0;
    if (option == "--seeds") {
      if (!parse_range(value, &arguments->range)) return false;
    } else if (option == "--rotating" && parse_number(value, &number) && number > 0) {
      arguments->range = rotated(number);
    } else if (option == "--failures" && parse_number(value, &arguments->failures)) {
    } else if (option == "--seed" && parse_number(value, &number)) {
      arguments->range = {number, number};
    } else if (option == "--jobs" && parse_number(value, &number) && number > 0) {
      arguments->jobs = static_cast<int>(number);
    } else if (option == "--canary") {
      for (size_t c = 1; c < kCanaryNames.size(); ++c) {
        if (value == kCanaryNames[c]) arguments->canary = c;
      }
      if (arguments->canary == 0) return false;
    } else {
      return false;
    }
  }
  return arguments->range.last > 0;
}

int usage() {
  std::fprintf(stderr,
               "usage: tidemill_sim --seeds N|A-B [--jobs J] [--failures F] [--canary NAME]\n"
               "       tidemill_sim --rotating N […]\n"
               "       tidemill_sim --seed N [--trace] [--canary NAME]\ncanaries:");
  for (size_t c = 1; c < kCanaryNames.size(); ++c) std::fprintf(stderr, " %s", kCanaryNames[c].data());
  std::fprintf(stderr, "\n");
  return 2;
}

int run_traced(uint64_t seed) {
  RunResult result = run_seed(seed, stdout);
  std::printf("%s\n", result.violation ? "FAIL" : "PASS");
  return result.violation ? 1 : 0;
}

// A canary's run ends well when it is caught.
int run_all(const Arguments& arguments) {
  bool canary = arguments.canary != 0;
  std::string replay = canary ? " --canary " + std::string(kCanaryNames[arguments.canary]) : "";
  auto begun = std::chrono::steady_clock::now();
  std::printf("seeds %llu-%llu\n", static_cast<unsigned long long>(arguments.range.first),
              static_cast<unsigned long long>(arguments.range.last));
  std::fflush(stdout);
  uint64_t most = arguments.failures > 0 ? arguments.failures : canary ? 1 : 10;
  Totals totals = run_range(arguments.range, arguments.jobs, most, [&](const Failure& failure) {
    std::printf("seed %llu: %s\n  replay: build/test/tidemill_sim --seed %llu --trace%s\n",
                static_cast<unsigned long long>(failure.seed), failure.what.c_str(),
                static_cast<unsigned long long>(failure.seed), replay.c_str());
    std::fflush(stdout);
  });
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  bool found = !totals.failures.empty();
  std::printf("%llu run in %.1f s, %llu openings, %llu events, %llu said what was lost, %zu broken\n",
              static_cast<unsigned long long>(totals.seeds), seconds,
              static_cast<unsigned long long>(totals.openings),
              static_cast<unsigned long long>(totals.events),
              static_cast<unsigned long long>(totals.said_loss), totals.failures.size());
  if (canary)
    std::printf("canary %s: %s\n", kCanaryNames[arguments.canary].data(), found ? "caught" : "NOT CAUGHT");
  return found == canary ? 0 : 1;
}

}  // namespace
}  // namespace tidemill::sim

int main(int argc, char** argv) {
  using namespace tidemill;
  sim::Arguments arguments;
  if (!sim::parse(argc, argv, &arguments)) return sim::usage();
  set_log_level(LogLevel::kOff);
  arm_canary(static_cast<Canary>(arguments.canary));
  bool one = arguments.range.first == arguments.range.last;
  if (arguments.trace && one) return sim::run_traced(arguments.range.first);
  return sim::run_all(arguments);
}
