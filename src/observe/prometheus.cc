#include "observe/prometheus.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace tidemill::observe {
namespace {

// A scrape takes one each, and so does whoever sends half of a request and nothing more, for so long.
constexpr const char* kThreads = "8";
constexpr const char* kRequestTimeoutMs = "1000";
constexpr std::array kBoundsUs = {1'000,     2'000,     5'000,      10'000,     20'000,
                                  50'000,    100'000,   200'000,    500'000,    1'000'000,
                                  2'000'000, 5'000'000, 10'000'000, 20'000'000, 60'000'000};

prometheus::MetricFamily converted(const MetricFamily& family) {
  prometheus::MetricFamily out;
  out.name = family.name;
  out.help = family.help;
  for (const Sample& sample : family.samples) {
    prometheus::ClientMetric& metric = out.metric.emplace_back();
    for (const auto& [name, value] : sample.labels) metric.label.push_back({name, value});
    switch (family.kind) {
      case MetricKind::kCounter:
        out.type = prometheus::MetricType::Counter;
        metric.counter.value = sample.value;
        break;
      case MetricKind::kGauge:
        out.type = prometheus::MetricType::Gauge;
        metric.gauge.value = sample.value;
        break;
      case MetricKind::kHistogram:
        out.type = prometheus::MetricType::Histogram;
        metric.histogram.sample_count = sample.count;
        metric.histogram.sample_sum = sample.sum;
        for (const auto& [bound, count] : sample.buckets) metric.histogram.bucket.push_back({count, bound});
        break;
    }
  }
  return out;
}

class Collector final : public prometheus::Collectable {
 public:
  explicit Collector(std::function<std::vector<MetricFamily>()> collect) : collect_(std::move(collect)) {}
  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> out;
    // The server's threads have stacks of 100 KiB, which a few histograms fill.
    std::thread([&] {
      for (const MetricFamily& family : collect_()) {
        if (!family.samples.empty()) out.push_back(converted(family));
      }
    }).join();
    return out;
  }

 private:
  std::function<std::vector<MetricFamily>()> collect_;
};

// An answer without a metric.
class Nothing final : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override { return {}; }
};

// Why the address cannot be listened on; 0: it can. The server's own error does not say.
int bind_error(const std::string& address, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) return EADDRNOTAVAIL;
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 && ::listen(fd, 1) == 0;
  int error = bound ? 0 : errno;
  ::close(fd);
  return error;
}

}  // namespace

struct PrometheusServer::Impl {
  std::shared_ptr<Collector> collector;
  std::shared_ptr<Nothing> nothing = std::make_shared<Nothing>();
  std::mutex mutex;
  bool ready = false;
  std::unique_ptr<prometheus::Exposer> exposer;
};

PrometheusServer::PrometheusServer() : impl_(std::make_unique<Impl>()) {}
PrometheusServer::~PrometheusServer() = default;

Result<std::unique_ptr<PrometheusServer>> PrometheusServer::start(
    const std::string& address, int port, std::function<std::vector<MetricFamily>()> collect) {
  auto refused = [&](const std::string& why, Code code) {
    return user_error("metrics: " + address + ":" + std::to_string(port) + " cannot be listened on: " + why +
                          "; choose another observe.prometheus, 0 for a free port, or off",
                      code);
  };
  if (int error = bind_error(address, port); error != 0) {
    return refused(std::strerror(error), error == EADDRINUSE ? Code::kExists : Code::kInvalid);
  }
  auto server = std::unique_ptr<PrometheusServer>(new PrometheusServer());
  server->impl_->collector = std::make_shared<Collector>(std::move(collect));
  try {
    server->impl_->exposer = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", address + ":" + std::to_string(port), "num_threads",
                                 kThreads, "request_timeout_ms", kRequestTimeoutMs});
    server->impl_->exposer->RegisterCollectable(server->impl_->collector);
    server->impl_->exposer->RegisterCollectable(server->impl_->nothing, "/healthz");
    std::vector<int> ports = server->impl_->exposer->GetListeningPorts();
    if (!ports.empty()) port = ports.front();
  } catch (const std::exception& error) {
    return refused(error.what(), Code::kFailed);
  }
  server->url_ = "http://" + address + ":" + std::to_string(port) + "/metrics";
  return server;
}

void PrometheusServer::set_ready() {
  std::lock_guard lock(impl_->mutex);
  if (std::exchange(impl_->ready, true)) return;
  impl_->exposer->RegisterCollectable(impl_->nothing, "/ready");
}

Sample histogram_sample(const Histogram& microseconds) {
  Sample sample;
  for (int bound_us : kBoundsUs)
    sample.buckets.emplace_back(bound_us / 1e6, microseconds.count_at_most(bound_us));
  sample.count = microseconds.count();
  sample.sum = static_cast<double>(microseconds.sum()) / 1e6;
  return sample;
}

}  // namespace tidemill::observe
