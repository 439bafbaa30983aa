#include "observe/report.h"

#include <gtest/gtest.h>

namespace tidemill::observe {
namespace {

ReportRow row_of_one_minute() {
  Metrics metrics;
  Reporter reporter(metrics, 1'699'999'940'000'000);
  std::vector<int64_t> created(600, 1'000'000), enqueued(600, 1'050'000);
  metrics.on_incoming(1202, 1'000'000);
  metrics.on_commit({.events_in = 601,
                     .bytes_in = 500'000,
                     .rows = 600,
                     .dropped = 1,
                     .created_us = created,
                     .enqueued_us = enqueued,
                     .committed_us = 1'100'000});
  return reporter.row(1'700'000'000'000'000, 17);
}

TEST(Report, ColumnsLineUpWithTheirNames) {
  std::string header = report_header();
  std::string names = header.substr(0, header.find('\n'));
  std::string line = report_line(row_of_one_minute());
  EXPECT_EQ(names.size(), line.size());
  EXPECT_EQ(names.substr(28, 20), "    IncomingMessages");
  EXPECT_EQ(line.substr(28, 20), "                1202");
}

TEST(Report, JsonHasEveryFigure) {
  std::string json = report_json(row_of_one_minute());
  EXPECT_NE(json.find("\"incoming_messages\":1202"), std::string::npos) << json;
  EXPECT_NE(json.find("\"stored\":600"), std::string::npos) << json;
  EXPECT_NE(json.find("\"dropped\":1"), std::string::npos) << json;
  EXPECT_NE(json.find("\"enqueued_to_stored_ms\":{\"p50\":50."), std::string::npos) << json;
}

TEST(Report, EveryReporterHasPeriodsOfItsOwn) {
  Metrics metrics;
  Reporter one(metrics, 0), other(metrics, 0);
  std::vector<int64_t> at{100, INT64_MIN};
  metrics.on_commit({.events_in = 2, .rows = 2, .created_us = at, .enqueued_us = at, .committed_us = 300});
  EXPECT_EQ(one.row(1, -1).latency.created_to_stored.count(), 1u);
  EXPECT_EQ(one.row(2, -1).latency.created_to_stored.count(), 0u);
  EXPECT_EQ(other.row(3, -1).traffic.stored_rows, 2u);
  EXPECT_EQ(metrics.latency().created_to_stored.count(), 1u);
}

TEST(Report, NumbersReadEasily) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1234567), "1,234,567");
  EXPECT_EQ(human_latency(85), "85 us");
  EXPECT_EQ(human_latency(61'400), "61 ms");
  EXPECT_EQ(human_latency(2'400'000), "2.4 s");
}

}  // namespace
}  // namespace tidemill::observe
