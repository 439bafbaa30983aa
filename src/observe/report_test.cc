#include "observe/report.h"

#include <gtest/gtest.h>

namespace tidemill::observe {
namespace {

ReportRow row_of_one_minute() {
  Metrics metrics;
  std::vector<int64_t> created(600, 1'000'000), enqueued(600, 1'050'000);
  metrics.on_incoming(1202, 1'000'000);
  metrics.on_commit(601, 500'000, 600, 0, 1, created, enqueued, 1'100'000);
  ReportRow row;
  row.time_us = 1'700'000'000'000'000;
  row.period_us = 60'000'000;
  row.traffic = metrics.traffic();
  row.lag = 17;
  row.latency = metrics.take_latency(Metrics::kTable);
  return row;
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

TEST(Report, LatencyIsTakenOncePerReader) {
  Metrics metrics;
  std::vector<int64_t> at{100, INT64_MIN};
  metrics.on_commit(2, 2, 2, 0, 0, at, at, 300);
  EXPECT_EQ(metrics.take_latency(Metrics::kConsole).created_to_stored.count(), 1u);
  EXPECT_EQ(metrics.take_latency(Metrics::kConsole).created_to_stored.count(), 0u);
  EXPECT_EQ(metrics.take_latency(Metrics::kTable).created_to_stored.quantile(1), 200);
  EXPECT_EQ(metrics.total_latency().created_to_stored.count(), 1u);
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
