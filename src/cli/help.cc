#include "cli/help.h"

#include <CLI/CLI.hpp>
#include <vector>

#include "base/text.h"

namespace tidemill::cli {
namespace {

constexpr size_t kColumn = 30;  // where explanations begin
constexpr size_t kWidth = 100;

// The text in lines of at most `width`, each but the first indented.
std::string wrapped(const std::string& text, size_t indent, size_t width) {
  std::string out;
  size_t line = 0;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (line > 0 && line + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      line = 0;
    }
    if (line > 0) {
      out += ' ';
      ++line;
    }
    out += word;
    line += word.size();
    at = end + 1;
  }
  return out;
}

std::string row(const std::string& name, const std::string& explanation) {
  std::string line = "  " + name;
  if (explanation.empty()) return line + "\n";
  line +=
      line.size() + 2 <= kColumn ? std::string(kColumn - line.size(), ' ') : "\n" + std::string(kColumn, ' ');
  return line + wrapped(explanation, kColumn, kWidth - kColumn) + "\n";
}

class Formatter final : public CLI::Formatter {
 public:
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    return row(make_option_name(option, is_positional) + make_option_opts(option), make_option_desc(option));
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return {};
    if (option->get_positional())
      return option->get_type_name() == "TEXT" ? "" : " " + option->get_type_name();
    std::string text = " " + option->get_type_name();
    if (!option->get_default_str().empty()) text += " (" + option->get_default_str() + ")";
    return text;
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return row(command->get_name(), command->get_description());
  }
  std::string make_description(const CLI::App* app) const override {
    return wrapped(app->get_description(), 0, kWidth) + "\n\n";
  }
  std::string make_usage(const CLI::App* app, std::string name) const override {
    std::string text = "Usage: " + name;
    for (const CLI::Option* option :
         app->get_options([](const CLI::Option* o) { return o->get_positional(); })) {
      const std::string label = option->get_name();
      text += option->get_required() ? " " + label : " [" + label + "]";
    }
    if (app->get_require_subcommand_min() > 0) text += " COMMAND";
    return text + " [OPTIONS]\n";
  }
};

// The command that the words so far led to, and those words, a space before each.
const CLI::App* deepest(const CLI::App& program, std::string* path) {
  const CLI::App* app = &program;
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    *path += " " + app->get_name();
  }
  return app;
}

std::vector<std::string> option_names(const CLI::App& program, const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* app : {&command, &program}) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::string hint_or_list(const std::string& wanted, const std::vector<std::string>& names) {
  std::string hint = did_you_mean(wanted, names);
  return hint.empty() ? "; there are " + join(names, ", ") : hint;
}

}  // namespace

std::shared_ptr<CLI::FormatterBase> help_formatter() {
  auto formatter = std::make_shared<Formatter>();
  formatter->label("Positionals", "Arguments");
  return formatter;
}

const CLI::App* wants_help(const CLI::App& program) {
  std::string path;
  const CLI::App* app = deepest(program, &path);
  const bool has_commands = app->get_require_subcommand_min() > 0;
  return has_commands && program.remaining_size(true) == 0 ? app : nullptr;
}

std::string explain_usage(const CLI::App& program, const CLI::ParseError& error) {
  std::string path;
  const CLI::App* command = deepest(program, &path);
  std::string what = error.what();
  // Words that nothing took. An unknown option is the cause of what follows it.
  std::vector<std::string> words = program.remaining(true);
  auto first =
      std::find_if(words.begin(), words.end(), [](const std::string& w) { return w.starts_with("-"); });
  if (first == words.end()) first = words.begin();
  const std::string word = first == words.end() ? std::string() : *first;
  if (word.starts_with("-")) {
    const std::string name = word.substr(0, word.find('='));
    what = "there is no option " + name + did_you_mean(name, option_names(program, *command));
  } else if (!word.empty() && command->get_require_subcommand_min() > 0) {
    what = "there is no command " + word + hint_or_list(word, command_names(*command));
  } else if (!word.empty() && dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    what = "'" + word + "' is one argument too many; text with spaces needs quotes around it";
  }
  return (path.empty() ? what : path.substr(1) + ": " + what) + "\ntidemill" + path + " --help says more";
}

}  // namespace tidemill::cli
