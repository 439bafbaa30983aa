// The report: one row a period, as text columns or JSON lines.
//
// Columns and their meaning are the reference's (incoming and outgoing messages and bytes of the
// log, right-aligned, 20 wide), then rows stored, lag and latency.
#pragma once

#include <cstdint>
#include <string>

#include "observe/metrics.h"

namespace tidemill::observe {

struct ReportRow {
  int64_t time_us = 0;    // end of the period
  int64_t period_us = 0;  // its length
  Traffic traffic;        // within the period
  int64_t lag = -1;       // events not yet committed, at the end
  Latency latency;        // of rows committed within the period
};

// Cuts time into periods: every row is of the time since the one before. One for each who reports.
class Reporter {
 public:
  Reporter(const Metrics& metrics, int64_t now_us);
  ReportRow row(int64_t now_us, int64_t lag);

 private:
  const Metrics& metrics_;
  Traffic traffic_;
  Latency latency_;
  int64_t time_us_;
};

std::string report_header();                    // two lines: names, dashes
std::string report_line(const ReportRow& row);  // one line of the table
std::string report_json(const ReportRow& row);  // one JSON object, no line feed
// Under the table, where the output topic is in the same log as the input.
std::string shared_log_note();
// And of a topic whose records bear their producers' times.
std::string create_time_note(const std::string& topic);
// For the console, once a second: "00:12  10,003 ev/s in  9,993 stored/s  lag 310  p50 61 ms  p99 118 ms".
std::string progress_line(int64_t elapsed_us, const ReportRow& row);
// "12,345,678"
std::string with_thousands(uint64_t number);
// "85 us", "61 ms", "2.4 s"
std::string human_latency(int64_t microseconds);

}  // namespace tidemill::observe
