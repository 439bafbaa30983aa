#include "solution/query_postgres.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "event/json_splice.h"
#include "solution/host.h"
#include "solution/query_text.h"
#include "solution/sinks.h"

namespace tidemill::solution {
namespace {

constexpr size_t kWidthRows = 1000;  // a table's widths follow the first rows
// pg_type.oid
constexpr uint32_t kBool = 16, kInt8 = 20, kInt2 = 21, kInt4 = 23, kJson = 114, kFloat4 = 700, kFloat8 = 701,
                   kNumeric = 1700, kJsonb = 3802;

bool is_number(uint32_t type) {
  return type == kInt8 || type == kInt2 || type == kInt4 || type == kFloat4 || type == kFloat8 ||
         type == kNumeric;
}

// NaN and Infinity are no JSON.
bool is_json_number(std::string_view text) {
  return text.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
}

// Prints the rows of one answer after another.
class Printer {
 public:
  Printer(std::string format, int64_t most, const Reply& reply)
      : format_(std::move(format)), most_(most), reply_(reply) {}

  // False when nobody takes more.
  bool row(const pg::Answer& answer) {
    if (names_.empty()) begin(answer);
    if (answer.rows() == 0) return true;
    if (most_ >= 0 && printed_ >= most_) return false;
    ++printed_;
    if (format_ == "json") return reply_(json(answer));
    if (format_ == "csv") return reply_(csv(answer));
    std::vector<std::string> cells;
    for (size_t c = 0; c < names_.size(); ++c)
      cells.push_back(answer.is_null(0, c) ? "NULL" : clipped(std::string(answer.text(0, c))));
    if (head_printed_) return reply_(table_line(cells, widths_, right_));
    for (size_t c = 0; c < cells.size(); ++c) widths_[c] = std::max(widths_[c], width_of(cells[c]));
    first_.push_back(std::move(cells));
    return first_.size() < kWidthRows || print_first();
  }
  void end() {
    if (format_ == "json" || format_ == "csv") return;
    if (!head_printed_ && !print_first()) return;
    reply_(fmt::format("({} {})\n", printed_, printed_ == 1 ? "row" : "rows"));
  }

 private:
  void begin(const pg::Answer& answer) {
    std::string head;
    for (size_t c = 0; c < answer.columns(); ++c) {
      names_.push_back(answer.column_name(c));
      types_.push_back(answer.column_type(c));
      right_.push_back(is_number(types_.back()));
      widths_.push_back(width_of(names_.back()));
      head += (c == 0 ? "" : ",") + csv_cell(names_.back());
    }
    if (format_ == "csv") reply_(head + "\n");
  }
  bool print_first() {
    head_printed_ = true;
    std::vector<std::string> dashes;
    for (size_t width : widths_) dashes.emplace_back(width, '-');
    std::string text = table_line(names_, widths_, right_) + table_line(dashes, widths_, right_);
    for (const auto& cells : first_) text += table_line(cells, widths_, right_);
    first_.clear();
    return reply_(text);
  }
  std::string csv(const pg::Answer& answer) const {
    std::string line;
    for (size_t c = 0; c < names_.size(); ++c)
      line += (c == 0 ? "" : ",") + csv_cell(std::string(answer.text(0, c)));
    return line + "\n";
  }
  std::string json(const pg::Answer& answer) const {
    std::string line = "{";
    for (size_t c = 0; c < names_.size(); ++c) {
      if (c > 0) line += ',';
      append_json_string(names_[c], &line);
      line += ':';
      const std::string_view text = answer.text(0, c);
      if (answer.is_null(0, c)) {
        line += "null";
      } else if (types_[c] == kBool) {
        line += text == "t" ? "true" : "false";
      } else if (types_[c] == kJson || types_[c] == kJsonb ||
                 (is_number(types_[c]) && is_json_number(text))) {
        for (char ch : text) line += ch == '\n' || ch == '\r' ? ' ' : ch;  // between tokens only
      } else {
        append_json_string(text, &line);
      }
    }
    return line + "}\n";
  }

  const std::string format_;
  const int64_t most_;
  const Reply& reply_;
  std::vector<std::string> names_;
  std::vector<uint32_t> types_;
  std::vector<bool> right_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> first_;
  bool head_printed_ = false;
  int64_t printed_ = 0;
};

// Ends the statement at the server once its asker has left.
class Watch {
 public:
  Watch(pg::Connection& connection, const std::atomic<bool>& gone)
      : thread_([this, &connection, &gone] {
          std::unique_lock lock(mutex_);
          while (!changed_.wait_for(lock, std::chrono::milliseconds(100), [this] { return ended_; })) {
            if (gone) connection.cancel();
          }
        }) {}
  ~Watch() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace

Status query_postgres(Host& host, const Solution& solution, const Request& request, const Reply& reply,
                      const std::atomic<bool>& gone) {
  const int64_t timeout_us = solution.query.timeout_us;
  const int64_t deadline_ns = Clock::system().steady_ns() + timeout_us * 1000;
  auto over = [&] { return gone || Clock::system().steady_ns() > deadline_ns; };
  const Error too_long{Domain::kUser, Code::kStopped, false,
                       fmt::format("the query took longer than {:g} s (query.timeout) and was stopped",
                                   static_cast<double>(timeout_us) / 1e6)};
  if (!host.queries().enter(over)) return gone ? ok_status() : Status(too_long);
  struct Turn {
    QueryGate& gate;
    ~Turn() { gate.leave(); }
  } turn{host.queries()};

  TM_ASSIGN(auto connection, pg::Connection::open(postgres_connection(solution.serve.postgres)));
  const int64_t timeout_ms = std::max<int64_t>(1, timeout_us / 1000);
  TM_TRY(connection->execute("SET default_transaction_read_only = on; SET statement_timeout = " +
                             std::to_string(timeout_ms) + "; BEGIN READ ONLY"));
  Printer printer(request.get("format", "table"), request.number("rows", -1), reply);
  bool enough = false;
  const Watch watch(*connection, gone);
  Status outcome = connection->stream(request.get("sql"), [&](const pg::Answer& answer) -> Status {
    enough = gone || !printer.row(answer);
    return enough ? Status(Error{Domain::kUser, Code::kStopped, false, "nobody takes more"}) : Status();
  });
  if (!outcome.ok() && !enough) return over() ? Status(too_long) : outcome;
  printer.end();
  return {};
}

}  // namespace tidemill::solution
