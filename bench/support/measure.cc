#include "support/measure.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "event/json_splice.h"

namespace tidemill::bench {
namespace {

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double by(const Cost& cost, By kind) {
  return kind == By::kCpu ? cost.cpu_s : cost.wall_s;
}

size_t touched_bytes = size_t{4} << 30;  // about what a turn uses

void touch_free_memory() {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t bytes = std::min(touched_bytes, static_cast<size_t>(sysconf(_SC_AVPHYS_PAGES)) * page / 2);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  madvise(memory, bytes, MADV_HUGEPAGE);
  for (size_t at = 0; at < bytes; at += page) static_cast<volatile char*>(memory)[at] = 1;
  munmap(memory, bytes);
}

std::string quoted(const std::string& text) {
  std::string out;
  append_json_string(text, &out);
  return out;
}

std::string number(std::optional<double> value) {
  return value ? fmt::format("{:.6g}", *value) : "null";
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    std::string_view name = argv[i];
    require(i + 1 < argc, std::string(name) + " needs a value");
    const char* value = argv[i + 1];
    if (name == "--events") {
      options.events = std::strtoull(value, nullptr, 10);
    } else if (name == "--rounds") {
      options.rounds = std::atoi(value);
    } else if (name == "--directory") {
      options.directory = value;
    } else if (name == "--set") {
      options.settings.emplace_back(value);
    } else {
      require(false,
              "no such option: " + std::string(name) + "; there are --events, --rounds, --directory, --set");
    }
  }
  require(options.events > 0 && options.rounds > 0, "--events and --rounds are at least 1");
  constexpr size_t kTouchedByEach = 2000;
  touched_bytes = std::min(touched_bytes, static_cast<size_t>(options.events) * kTouchedByEach);
  return options;
}

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "benchmark failed: %s\n", what.c_str());
  std::exit(1);
}

void must(Status status) {
  if (!status.ok()) require(false, status.error().message);
}

void Meter::restart() {
  wall_s_ = seconds(CLOCK_MONOTONIC);
  cpu_s_ = seconds(CLOCK_PROCESS_CPUTIME_ID);
}

Cost Meter::cost() const {
  return {seconds(CLOCK_MONOTONIC) - wall_s_, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_s_};
}

Cost measure(const std::function<void()>& work) {
  touch_free_memory();
  Meter meter;
  work();
  return meter.cost();
}

double median(std::vector<double> values) {
  require(!values.empty(), "nothing was measured");
  std::sort(values.begin(), values.end());
  size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Pair interleave(int rounds, const std::function<Cost()>& ours, const std::function<Cost()>& baseline) {
  Pair pair;
  for (int i = 0; i < rounds; ++i) {
    pair.baseline.push_back(baseline());
    pair.ours.push_back(ours());
    say(fmt::format("  round {}: ours {:.3f} s ({:.3f} CPU), baseline {:.3f} s ({:.3f} CPU)", i + 1,
                    pair.ours.back().wall_s, pair.ours.back().cpu_s, pair.baseline.back().wall_s,
                    pair.baseline.back().cpu_s));
  }
  return pair;
}

double rate(const std::vector<Cost>& costs, double units, By kind) {
  std::vector<double> values;
  for (const Cost& cost : costs) values.push_back(units / by(cost, kind));
  return median(std::move(values));
}

double speed_ratio(const Pair& pair, By kind) {
  std::vector<double> values;
  for (size_t i = 0; i < pair.ours.size(); ++i) {
    values.push_back(by(pair.baseline[i], kind) / by(pair.ours[i], kind));
  }
  return median(std::move(values));
}

void print(const Row& row) {
  std::string checks;
  for (const Check& check : row.checks) {
    bool holds = check.at_least ? check.value >= check.target : check.value <= check.target;
    checks +=
        fmt::format("{}{{\"what\":{},\"value\":{:.6g},\"relation\":\"{}\",\"target\":{:.6g},\"holds\":{}}}",
                    checks.empty() ? "" : ",", quoted(check.what), check.value,
                    check.at_least ? ">=" : "<=", check.target, holds);
  }
  std::printf(
      "{\"path\":%s,\"unit\":%s,\"ours\":%s,\"baseline\":%s,\"ratio\":%s,\"checks\":[%s],\"note\":%s}\n",
      quoted(row.path).c_str(), quoted(row.unit).c_str(), number(row.ours).c_str(),
      number(row.baseline).c_str(), number(row.ratio).c_str(), checks.c_str(), quoted(row.note).c_str());
  std::fflush(stdout);
}

void say(const std::string& line) {
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace tidemill::bench
