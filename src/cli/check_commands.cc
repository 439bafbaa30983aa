// check, schema: what a solution comes to, without starting anything.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/text.h"
#include "cli/context.h"
#include "solution/between.h"
#include "solution/store_sql.h"
#include "solution/verification.h"
#include "solution/wire.h"

namespace tidemill::cli {
namespace {

// A log to plan against, in a directory that goes away with it: check starts nothing and leaves nothing.
class Scratch {
 public:
  // `run_directory`: where a run would be, which is only spoken of.
  static Result<std::unique_ptr<Scratch>> make(const solution::Solution& solution,
                                               std::string run_directory) {
    auto scratch = std::unique_ptr<Scratch>(new Scratch());
    std::string pattern = (std::filesystem::temp_directory_path() / "tidemill-check-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) return external_error(pattern + ": cannot create a directory");
    scratch->directory_ = pattern;
    log::Options options = solution.log.options;
    options.durability = log::Durability::kNone;  // nothing of it outlives the command
    TM_ASSIGN(scratch->log_,
              log::Log::open(FileSystem::posix(), Clock::system(), Random::system(), pattern, options));
    TM_TRY(create_topics(solution, *scratch->log_));
    scratch->ground_.log = scratch->log_.get();
    scratch->ground_.files = &FileSystem::posix();
    scratch->ground_.clock = &Clock::system();
    scratch->ground_.run_directory = std::move(run_directory);
    scratch->ground_.dry = true;
    scratch->ground_.database = [](const solution::DuckDbSink&) { return duck::Database::open(":memory:"); };
    return scratch;
  }
  ~Scratch() {
    log_.reset();
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }
  const solution::Ground& ground() const { return ground_; }

 private:
  std::string directory_;
  std::unique_ptr<log::Log> log_;
  solution::Ground ground_;
};

// What it runs on, and what stands in for what.
std::string target_text(const solution::Loaded& loaded) {
  std::vector<std::string> names;
  for (const solution::Preset& target : loaded.targets) names.push_back(target.name);
  std::string text;
  if (!names.empty())
    text = "target " + (loaded.target.empty() ? "none" : loaded.target) + " of " + join(names, ", ") + "\n";
  for (const std::string& one : solution::replacements(loaded)) text += "  " + one + "\n";
  return text.empty() ? text : text + "\n";
}

int check(const Globals& globals, const SolutionOptions& options) {
  auto resolved = resolve_solution(options);
  if (!resolved.ok()) return report_error(resolved.error());
  const solution::Solution& solution = resolved->loaded.solution;
  for (const solution::Solution* one : solution::with_branches(solution)) {
    if (Status known = solution::check_credentials(*one); !known.ok()) return report_error(known.error());
  }
  auto scratch = Scratch::make(solution, join_path(join_path(globals.root, solution.name), "<number>"));
  if (!scratch.ok()) return report_error(scratch.error());
  auto stages = solution::wire_all(solution, (*scratch)->ground());
  if (!stages.ok()) return report_error(stages.error());
  print(solution.name + (solution.description.empty() ? "" : ": " + solution.description) + "\n\n" +
        target_text(resolved->loaded));
  pipeline::Guarantee whole = pipeline::Guarantee::kExactlyOnce;
  std::string branch;
  for (const solution::Stage& stage : *stages) {
    if (stage.solution->branch != branch) {
      branch = stage.solution->branch;
      print("  branch " + branch + "\n");
    }
    print("  " + stage.source->traits().system + "\n");
    for (const auto& op : stage.plan.operators) print("    -> " + op->describe() + "\n");
    pipeline::SinkTraits sink = stage.sink->traits();
    print("    -> " + sink.store + "\n");
    if (sink.visibility_delay_us > 0) {
      print("       rows are visible to readers after up to " + format_duration_us(sink.visibility_delay_us) +
            "\n");
    }
    whole = std::min(whole, stage.guarantee.guarantee);
  }
  // Stages have much in common: what holds for several is said once.
  std::vector<std::string> reasons, limits, notes;
  auto add = [](const std::vector<std::string>& from, std::vector<std::string>* to) {
    for (const std::string& text : from) {
      if (std::find(to->begin(), to->end(), text) == to->end()) to->push_back(text);
    }
  };
  for (const solution::Stage& stage : *stages) {
    add(stage.guarantee.reasons, &reasons);
    add(stage.guarantee.limits, &limits);
    const pipeline::SourceTraits source = stage.source->traits();
    if (source.timestamp_type == TimestampType::kCreateTime) {
      add({source.system + " has CreateTime: enqueuedAt, and the latency from it, are what producers say"},
          &notes);
    }
    if (!source.sharing.empty()) add({source.sharing}, &reasons);
    if (!stage.unasked.empty()) add({"the cluster could not be asked: " + stage.unasked}, &notes);
  }
  const bool asked =
      std::all_of(stages->begin(), stages->end(), [](const auto& stage) { return stage.unasked.empty(); });
  const bool by_producers = std::any_of(stages->begin(), stages->end(), [](const auto& stage) {
    return stage.source->traits().timestamp_type == TimestampType::kCreateTime;
  });
  for (const solution::Solution* one : solution::with_branches(solution)) {
    Status store = solution::ask_store(*one);
    if (!store.ok()) add({"the store could not be asked: " + store.error().message}, &notes);
    if (std::string note = solution::rekey_note(*one); !note.empty()) add({note}, &notes);
    if (std::string note = by_producers || !asked ? solution::horizon_note(*one) : ""; !note.empty())
      add({note}, &notes);
    if (std::string note = asked ? solution::size_note(*one) : ""; !note.empty()) add({note}, &notes);
    if (auto why = solution::why_unverified(*one)) add({"verify has nothing to go by: " + *why}, &notes);
  }
  if (std::string note = asked ? solution::simulation_note(solution) : ""; !note.empty()) add({note}, &notes);
  print("\nguarantee: " + pipeline::guarantee_name(whole) +
        (limits.empty() ? "\n" : ", within the limits below\n"));
  for (const std::string& reason : reasons) print("  - " + reason + "\n");
  if (!solution.branches.empty()) {
    print(
        "  - the whole promises what its weakest sink does; each commits its positions with its own rows, so "
        "after "
        "a kill each goes on where it was, and one may be ahead of another for a while\n");
  }
  for (const std::string& limit : limits) print("  ! " + limit + "\n");
  for (const std::string& note : notes) print("  ! " + note + "\n");
  if (solution.serve.kind == solution::SinkKind::kDuckDb) {
    print(
        "  - the database file belongs to one process: a second one of this data directory (run --steps P) "
        "stands "
        "by and takes over, and queries go through it\n");
  }
  return kOk;
}

int schema(const Globals& globals, const SolutionOptions& options, const std::string& dialect,
           const std::string& branch) {
  auto resolved = resolve_solution(options);
  if (!resolved.ok()) return report_error(resolved.error());
  const solution::Solution& solution = resolved->loaded.solution;
  const std::string root = std::filesystem::absolute(globals.root).lexically_normal().string();
  auto scratch = Scratch::make(solution, join_path(join_path(root, solution.name), "<number>"));
  if (!scratch.ok()) return report_error(scratch.error());
  const solution::Dialect asked = dialect == "duckdb"     ? solution::Dialect::kDuckDb
                                  : dialect == "postgres" ? solution::Dialect::kPostgres
                                  : dialect == "spark"    ? solution::Dialect::kSpark
                                                          : solution::Dialect::kStore;
  auto served = solution::find_branch(solution, branch);
  if (!served.ok()) return report_error(served.error());
  auto sql = solution::store_sql(**served, (*scratch)->ground(), asked);
  if (!sql.ok()) return report_error(sql.error());
  return print(*sql) ? kOk : kReaderLeft;
}

}  // namespace

void add_check_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  auto checked = std::make_shared<SolutionOptions>();
  CLI::App* checking = program.add_subcommand(
      "check", "Checks a solution file; prints its topology and its guarantee, and why");
  checked->add_to(*checking);
  checking->footer("  tidemill check relay --set log.durability=none");
  checking->callback([&globals, checked, exit_code] { *exit_code = check(globals, *checked); });

  struct SchemaFlags {
    SolutionOptions solution;
    std::string dialect = "store", branch;
  };
  auto flags = std::make_shared<SchemaFlags>();
  CLI::App* tables = program.add_subcommand("schema", "The tables that a solution's store holds, as SQL");
  flags->solution.add_to(*tables);
  one_of(
      tables
          ->add_option("--dialect", flags->dialect,
                       "The store's own, with all that the run keeps there; or a table of the events alone")
          ->capture_default_str(),
      {"store", "duckdb", "postgres", "spark"});
  tables->add_option("--branch", flags->branch, "Of what this branch of the solution serves");
  tables->footer(
      "  tidemill schema telemetry\n"
      "  tidemill schema eventhubs-databricks-azuresql --target local\n"
      "  tidemill schema relay --dialect spark");
  tables->callback([&globals, flags, exit_code] {
    *exit_code = schema(globals, flags->solution, flags->dialect, flags->branch);
  });
}

}  // namespace tidemill::cli
