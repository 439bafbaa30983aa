// Metrics as Prometheus' text format over HTTP, by prometheus-cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "observe/histogram.h"

namespace tidemill::observe {

// One time series at one instant.
struct Sample {
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  // Of a histogram: upper bounds in seconds with how many values do not exceed them; the count and sum
  // (seconds) of all values.
  std::vector<std::pair<double, uint64_t>> buckets;
  uint64_t count = 0;
  double sum = 0;
};

enum class MetricKind { kCounter, kGauge, kHistogram };

// Names follow Prometheus' conventions: base units, counters end in _total.
struct MetricFamily {
  std::string name;
  std::string help;
  MetricKind kind = MetricKind::kGauge;
  std::vector<Sample> samples;
};

// A histogram of microseconds as one of seconds, with bounds from 1 ms to 60 s.
Sample histogram_sample(const Histogram& microseconds);
// This process: resident memory, CPU time, open files, start time, under the names that all clients of
// Prometheus use.
std::vector<MetricFamily> process_metrics();

// Serves until destroyed GET /metrics, for which `collect` is called, on a thread of its own; GET /healthz,
// which says that this process answers; and GET /ready, which is not found before set_ready().
class PrometheusServer {
 public:
  // `address`: an address of this machine, 127.0.0.1 for this machine only. Port 0: a free one. Errors are
  // the user's: kExists where the port is in use.
  static Result<std::unique_ptr<PrometheusServer>> start(const std::string& address, int port,
                                                         std::function<std::vector<MetricFamily>()> collect);
  ~PrometheusServer();
  PrometheusServer(const PrometheusServer&) = delete;
  PrometheusServer& operator=(const PrometheusServer&) = delete;

  // What it runs has begun. Thread-safe.
  void set_ready();
  const std::string& url() const { return url_; }  // "http://127.0.0.1:9400/metrics"

 private:
  struct Impl;
  PrometheusServer();
  std::unique_ptr<Impl> impl_;
  std::string url_;
};

}  // namespace tidemill::observe
