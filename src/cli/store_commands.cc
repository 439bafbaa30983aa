// query, connect, report, verify, vacuum.
#include <CLI/CLI.hpp>
#include <memory>

#include "base/logging.h"
#include "base/text.h"
#include "cli/context.h"
#include "solution/connect.h"
#include "solution/interrupt.h"
#include "solution/run_command.h"
#include "solution/vacuum.h"

namespace tidemill::cli {
namespace {

// Row after row for as long as the run has an owner, whoever that is.
int report(const Globals& globals, const std::string& run, const std::string& format, int64_t every_us,
           int64_t rows) {
  auto record = find_run(globals, run);
  if (!record.ok()) return report_error(record.error());
  const solution::RunStore runs(FileSystem::posix(), globals.root);
  solution::Request request{"report", {{"format", format}, {"every_us", std::to_string(every_us)}}, ""};
  auto owner = solution::SocketClient::connect(runs.directory(record->name, record->number));
  if (!owner.ok()) {
    log_warning("run " + record->id() + " is not running: its report is of nothing until it does");
    request.arguments["rows"] = std::to_string(rows);
    return ask_and_print(globals, run, std::move(request));
  }
  const std::atomic<bool>& interrupted = solution::interrupted();
  bool reader_left = false;
  bool heading = format == "table";
  while (true) {
    request.arguments["rows"] = std::to_string(rows);
    if (!heading) request.arguments["bare"] = "1";
    Status asked = ok_status();
    if (owner.ok()) {
      asked = (*owner)->ask(
          request,
          [&](std::string_view piece) {
            if (piece.empty()) return true;
            if (!heading && rows > 0) --rows;
            heading = false;
            reader_left = !print(std::string(piece));
            return !reader_left;
          },
          &interrupted);
    }
    if (reader_left) return kReaderLeft;
    if (interrupted) return kStopped;
    if (owner.ok() && asked.ok()) return kOk;
    const bool left = !owner.ok() || asked.error().retryable;
    if (!left && asked.error().code != Code::kStopped) return report_error(asked.error());
    if (!left || !taken_over(runs, *record)) break;
    owner = solution::SocketClient::connect(runs.directory(record->name, record->number));
  }
  if (interrupted) return kStopped;
  log_info("run " + record->id() + " has ended");
  return kOk;
}

int connect(const Globals& globals, const std::string& run, const std::string& branch) {
  auto record = find_run(globals, run);
  if (!record.ok()) return report_error(record.error());
  auto loaded = solution_of(*record);
  if (!loaded.ok()) return report_error(loaded.error());
  const solution::RunStore runs(FileSystem::posix(), globals.root);
  auto served = solution::find_branch(loaded->solution, branch);
  if (!served.ok()) return report_error(served.error());
  auto text = solution::connect_text(**served, {record->id(), runs.directory(record->name, record->number),
                                                solution::is_live(runs, *record)});
  if (!text.ok()) return report_error(text.error());
  return print(*text) ? kOk : kReaderLeft;
}

struct VacuumFlags {
  std::string run, branch, retention;
  bool dry_run = false, merge = false, unchecked = false;
};

// Without a run the solution's table, where that is one of its own place.
int vacuum(const Globals& globals, const VacuumFlags& flags) {
  solution::VacuumRequest request;
  request.dry_run = flags.dry_run;
  request.merge = flags.merge;
  request.unchecked = flags.unchecked;
  if (!flags.retention.empty()) {
    auto us = parse_duration_us(flags.retention);
    if (!us) return report_error(user_error("--retention: '" + flags.retention + "'; a duration, as 30d"));
    request.retention_us = *us;
  }
  auto record = find_run(globals, flags.run);
  Result<solution::Loaded> loaded =
      record.ok() ? solution_of(*record) : Result<solution::Loaded>(record.error());
  if (record.ok()) {
    const solution::RunStore runs(FileSystem::posix(), globals.root);
    request.run_directory = runs.directory(record->name, record->number);
  } else if (record.error().code == Code::kNotFound) {
    SolutionOptions options;
    options.solution = flags.run;
    auto resolved = resolve_solution(options);
    if (resolved.ok() && solution::table_is_elsewhere(resolved->loaded.solution))
      loaded = std::move(resolved->loaded);
  }
  if (!loaded.ok()) return report_error(loaded.error());
  auto served = solution::find_branch(loaded->solution, flags.branch);
  if (!served.ok()) return report_error(served.error());
  bool reader_left = false;
  Status done = solution::vacuum_tables(
      **served, request, [&](const std::string& line) { reader_left = reader_left || !print(line); });
  if (!done.ok()) return report_error(done.error());
  return reader_left ? kReaderLeft : kOk;
}

void add_vacuum(CLI::App& program, const Globals& globals, int* exit_code) {
  auto flags = std::make_shared<VacuumFlags>();
  CLI::App* clear = program.add_subcommand(
      "vacuum",
      "Removes files that no recent version of a Delta table needs, also while a pipeline writes it");
  clear->add_option("run", flags->run, "Name of the run, or a solution whose table is elsewhere")->required();
  clear->add_option("--retention", flags->retention,
                    "Versions of so long stay whole, as 30d; default: serve.delta.retention");
  CLI::Option* dry =
      clear->add_flag("--dry-run", flags->dry_run, "Says what it would remove, and removes nothing");
  clear->add_flag("--merge", flags->merge, "Merges small files first, until a partition has one at most")
      ->excludes(dry);
  clear->add_flag("--no-retention-check", flags->unchecked, "Take a --retention under 7 days");
  clear->add_option("--branch", flags->branch, "The table of this branch of the solution");
  clear->footer(
      "  tidemill vacuum eventhubs-databricks-delta --dry-run\n"
      "  tidemill vacuum eventhubs-databricks-delta --retention 30d\n"
      "  tidemill vacuum eventhubs-databricks-delta --merge\n\n"
      "A merge of small files takes files out of the table. Queries of older versions (--version, --time)\n"
      "read them until they are removed; after that those versions are gone. Files that no version names,\n"
      "which a crash leaves, stay a day at least: their commit may be yet to come. A pipeline with\n"
      "serve.delta.merge does the same every hour. More: docs/connectors/delta.md.");
  clear->callback([&globals, flags, exit_code] { *exit_code = vacuum(globals, *flags); });
}

}  // namespace

void add_store_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  struct QueryFlags {
    std::string run, sql, format = "table", time, branch;
    int64_t rows = -1, version = -1;
  };
  auto query = std::make_shared<QueryFlags>();
  CLI::App* ask =
      program.add_subcommand("query", "SQL on the served table or topic, also while the pipeline runs");
  ask->add_option("run", query->run, "Name of the run")->required();
  ask->add_option("sql", query->sql, "A statement that reads")->required();
  one_of(ask->add_option("--format", query->format)->capture_default_str(), {"table", "csv", "json"});
  ask->add_option("--rows", query->rows, "So many rows at most");
  ask->add_option("--branch", query->branch, "What this branch of the solution serves");
  auto* version = ask->add_option("--version", query->version, "A Delta table as it was at a version")
                      ->check(CLI::NonNegativeNumber);
  ask->add_option("--time", query->time, "A Delta table as it was at a time, as 2026-01-31T12:00:00Z")
      ->excludes(version);
  ask->footer(
      "  tidemill query telemetry \"SELECT type, count(*), avg(value) FROM rawdata GROUP BY type\"\n"
      "  tidemill query relay \"SELECT count(*), max(enqueuedAt) FROM output\"\n\n"
      "Tables are what the solution serves; `output` and `input` where that is a topic. More: "
      "docs/query.md.");
  ask->callback([&globals, query, exit_code] {
    *exit_code = ask_and_print(globals, query->run,
                               {"query",
                                {{"sql", query->sql},
                                 {"format", query->format},
                                 {"rows", std::to_string(query->rows)},
                                 {"version", std::to_string(query->version)},
                                 {"time", query->time},
                                 {"branch", query->branch}},
                                ""});
  });

