#include "observe/prometheus.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <future>

namespace tidemill::observe {
namespace {

using ::testing::HasSubstr;

// A connection on which so much has been sent; -1: none.
int sent(const std::string& url, const std::string& request) {
  int port = std::atoi(url.c_str() + url.rfind(':') + 1);
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    ::close(fd);
    return -1;
  }
  EXPECT_EQ(::send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  return fd;
}

// The whole answer to a GET.
std::string get(const std::string& url, const std::string& path = "/metrics") {
  std::string answer;
  int fd = sent(url, "GET " + path + " HTTP/1.0\r\n\r\n");
  if (fd >= 0) {
    timeval patience{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char buffer[4096];
    for (ssize_t n; (n = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
      answer.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return answer;
}

std::vector<MetricFamily> sample_metrics() {
  Histogram durations;
  durations.record(1'500);
  durations.record(40'000);
  MetricFamily stored{"tidemill_stored_records_total", "Rows.", MetricKind::kCounter, {}};
  stored.samples.emplace_back().value = 17;
  MetricFamily lag{"tidemill_lag_records", "Lag.", MetricKind::kGauge, {}};
  for (const char* partition : {"0", "1"}) {
    Sample& sample = lag.samples.emplace_back();
    sample.labels = {{"topic", "in"}, {"partition", partition}};
    sample.value = 3;
  }
  MetricFamily seconds{"tidemill_commit_duration_seconds", "Commits.", MetricKind::kHistogram, {}};
  seconds.samples.push_back(histogram_sample(durations));
  return {stored, lag, seconds, {"tidemill_nothing", "No samples.", MetricKind::kGauge, {}}};
}

TEST(Prometheus, ServesTheTextFormatOnAFreePort) {
  auto server = PrometheusServer::start("127.0.0.1", 0, sample_metrics);
  ASSERT_TRUE(server.ok()) << server.error().message;
  std::string text = get((*server)->url());
  EXPECT_THAT(text, HasSubstr("200 OK"));
  EXPECT_THAT(text, HasSubstr("text/plain"));
  EXPECT_THAT(text, HasSubstr("# HELP tidemill_stored_records_total Rows.\n"
                              "# TYPE tidemill_stored_records_total counter\n"
                              "tidemill_stored_records_total 17\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_lag_records{topic=\"in\",partition=\"1\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_commit_duration_seconds_count 2\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_commit_duration_seconds_bucket{le=\"0.002\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tidemill_commit_duration_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_EQ(text.find("tidemill_nothing"), std::string::npos);
}

TEST(Prometheus, SaysThatItIsAliveAndWhenItIsReady) {
  auto server = PrometheusServer::start("127.0.0.1", 0, sample_metrics);
  ASSERT_TRUE(server.ok()) << server.error().message;
  EXPECT_THAT(get((*server)->url(), "/healthz"), HasSubstr(" 200 "));
  EXPECT_THAT(get((*server)->url(), "/ready"), HasSubstr(" 404 "));
  (*server)->set_ready();
  (*server)->set_ready();
  EXPECT_THAT(get((*server)->url(), "/ready"), HasSubstr(" 200 "));
}

TEST(Prometheus, ProbesAreAnsweredBesideHalfRequestsAndScrapesThatWait) {
  std::promise<void> done;
  auto waited = done.get_future().share();
  auto server = PrometheusServer::start("127.0.0.1", 0, [waited] {
    waited.wait();
    return sample_metrics();
  });
  ASSERT_TRUE(server.ok()) << server.error().message;
  std::vector<int> connections;
  for (int i = 0; i < 2; ++i) connections.push_back(sent((*server)->url(), "GET /metrics HTTP/1.0\r\n\r\n"));
  // More of these than there are threads: each is given up after a second.
  for (int i = 0; i < 8; ++i) connections.push_back(sent((*server)->url(), "GET /metrics HT"));
  EXPECT_THAT(get((*server)->url(), "/healthz"), HasSubstr(" 200 "));
  done.set_value();
  for (int fd : connections) ::close(fd);
}

TEST(Prometheus, APortInUseIsAnErrorThatSaysTheWayOut) {
  auto first = PrometheusServer::start("127.0.0.1", 0, sample_metrics);
  ASSERT_TRUE(first.ok());
  int port = std::atoi((*first)->url().c_str() + (*first)->url().rfind(':') + 1);
  auto second = PrometheusServer::start("127.0.0.1", port, sample_metrics);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kExists);
  EXPECT_EQ(second.error().domain, Domain::kUser);
  EXPECT_THAT(second.error().message, HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(second.error().message, HasSubstr("0 for a free port"));
  // When the first is gone the port is free at once.
  first->reset();
  EXPECT_TRUE(PrometheusServer::start("127.0.0.1", port, sample_metrics).ok());
}

TEST(Prometheus, AnAddressOfAnotherMachineIsRefused) {
  EXPECT_FALSE(PrometheusServer::start("192.0.2.1", 0, sample_metrics).ok());
  EXPECT_FALSE(PrometheusServer::start("localhost or so", 0, sample_metrics).ok());
}

TEST(Prometheus, KnowsTheProcess) {
  double resident = 0, files = 0, start = 0;
  for (const MetricFamily& family : process_metrics()) {
    if (family.name == "process_resident_memory_bytes") resident = family.samples.at(0).value;
    if (family.name == "process_open_fds") files = family.samples.at(0).value;
    if (family.name == "process_start_time_seconds") start = family.samples.at(0).value;
  }
  EXPECT_GT(resident, 1e6);
  EXPECT_GT(files, 2);
  EXPECT_GT(start, 1.6e9);
}

}  // namespace
}  // namespace tidemill::observe
