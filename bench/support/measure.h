// Measuring: costs of a piece of work, repetitions of two things in turn, and the rows that come of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace tidemill::bench {

// What the programs are told; every one takes the same options.
struct Options {
  uint64_t events = 2'300'000;  // of 949 bytes: 2.2 GB
  int rounds = 5;               // of each of the two things that are compared
  std::string directory = "/tmp/tidemill-bench";
  std::vector<std::string> settings;  // of the solution, to try others than its defaults
};
// --events N --rounds N --directory PATH --set SETTING=VALUE; ends the program with a message on anything
// else.
Options parse_options(int argc, char** argv);

// A wrong answer makes a benchmark's figure worthless: ends the program with exit code 1.
void require(bool holds, const std::string& what);
template <class T>
T must(Result<T> result) {
  if (!result.ok()) require(false, result.error().message);
  return std::move(result).value();
}
void must(Status status);

// Elapsed time, and user and kernel time of all threads of this process.
struct Cost {
  double wall_s = 0;
  double cpu_s = 0;
  Cost& operator+=(const Cost& other) {
    wall_s += other.wall_s;
    cpu_s += other.cpu_s;
    return *this;
  }
};
class Meter {
 public:
  Meter() { restart(); }
  void restart();
  Cost cost() const;

 private:
  double wall_s_ = 0;
  double cpu_s_ = 0;
};
// Touches free memory first, as much as the work may take: the host of a virtual machine takes back what is
// free, and gives it again at the first touch of each page, which can cost more than the work itself.
Cost measure(const std::function<void()>& work);

double median(std::vector<double> values);

// Costs of the same rounds of two things, A B A B …, so that what slows the machine slows both.
struct Pair {
  std::vector<Cost> ours, baseline;
};
Pair interleave(int rounds, const std::function<Cost()>& ours, const std::function<Cost()>& baseline);

enum class By { kCpu, kWall };
// Work units per second of the median round.
double rate(const std::vector<Cost>& costs, double units, By by);
// The median of the rounds' ratios of speed, ours to the baseline's beside it.
double speed_ratio(const Pair& pair, By by);

// One row of the table. What must hold is a check; a row may have several or none.
struct Check {
  std::string what;  // "ratio", "events/s/core", "MB"
  double value = 0;
  bool at_least = true;
  double target = 0;
};
struct Row {
  std::string path;  // "decode all fields"
  std::string unit;  // of ours and baseline: "events/s/core"
  std::optional<double> ours, baseline, ratio;
  std::vector<Check> checks;
  std::string note;
};
// As one line of JSON on standard output, for bench/run.py.
void print(const Row& row);
// For people, on standard error.
void say(const std::string& line);

}  // namespace tidemill::bench
