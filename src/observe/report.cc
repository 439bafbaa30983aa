#include "observe/report.h"

#include <fmt/format.h>

#include <ctime>

namespace tidemill::observe {
namespace {

std::string local_time(int64_t time_us) {
  std::time_t seconds = time_us / 1'000'000;
  std::tm parts{};
  localtime_r(&seconds, &parts);
  char text[64];
  size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &parts);
  return {text, size};
}

std::string utc_time(int64_t time_us) {
  std::time_t seconds = time_us / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[64];
  size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, size};
}

double per_second(uint64_t count, int64_t period_us) {
  return period_us <= 0 ? 0 : static_cast<double>(count) * 1e6 / static_cast<double>(period_us);
}

std::string latency_json(const Histogram& histogram) {
  if (histogram.count() == 0) return "null";
  return fmt::format(
      "{{\"p50\":{:.3f},\"p99\":{:.3f},\"p99_9\":{:.3f},\"max\":{:.3f}}}",
      static_cast<double>(histogram.quantile(0.5)) / 1e3, static_cast<double>(histogram.quantile(0.99)) / 1e3,
      static_cast<double>(histogram.quantile(0.999)) / 1e3, static_cast<double>(histogram.max()) / 1e3);
}

std::string three_quantiles(const Histogram& histogram) {
  if (histogram.count() == 0) return "-";
  return fmt::format("{}/{}/{}", human_latency(histogram.quantile(0.5)),
                     human_latency(histogram.quantile(0.99)), human_latency(histogram.quantile(0.999)));
}

// later - earlier, member by member.
Traffic difference(const Traffic& later, const Traffic& earlier) {
  Traffic d;
  d.incoming_messages = later.incoming_messages - earlier.incoming_messages;
  d.incoming_bytes = later.incoming_bytes - earlier.incoming_bytes;
  d.outgoing_messages = later.outgoing_messages - earlier.outgoing_messages;
  d.outgoing_bytes = later.outgoing_bytes - earlier.outgoing_bytes;
  d.stored_rows = later.stored_rows - earlier.stored_rows;
  d.stored_bytes = later.stored_bytes - earlier.stored_bytes;
  d.dead_letters = later.dead_letters - earlier.dead_letters;
  d.dropped = later.dropped - earlier.dropped;
  d.commits = later.commits - earlier.commits;
  d.epochs = later.epochs - earlier.epochs;
  d.retries = later.retries - earlier.retries;
  return d;
}

}  // namespace

Reporter::Reporter(const Metrics& metrics, int64_t now_us)
    : metrics_(metrics), traffic_(metrics.traffic()), latency_(metrics.latency()), time_us_(now_us) {}

ReportRow Reporter::row(int64_t now_us, int64_t lag) {
  ReportRow row;
  row.time_us = now_us;
  row.period_us = now_us - time_us_;
  row.lag = lag;
  Traffic traffic = metrics_.traffic();
  Latency latency = metrics_.latency();
  row.traffic = difference(traffic, traffic_);
  row.latency.created_to_stored = latency.created_to_stored.since(latency_.created_to_stored);
  row.latency.enqueued_to_stored = latency.enqueued_to_stored.since(latency_.enqueued_to_stored);
  traffic_ = traffic;
  latency_ = latency;
  time_us_ = now_us;
  return row;
}

std::string report_header() {
  std::string names = fmt::format("{:>28}{:>20}{:>20}{:>20}{:>20}{:>14}{:>10}{:>26}{:>26}", "Time",
                                  "IncomingMessages", "IncomingBytes", "OutgoingMessages", "OutgoingBytes",
                                  "Stored", "Lag", "created p50/p99/p99.9", "enqueued p50/p99/p99.9");
  std::string dashes = fmt::format("{:>28}{:>20}{:>20}{:>20}{:>20}{:>14}{:>10}{:>26}{:>26}", "----",
                                   "----------------", "-------------", "----------------", "-------------",
                                   "------", "---", "---------------------", "----------------------");
  return names + "\n" + dashes;
}

std::string report_line(const ReportRow& row) {
  return fmt::format("{:>28}{:>20}{:>20}{:>20}{:>20}{:>14}{:>10}{:>26}{:>26}", local_time(row.time_us),
                     row.traffic.incoming_messages, row.traffic.incoming_bytes, row.traffic.outgoing_messages,
                     row.traffic.outgoing_bytes, row.traffic.stored_rows,
                     row.lag < 0 ? std::string("-") : std::to_string(row.lag),
                     three_quantiles(row.latency.created_to_stored),
                     three_quantiles(row.latency.enqueued_to_stored));
}

std::string report_json(const ReportRow& row) {
  return fmt::format(
      "{{\"time\":\"{}\",\"period_s\":{:.3f},\"incoming_messages\":{},\"incoming_bytes\":{},\"outgoing_"
      "messages\":{},"
      "\"outgoing_bytes\":{},\"stored\":{},\"dead_letters\":{},\"dropped\":{},\"commits\":{},\"retries\":{},"
      "\"lag\":{},"
      "\"created_to_stored_ms\":{},\"enqueued_to_stored_ms\":{}}}",
      utc_time(row.time_us), static_cast<double>(row.period_us) / 1e6, row.traffic.incoming_messages,
      row.traffic.incoming_bytes, row.traffic.outgoing_messages, row.traffic.outgoing_bytes,
      row.traffic.stored_rows, row.traffic.dead_letters, row.traffic.dropped, row.traffic.commits,
      row.traffic.retries, row.lag < 0 ? "null" : std::to_string(row.lag),
      latency_json(row.latency.created_to_stored), latency_json(row.latency.enqueued_to_stored));
}

std::string shared_log_note() {
  return "Incoming is about twice the event rate: the input and the output topic are in one log, and both "
         "count.";
}

std::string create_time_note(const std::string& topic) {
  return "Latency from enqueued is from what producers say: topic " + topic + " has CreateTime.";
}

std::string progress_line(int64_t elapsed_us, const ReportRow& row) {
  int64_t seconds = elapsed_us / 1'000'000;
  const Histogram& latency = row.latency.created_to_stored.count() > 0 ? row.latency.created_to_stored
                                                                       : row.latency.enqueued_to_stored;
  std::string line = fmt::format(
      "{:02}:{:02}  in {:>9}/s  stored {:>9}/s  lag {:>9}", seconds / 60, seconds % 60,
      with_thousands(static_cast<uint64_t>(per_second(row.traffic.incoming_messages, row.period_us))),
      with_thousands(static_cast<uint64_t>(per_second(row.traffic.stored_rows, row.period_us))),
      row.lag < 0 ? "-" : with_thousands(static_cast<uint64_t>(row.lag)));
  if (latency.count() > 0) {
    line += fmt::format("  p50 {:>7}  p99 {:>7}", human_latency(latency.quantile(0.5)),
                        human_latency(latency.quantile(0.99)));
  }
  if (row.traffic.dead_letters > 0)
    line += fmt::format("  dead letters {}", with_thousands(row.traffic.dead_letters));
  return line;
}

std::string with_thousands(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string human_latency(int64_t microseconds) {
  if (microseconds < 1'000) return fmt::format("{} us", microseconds);
  if (microseconds < 10'000) return fmt::format("{:.1f} ms", static_cast<double>(microseconds) / 1e3);
  if (microseconds < 1'000'000) return fmt::format("{} ms", microseconds / 1'000);
  if (microseconds < 100'000'000) return fmt::format("{:.1f} s", static_cast<double>(microseconds) / 1e6);
  return fmt::format("{} s", microseconds / 1'000'000);
}

}  // namespace tidemill::observe
