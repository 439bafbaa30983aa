// log: topics, read, follow, produce, repair.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <set>

#include "cli/context.h"
#include "log/owner.h"
#include "log/repair.h"
#include "observe/report.h"
#include "solution/interrupt.h"
#include "solution/produce.h"
#include "solution/run_appender.h"
#include "solution/run_command.h"

namespace tidemill::cli {
namespace {

struct ReadFlags {
  std::string run, topic, from, format = "values";
  int64_t partition = -1, max = -1;
};

void add_read_options(CLI::App& command, ReadFlags& flags) {
  command.add_option("run", flags.run, "Name of the run")->required();
  command.add_option("topic", flags.topic, "Topic (tidemill log topics lists them)")->required();
  command.add_option("--partition", flags.partition, "Only this one");
  command.add_option("--max", flags.max, "So many events at most");
  one_of(
      command
          .add_option("--format", flags.format,
                      "values: one per line; events: with position, time, key; json; batches: headers of the "
                      "stored batches")
          ->capture_default_str(),
      {"values", "events", "json", "batches"});
}

int read(const Globals& globals, const ReadFlags& flags, bool follow) {
  return ask_and_print(globals, flags.run,
                       {"log.read",
                        {{"topic", flags.topic},
                         {"partition", std::to_string(flags.partition)},
                         {"max", std::to_string(flags.max)},
                         {"from", flags.from},
                         {"format", flags.format},
                         {"follow", follow ? "1" : "0"}},
                        ""});
}

struct ProduceFlags {
  SolutionOptions solution;
  std::string name, topic, key;
};

Result<solution::Produced> produce(const Globals& globals, const ProduceFlags& flags) {
  TM_ASSIGN(Resolved resolved, resolve_solution(flags.solution));
  solution::RunOptions options;
  options.solution = flags.solution.solution;
  if (options.solution.ends_with(".yaml") || options.solution.ends_with(".yml")) {
    std::unique_ptr<char, void (*)(void*)> whole(::realpath(options.solution.c_str(), nullptr), ::free);
    if (whole) options.solution = whole.get();
  }
  options.loaded = std::move(resolved.loaded);
  options.settings = std::move(resolved.settings);
  options.name = flags.name;
  options.steps = "I";
  solution::RunStore runs(FileSystem::posix(), globals.root);
  TM_ASSIGN(solution::RunRecord record, solution::choose_run(runs, options));
  TM_ASSIGN(resolved, resolve_for_run(flags.solution, record, false));
  options.loaded = std::move(resolved.loaded);
  const solution::Solution& description = options.loaded.solution;

  solution::ProduceOptions produce;
  produce.topic = flags.topic.empty() ? description.ingest.log.topic : flags.topic;
  produce.key_path = flags.key;
  if (flags.key.empty() && !description.event.schema.key_field.empty())
    produce.key_path = description.event.schema.key_field;
  if (flags.key == "none") produce.key_path.clear();

  solution::RunAccess access(runs, record, description);
  auto appender = solution::run_appenders(access)(produce.topic, 0);
  if (!appender.ok()) return std::move(appender).error();
  auto produced = solution::produce_lines(
      STDIN_FILENO, **appender, produce,
      [&](uint64_t events) {
        if (!globals.quiet) std::fprintf(stderr, "%s events\n", observe::with_thousands(events).c_str());
      },
      solution::interrupted());
  if (produced.ok() && !globals.quiet) {
    print(observe::with_thousands(produced->events) + " events into " + produce.topic + " of run " +
          record.id() + "\n");
    if (produced->without_key > 0) {
      print(observe::with_thousands(produced->without_key) + " of them have no " + produce.key_path +
            " and so no key\n");
    }
  }
  appender->reset();
  access.disown();
  return produced;
}

int repair(const Globals& globals, const std::string& run, bool cut) {
  auto record = find_run(globals, run);
  if (!record.ok()) return report_error(record.error());
  solution::RunStore runs(FileSystem::posix(), globals.root);
  std::string directory = runs.directory(record->name, record->number);
  auto lock = log::lock_data_directory(FileSystem::posix(), directory);
  if (!lock.ok()) return report_error(std::move(lock).error().within("stop the run first"));
  auto damages = log::inspect_damage(FileSystem::posix(), join_path(directory, "log"));
  if (!damages.ok()) return report_error(damages.error());
  if (damages->empty()) {
    print("no damage found\n");
    return kOk;
  }
  for (const log::DamagedPlace& place : *damages) {
    print(place.file + ": byte " + std::to_string(place.position) + ": " + place.what +
          "; a cut loses offsets " + std::to_string(place.first_lost.value()) + " to " +
          (place.to_end ? "the end" : std::to_string(place.end_lost.value() - 1)) +
          (place.torn_tail ? " (a write torn by a crash: opening the log cuts it by itself)" : "") + "\n");
  }
  if (!cut) {
    print("nothing was changed; --cut cuts these places, and loses the offsets that they name\n");
    return kFailed;
  }
  std::set<TopicPartition> damaged;
  for (const log::DamagedPlace& place : *damages) damaged.insert(place.tp);
  for (const TopicPartition& tp : damaged) {
    auto done = log::repair_partition(FileSystem::posix(), join_path(directory, "log"), tp);
    if (!done.ok()) return report_error(done.error());
    print(tp.to_string() + ": cut " + std::to_string(done->size()) + " damaged place(s)\n");
  }
  return kOk;
}

}  // namespace

void add_log_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  CLI::App* log = program.add_subcommand("log", "Looks into a run's log, and writes to it");
  log->require_subcommand(1);
  log->footer("tidemill log COMMAND --help teaches each of them.");

