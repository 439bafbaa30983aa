// What the kernel says of this process.
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "observe/prometheus.h"

namespace tidemill::observe {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Field `number` (from 1, as proc(5) counts them) of /proc/self/stat, of those behind the name.
double stat_field(int number) {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  size_t at = text.rfind(')');
  for (int n = 2; n < number && at != std::string::npos; ++n) at = text.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at, nullptr);
}

double boot_time_s() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::strtod(line.c_str() + 6, nullptr);
  }
  return 0;
}

MetricFamily one(const char* name, const char* help, MetricKind kind, double value) {
  MetricFamily family{name, help, kind, {}};
  family.samples.emplace_back().value = value;
  return family;
}

}  // namespace

std::vector<MetricFamily> process_metrics() {
  constexpr int kStartTime = 22, kVirtualBytes = 23, kResidentPages = 24;
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  double files = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error)) {
    ++files;
  }
  auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {
      one("process_cpu_seconds_total", "User and system CPU time of this process.", MetricKind::kCounter,
          seconds(usage.ru_utime) + seconds(usage.ru_stime)),
      one("process_resident_memory_bytes", "Resident memory of this process.", MetricKind::kGauge,
          stat_field(kResidentPages) * static_cast<double>(::sysconf(_SC_PAGESIZE))),
      one("process_virtual_memory_bytes", "Virtual memory of this process.", MetricKind::kGauge,
          stat_field(kVirtualBytes)),
      one("process_open_fds", "Open file descriptors.", MetricKind::kGauge, files),
      one("process_start_time_seconds", "Start of this process, seconds since 1970.", MetricKind::kGauge,
          boot_time_s() + stat_field(kStartTime) / ticks),
  };
}

}  // namespace tidemill::observe