  struct ConnectFlags {
    std::string run, branch;
  };
  auto connected = std::make_shared<ConnectFlags>();
  CLI::App* way = program.add_subcommand(
      "connect", "The command that opens a run's store with the store's own client, without its password");
  way->add_option("run", connected->run, "Name of the run")->required();
  way->add_option("--branch", connected->branch, "What this branch of the solution serves");
  way->footer(
      "  tidemill connect telemetry\n"
      "  eval \"$(tidemill connect telemetry)\"\n\nOf files it is their folder.");
  way->callback(
      [&globals, connected, exit_code] { *exit_code = connect(globals, connected->run, connected->branch); });

  struct ReportFlags {
    std::string run, format = "table", every = "60s";
    int64_t rows = -1;
  };
  auto flags = std::make_shared<ReportFlags>();
  CLI::App* rows =
      program.add_subcommand("report", "Throughput, lag and latency of a live run, a row a minute");
  rows->add_option("run", flags->run, "Name of the run")->required();
  one_of(rows->add_option("--format", flags->format)->capture_default_str(), {"table", "json"});
  rows->add_option("--every", flags->every, "Length of a row")->capture_default_str();
  rows->add_option("--rows", flags->rows, "Ends after so many");
  rows->footer("  tidemill report telemetry --every 10s");
  rows->callback([&globals, flags, exit_code] {
    auto every = parse_duration_us(flags->every);
    if (!every || *every < 100'000) {
      *exit_code = report_error(
          user_error("--every: '" + flags->every + "'; a duration of at least 100ms, as 10s or 1m"));
      return;
    }
    *exit_code = report(globals, flags->run, flags->format, *every, flags->rows);
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
  check->footer(
      "  tidemill verify telemetry\n"
      "  tidemill verify telemetry/1 --format json     # the first run of that name\n\n"
      "What is verified, and how: docs/verify.md.");
  check->callback([&globals, verify, exit_code] {
    *exit_code = ask_and_print(globals, verify->run,
                               {"verify", {{"format", verify->format}, {"rules", verify->rules}}, ""});
  });
  add_vacuum(program, globals, exit_code);
}

}  // namespace tidemill::cli
