// solutions, show, docs.
#include <CLI/CLI.hpp>
#include <memory>

#include "base/steps.h"
#include "cli/context.h"
#include "solution/catalogue.h"
#include "solution/reference.h"

namespace tidemill::cli {
namespace {

int explain_solution(const solution::Catalogue& catalogue, const std::string& name, bool whole, bool json) {
  auto environment = solution::process_environment();
  auto file = catalogue.find(name);
  if (!file.ok()) return report_error(file.error());
  if (whole) {
    print(file->text);
  } else if (json) {
    print(solution::catalogue_json(std::vector{*file}, environment) + "\n");
  } else {
    auto text = solution::overview_text(*file, environment);
    if (!text.ok()) return report_error(text.error());
    print(*text);
  }
  return kOk;
}

}  // namespace

void add_solution_commands(CLI::App& program, const Globals&, int* exit_code) {
  struct ListFlags {
    std::string name, format = "table";
    bool file = false;
  };
  auto listing = std::make_shared<ListFlags>();
  CLI::App* list = program.add_subcommand("solutions", "Lists the catalogue, or explains one solution of it");
  CLI::Option* one = list->add_option("solution", listing->name,
                                      "Name in the catalogue, or a file: its targets, variants and sizes");
  list->add_flag("--file", listing->file, "Prints its file, to begin from")->needs(one);
  one_of(list->add_option("--format", listing->format)->capture_default_str(), {"table", "json"});
  list->footer(
      "  tidemill solutions\n"
      "  tidemill solutions eventhubs-databricks-azuresql\n"
      "  tidemill solutions telemetry --file > my.yaml     # to begin from");
  list->callback([listing, exit_code] {
    solution::Catalogue catalogue = the_catalogue();
    if (listing->name.empty()) {
      auto environment = solution::process_environment();
      print(listing->format == "json" ? solution::catalogue_json(catalogue.list(), environment) + "\n"
                                      : solution::catalogue_text(catalogue.list(), environment));
      *exit_code = kOk;
      return;
    }
    *exit_code = explain_solution(catalogue, listing->name, listing->file, listing->format == "json");
  });

  struct ShowFlags {
    SolutionOptions solution;
    std::string format = "table";
  };
  auto show = std::make_shared<ShowFlags>();
  CLI::App* effective = program.add_subcommand("show", "Every setting in force, and where it came from");
  show->solution.add_to(*effective);
  one_of(effective->add_option("--format", show->format)->capture_default_str(), {"table", "json"});
  effective->footer(
      "  tidemill show telemetry --size 10\n"
      "  tidemill show telemetry --set pipeline.tasks=4");
  effective->callback([show, exit_code] {
    auto resolved = resolve_solution(show->solution);
    if (!resolved.ok()) {
      *exit_code = report_error(resolved.error());
      return;
    }
    print(show->format == "json" ? solution::show_json(resolved->loaded) + "\n"
                                 : solution::show_text(resolved->loaded));
    *exit_code = kOk;
  });

  auto what = std::make_shared<std::string>();
  CLI::App* docs = program.add_subcommand("docs",
                                          "Prints references: settings (Markdown), schema (JSON Schema, for "
                                          "editors), steps (named commit steps)");
  one_of(docs->add_option("what", *what)->required(), {"settings", "schema", "steps"});
  docs->footer("  tidemill docs settings");
  docs->callback([what, exit_code] {
    *exit_code = kOk;
    if (*what == "steps") {
      for (std::string_view step : commit_steps()) print(std::string(step) + "\n");
      return;
    }
    print(*what == "schema" ? solution::settings_json_schema() : solution::settings_markdown());
    *exit_code = kOk;
  });
}

}  // namespace tidemill::cli
