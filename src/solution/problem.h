// What is wrong with a solution file: all of it at once.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace tidemill::solution {

struct Problem {
  std::string place;    // "solutions/relay.yaml:12", or "--set simulate.rate=fast"
  int line = 0;         // for the order; 0: not of the file, comes last
  std::string path;     // the setting: "serve.duckdb.table"; empty where the text itself is wrong
  std::string message;  // what is wrong; what would be right
};

// So much of a text from the file is cited in a message.
inline constexpr size_t kMaxCited = 60;

// Collects problems of one file and of the options beside it.
class Problems {
 public:
  // `file` as the user named it.
  explicit Problems(std::string file) : file_(std::move(file)) {}

  void at_line(int line, std::string path, std::string message);
  // Of an option, as "--set a=b".
  void at_option(std::string option, std::string path, std::string message);

  // Adds those of a part of the file: `prefix` goes before their paths. What they say of presets as such is
  // left out, since the whole file has them, too.
  void take(Problems part, const std::string& prefix);

  // Never prints this text, wherever a message cites it; *** stands for it.
  void hide(const std::string& secret);

  bool empty() const { return list_.empty(); }
  size_t size() const { return list_.size(); }
  const std::string& file() const { return file_; }
  // One line each, by line of the file: "file:line: path: what is wrong; what would be right".
  std::string to_string() const;
  // kInvalid with to_string(), or ok where there are none.
  Status status() const;

 private:
  std::string file_;
  std::vector<Problem> list_;
  std::vector<std::string> secrets_;
};

}  // namespace tidemill::solution
