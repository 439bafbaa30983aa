// Shell completion, generated from the program's own description.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace tidemill::cli {

// Scripts to be sourced: completion of commands, options, fixed values, solutions and files.
std::string bash_completion(const CLI::App& program);
std::string zsh_completion(const CLI::App& program);

}  // namespace tidemill::cli
