#include "cli/program.h"

#include <CLI/CLI.hpp>
#include <exception>

#include "base/logging.h"
#include "cli/completion.h"
#include "cli/context.h"
#include "cli/help.h"

namespace tidemill::cli {
namespace {

constexpr const char* kAbout =
    "Tidemill takes in a stream of events, processes it exactly once, serves it from a real store, and "
    "proves that nothing was "
    "lost or doubled.";
constexpr const char* kFooter =
    "First steps:\n"
    "  tidemill solutions                     what there is to run\n"
    "  tidemill run telemetry --size 10       simulate, process, report, verify: one minute\n"
    "  tidemill query telemetry \"FROM rawdata LIMIT 5\"\n"
    "  tidemill check my.yaml                 your own solution file, explained\n"
    "\n"
    "tidemill COMMAND --help teaches each command. docs/ in the sources has the rest.";

void name_commands(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    command->group("Commands");
    name_commands(*command);
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  CLI::App program(kAbout, "tidemill");
  program.require_subcommand(1);
  program.set_version_flag("--version", std::string("tidemill ") + TIDEMILL_VERSION, "Prints the version");
  program.formatter(help_formatter());
  program.get_help_ptr()->description("Prints this page");
  Globals globals;
  globals.root = default_root();
  program.add_option("--data-dir", globals.root, "Where runs are kept; else TIDEMILL_DATA_DIR says it")
      ->type_name("DIR")
      ->capture_default_str();
  program.add_flag("-q,--quiet", globals.quiet, "Errors only");
  program.add_flag("-v,--verbose", globals.verbose, "Say more");
  program.fallthrough();
  program.parse_complete_callback([&] {
    if (globals.quiet) set_log_level(LogLevel::kError);
    if (globals.verbose) set_log_level(LogLevel::kDebug);
  });

  int exit_code = kOk;
  add_run_commands(program, globals, &exit_code);
  add_solution_commands(program, globals, &exit_code);
  add_check_commands(program, globals, &exit_code);
  add_log_commands(program, globals, &exit_code);
  add_store_commands(program, globals, &exit_code);
  add_lifecycle_commands(program, globals, &exit_code);

  auto shell = std::make_shared<std::string>();
  CLI::App* completion = program.add_subcommand("completion", "Prints a completion script for a shell");
  one_of(completion->add_option("shell", *shell, "bash or zsh")->required(), {"bash", "zsh"});
  completion->footer("  source <(tidemill completion bash)      # zsh: source <(tidemill completion zsh)");
  completion->callback([&] { print(*shell == "zsh" ? zsh_completion(program) : bash_completion(program)); });

  program.footer(kFooter);  // last: commands would inherit it
  name_commands(program);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error) == 0 ? kOk : kUsage;  // --help, --version
    if (const CLI::App* page = wants_help(program)) {
      print(page->help());
      return kUsage;
    }
    return report_error(user_error(explain_usage(program, error)));
  } catch (const std::exception& error) {
    return report_error(internal_error(error.what()));
  }
  return exit_code;
}

}  // namespace tidemill::cli
