// query, report, verify.
#include <CLI/CLI.hpp>
#include <memory>

#include "base/logging.h"
#include "base/text.h"
#include "cli/context.h"
#include "solution/run_command.h"

namespace tidemill::cli {

void add_store_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  struct QueryFlags {
    std::string run, sql, format = "table";
    int64_t rows = -1;
  };
  auto query = std::make_shared<QueryFlags>();
  CLI::App* ask = program.add_subcommand("query", "SQL on the served table, also while the pipeline runs");
  ask->add_option("run", query->run, "Name of the run")->required();
  ask->add_option("sql", query->sql, "A statement that reads")->required();
  one_of(ask->add_option("--format", query->format)->capture_default_str(), {"table", "csv", "json"});
  ask->add_option("--rows", query->rows, "So many rows at most");
  ask->footer(
      "  tidemill query telemetry \"SELECT type, count(*), avg(value) FROM rawdata GROUP BY type\"\n\nMore: "
      "docs/query.md.");
  ask->callback([&globals, query, exit_code] {
    *exit_code = ask_and_print(
        globals, query->run,
        {"query",
         {{"sql", query->sql}, {"format", query->format}, {"rows", std::to_string(query->rows)}},
         ""});
  });

  struct ReportFlags {
    std::string run, format = "table", every = "60s";
    int64_t rows = -1;
  };
  auto report = std::make_shared<ReportFlags>();
  CLI::App* rows =
      program.add_subcommand("report", "Throughput, lag and latency of a live run, a row a minute");
  rows->add_option("run", report->run, "Name of the run")->required();
  one_of(rows->add_option("--format", report->format)->capture_default_str(), {"table", "json"});
  rows->add_option("--every", report->every, "Length of a row")->capture_default_str();
  rows->add_option("--rows", report->rows, "Ends after so many");
  rows->callback([&globals, report, exit_code] {
    auto every = parse_duration_us(report->every);
    if (!every || *every < 100'000) {
      *exit_code = report_error(
          user_error("--every: '" + report->every + "'; a duration of at least 100ms, as 10s or 1m"));
      return;
    }
    auto record = find_run(globals, report->run);
    if (record.ok() && !solution::is_live(solution::RunStore(FileSystem::posix(), globals.root), *record)) {
      log_warning("run " + record->id() + " is not running: its report is of nothing until it does");
    }
    *exit_code = ask_and_print(globals, report->run,
                               {"report",
                                {{"format", report->format},
                                 {"every_us", std::to_string(*every)},
                                 {"rows", std::to_string(report->rows)}},
                                ""});
  });

  struct VerifyFlags {
    std::string run, format = "table", rules;
  };
  auto verify = std::make_shared<VerifyFlags>();
  CLI::App* check =
      program.add_subcommand("verify", "Accounts for every event of a run; exit status 0 only on PASS");
  check->add_option("run", verify->run, "Name of the run")->required();
  one_of(check->add_option("--format", verify->format)->capture_default_str(), {"table", "json"});
  one_of(check->add_option("--rules", verify->rules, "strict, or the reference's"), {"strict", "reference"});
  check->callback([&globals, verify, exit_code] {
    *exit_code = ask_and_print(globals, verify->run,
                               {"verify", {{"format", verify->format}, {"rules", verify->rules}}, ""});
  });
}

}  // namespace tidemill::cli
