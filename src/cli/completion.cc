#include "cli/completion.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

std::string options_of(const CLI::App& app) {
  std::string words;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words += (words.empty() ? "--" : " --") + name;
  }
  return words;
}

// One case per command: its own commands and options.
void add_cases(const CLI::App& app, const std::string& path, std::string* out) {
  std::string words = options_of(app);
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    words += (words.empty() ? "" : " ") + command->get_name();
    add_cases(*command, path.empty() ? command->get_name() : path + " " + command->get_name(), out);
  }
  *out += "    \"" + path + "\") words=\"" + words + "\" ;;\n";
}

}  // namespace

std::string bash_completion(const CLI::App& program) {
  std::string cases;
  add_cases(program, "", &cases);
  return R"sh(# bash completion of tidemill; source it, or put it into /etc/bash_completion.d
_tidemill() {
  local current="${COMP_WORDS[COMP_CWORD]}" path="" words="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    [[ "$word" == -* ]] && continue
    [[ -z "$path" || "$path" == log ]] && path="${path:+$path }$word"
  done
  case "$path" in
)sh" + cases +
         R"sh(    *) words="" ;;
  esac
  if [[ "$current" != -* ]]; then
    case "$path" in
      run|simulate|show|check|schema|solutions|"log produce")
        words="$words $(tidemill solutions 2>/dev/null | awk '/^$/ {exit} NR > 1 {print $1}')" ;;
      query|connect|report|verify|stop|clean|"log topics"|"log read"|"log follow"|"log repair")
        words="$words $(tidemill status 2>/dev/null | awk 'NR > 1 && sub("/.*", "", $1) {print $1}' | sort -u)" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -X '!*.y*ml' -- "$current"))
}
complete -o filenames -F _tidemill tidemill
)sh";
}

std::string zsh_completion(const CLI::App& program) {
  return "#compdef tidemill\n# zsh completion of tidemill, through its bash completion\nautoload -U +X "
         "bashcompinit && bashcompinit\n" +
         bash_completion(program);
}

}  // namespace tidemill::cli
