#include "solution/problem.h"

#include <algorithm>
#include <climits>

namespace tidemill::solution {
namespace {

// A file of a megabyte can hold as many mistakes; nobody reads more.
constexpr size_t kMaxPrinted = 100;
// What is shorter is nobody's secret, and stands in every second word.
constexpr size_t kShortestSecret = 3;

int order(const Problem& problem) {
  return problem.line == 0 ? INT_MAX : problem.line;
}

}  // namespace

void Problems::at_line(int line, std::string path, std::string message) {
  list_.push_back({file_ + ":" + std::to_string(line), line, std::move(path), std::move(message)});
}

void Problems::at_option(std::string option, std::string path, std::string message) {
  list_.push_back({std::move(option), 0, std::move(path), std::move(message)});
}

void Problems::take(Problems part, const std::string& prefix) {
  for (Problem& problem : part.list_) {
    if (problem.line == 0 &&
        (problem.path == "targets" || problem.path == "variants" || problem.path == "sizes"))
      continue;
    problem.path = problem.path.starts_with(prefix) ? problem.path : prefix + problem.path;
    list_.push_back(std::move(problem));
  }
  secrets_.insert(secrets_.end(), part.secrets_.begin(), part.secrets_.end());
}

void Problems::hide(const std::string& secret) {
  if (secret.size() < kShortestSecret) return;
  secrets_.push_back(secret);
  // Messages cite the beginning of what is long.
  if (secret.size() > kMaxCited) secrets_.push_back(secret.substr(0, kMaxCited));
}

std::string Problems::to_string() const {
  std::vector<const Problem*> sorted;
  for (const Problem& problem : list_) sorted.push_back(&problem);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Problem* a, const Problem* b) { return order(*a) < order(*b); });
  std::string text;
  for (size_t i = 0; i < sorted.size() && i < kMaxPrinted; ++i) {
    if (i > 0) text += '\n';
    text += sorted[i]->place + ": ";
    if (!sorted[i]->path.empty()) text += sorted[i]->path + ": ";
    text += sorted[i]->message;
  }
  if (sorted.size() > kMaxPrinted) {
    text += "\n… and " + std::to_string(sorted.size() - kMaxPrinted) + " more";
  }
  for (const std::string& secret : secrets_) {
    for (size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += 3)
      text.replace(at, secret.size(), "***");
  }
  return text;
}

Status Problems::status() const {
  if (list_.empty()) return {};
  return user_error(to_string());
}

}  // namespace tidemill::solution