  struct TopicFlags {
    std::string run, format = "table";
    bool all = false;
  };
  auto topics = std::make_shared<TopicFlags>();
  CLI::App* list = log->add_subcommand("topics", "Topics with their partitions, offsets and sizes");
  list->add_option("run", topics->run, "Name of the run")->required();
  list->add_flag("--all", topics->all, "Internal topics too");
  one_of(list->add_option("--format", topics->format)->capture_default_str(), {"table", "json"});
  list->footer("  tidemill log topics telemetry");
  list->callback([&globals, topics, exit_code] {
    *exit_code =
        ask_and_print(globals, topics->run,
                      {"log.topics", {{"format", topics->format}, {"all", topics->all ? "1" : "0"}}, ""});
  });

  auto reading = std::make_shared<ReadFlags>();
  CLI::App* dump = log->add_subcommand("read", "Prints a topic's events, or its batches");
  add_read_options(*dump, *reading);
  dump->add_option("--from", reading->from, "earliest (default), latest, an offset, or a time");
  dump->footer(
      "  tidemill log read telemetry telemetry --max 3\n"
      "  tidemill log read telemetry telemetry --from 2026-01-01T00:00:00Z --format json --max 3");
  dump->callback([&globals, reading, exit_code] { *exit_code = read(globals, *reading, false); });

  auto following = std::make_shared<ReadFlags>();
  following->from = "latest";
  CLI::App* follow = log->add_subcommand("follow", "Prints events as they come, until interrupted");
  add_read_options(*follow, *following);
  follow->add_option("--from", following->from, "earliest, latest (default), an offset, or a time");
  follow->footer("  tidemill log follow telemetry telemetry --from earliest --max 3");
  follow->callback([&globals, following, exit_code] { *exit_code = read(globals, *following, true); });

  auto producing = std::make_shared<ProduceFlags>();
  CLI::App* in = log->add_subcommand("produce", "Appends lines of standard input to a topic, one event each");
  producing->solution.add_to(*in);
  in->add_option("--name", producing->name, "Name of the run (the solution's by default)");
  in->add_option("--topic", producing->topic, "The solution's input topic by default");
  in->add_option("--key", producing->key,
                 "Member of the event that is its key (event.key by default); none: no key");
  in->footer("  tidemill log produce weather.yaml < weather.jsonl");
  in->callback([&globals, producing, exit_code] {
    auto produced = produce(globals, *producing);
    *exit_code = !produced.ok() ? report_error(produced.error()) : solution::interrupted() ? kStopped : kOk;
  });

  struct RepairFlags {
    std::string run;
    bool cut = false;
  };
  auto repairing = std::make_shared<RepairFlags>();
  CLI::App* damage = log->add_subcommand("repair", "Shows damage inside segments and, on request, cuts it");
  damage->add_option("run", repairing->run, "Name of the run")->required();
  damage->add_flag("--cut", repairing->cut,
                   "Cut what is damaged out of each partition; says which offsets are lost");
  damage->footer("  tidemill log repair telemetry");
  damage->callback(
      [&globals, repairing, exit_code] { *exit_code = repair(globals, repairing->run, repairing->cut); });
}

}  // namespace tidemill::cli
