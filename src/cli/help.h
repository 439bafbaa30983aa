// How the program explains itself: help pages, and what was wrong with a command line.
#pragma once

#include <memory>
#include <string>

namespace CLI {
class App;
class FormatterBase;
class ParseError;
}  // namespace CLI

namespace tidemill::cli {

// Two columns, text wrapped to the width of a terminal.
std::shared_ptr<CLI::FormatterBase> help_formatter();

// What is wrong with the command line and what would be right, after a failed parse of `program`.
std::string explain_usage(const CLI::App& program, const CLI::ParseError& error);

// Neither command nor argument was given, to the program or to a command that has commands of its own: its
// page; else null.
const CLI::App* wants_help(const CLI::App& program);

}  // namespace tidemill::cli
