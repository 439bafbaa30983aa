// status, stop, clean.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "cli/context.h"
#include "event/json_splice.h"
#include "event/timestamp.h"
#include "observe/report.h"
#include "solution/run_command.h"

namespace tidemill::cli {
namespace {

std::string state_of(const solution::RunStore& runs, const solution::RunRecord& record) {
  if (solution::is_live(runs, record)) return "running";
  if (!record.problem.empty()) return "unusable";
  return record.state == "finished" ? "finished" : "stopped";
}

std::string json_text(std::string_view text) {
  std::string quoted;
  append_json_string(text, &quoted);
  return quoted;
}

int status(const Globals& globals, bool json) {
  solution::RunStore runs(FileSystem::posix(), globals.root);
  auto all = runs.list();
  if (!json && all.empty()) {
    print("no runs in " + globals.root + "; start one: tidemill run telemetry\n");
    return kOk;
  }
  if (!json)
    print(fmt::format("{:<28} {:<10} {:<8} {:<21} {:>16}\n", "RUN", "STATE", "VERDICT", "STARTED", "BYTES"));
  for (const auto& record : all) {
    const std::string state = state_of(runs, record);
    const std::string started = record.problem.empty() ? format_timestamp(record.created_us, 0) : "-";
    uint64_t bytes = runs.contents(record).bytes;
    if (json) {
      std::string problem = record.problem.empty() ? "" : ",\"problem\":" + json_text(record.problem);
      print(fmt::format(
          "{{\"run\":\"{}\",\"state\":\"{}\",\"verdict\":\"{}\",\"started\":\"{}\",\"bytes\":{}{}}}\n",
          record.id(), state, record.verdict, started, bytes, problem));
    } else {
      print(fmt::format("{:<28} {:<10} {:<8} {:<21} {:>16}\n", record.id(), state,
                        record.verdict.empty() ? "-" : record.verdict, started,
                        observe::with_thousands(bytes)));
      if (!record.problem.empty()) print("    " + record.problem + "\n");
    }
  }
  return kOk;
}

int stop(const Globals& globals, const std::string& word, bool leave) {
  auto record = find_run(globals, word);
  if (!record.ok()) return report_error(record.error());
  solution::RunStore runs(FileSystem::posix(), globals.root);
  std::string directory = runs.directory(record->name, record->number);
  // An owner that is leaving by itself passes the run on: the stop is for whoever takes its place.
  while (true) {
    auto client = solution::SocketClient::connect(directory);
    if (client.ok()) {
      auto asked = (*client)->ask(solution::Request{"stop", {{"leave", leave ? "1" : "0"}}, ""});
      if (asked.ok()) print(*asked);
      if (asked.ok()) break;
      if (!asked.error().retryable) return report_error(asked.error());
      Clock::system().sleep_us(20'000);
    }
    if (!taken_over(runs, *record)) {
      print("run " + record->id() + " is not running\n");
      return kOk;
    }
  }
  // It ends its epochs and closes its log; wait for that, so that the next command finds it stopped.
  for (int i = 0; i < 3000 && solution::is_live(runs, *record); ++i) Clock::system().sleep_us(20'000);
  if (solution::is_live(runs, *record)) {
    return report_error(
        external_error("run " + record->id() + " has not ended within a minute; it still commits, or hangs"));
  }
  print("run " + record->id() + " stopped; tidemill run goes on with it\n");
  return kOk;
}

int clean(const Globals& globals, const std::string& word, bool all, bool yes) {
  solution::RunStore runs(FileSystem::posix(), globals.root);
  std::vector<solution::RunRecord> doomed;
  if (all) {
    doomed = runs.list();
  } else {
    auto record = find_run(globals, word);
    if (!record.ok()) return report_error(record.error());
    // A name means all its runs, a name with a number that one.
    doomed = word.find('/') != std::string::npos && record->id() == word ? std::vector{*record}
                                                                         : runs.list(record->name);
  }
  if (doomed.empty()) {
    print("no runs in " + globals.root + "\n");
    return kOk;
  }
  // Their locks are held to the end: nobody begins to use what is about to go.
  std::vector<std::unique_ptr<FileLock>> locks;
  for (const auto& record : doomed) {
    auto lock = solution::lock_idle_run(runs, record);
    if (!lock.ok()) return report_error(lock.error());
    locks.push_back(std::move(*lock));
    auto contents = runs.contents(record);
    print(fmt::format("run {}: {} bytes in {}\n", record.id(), observe::with_thousands(contents.bytes),
                      runs.directory(record.name, record.number)));
    for (const std::string& path : contents.foreign)
      print("  not made by the run, left alone: " + path + "\n");
  }
  if (!yes) {
    if (::isatty(STDIN_FILENO) != 1) {
      print("nothing was removed; --yes removes it\n");
      return kUsage;
    }
    print("remove? [y/N] ");
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "yes") return kOk;
  }
  for (const auto& record : doomed) {
    Status removed = runs.remove(record);
    if (!removed.ok()) return report_error(removed.error());
  }
  print(fmt::format("removed {} {}\n", doomed.size(), doomed.size() == 1 ? "run" : "runs"));
  return kOk;
}

}  // namespace

void add_lifecycle_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  auto json = std::make_shared<std::string>("table");
  CLI::App* list = program.add_subcommand("status", "Lists runs: running, stopped, finished");
  one_of(list->add_option("--format", *json)->capture_default_str(), {"table", "json"});
  list->footer("  tidemill status --format json");
  list->callback([&globals, json, exit_code] { *exit_code = status(globals, *json == "json"); });

  auto run = std::make_shared<std::string>();
  auto leave = std::make_shared<bool>(false);
  CLI::App* end =
      program.add_subcommand("stop", "Ends a run gracefully; the same run command goes on with it");
  end->add_option("run", *run, "Name of the run")->required();
  end->add_flag("--leave", *leave,
                "Give up the place that ingest.kafka.member keeps for it: others take over at once");
  end->footer("  tidemill stop telemetry");
  end->callback([&globals, run, leave, exit_code] { *exit_code = stop(globals, *run, *leave); });

  struct CleanFlags {
    std::string run;
    bool all = false, yes = false;
  };
  auto flags = std::make_shared<CleanFlags>();
  CLI::App* remove =
      program.add_subcommand("clean", "Removes what runs made, and nothing else, after saying what");
  remove->add_option("run", flags->run, "Name (all its runs), or name/number");
  remove->add_flag("--all", flags->all, "All runs");
  remove->add_flag("--yes", flags->yes, "Do not ask");
  remove->footer("  tidemill clean telemetry --yes     # all runs of that name; telemetry/1: one of them");
  remove->callback([&globals, flags, exit_code] {
    if (flags->run.empty() && !flags->all) {
      *exit_code = report_error(user_error("which run? tidemill clean NAME, or --all"));
      return;
    }
    *exit_code = clean(globals, flags->run, flags->all, flags->yes);
  });
}

}  // namespace tidemill::cli
