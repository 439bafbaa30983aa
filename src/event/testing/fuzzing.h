// The main of a fuzz target: mutates a corpus, every run from (seed, number of the run) alone, so
// that the printed seed replays a failure.
//
//   target [--seconds N] [--runs N] [--seed S] [corpus files…]
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace tidemill::testing {

// Changes a few bytes, cuts, doubles or moves pieces, or splices in a piece of another text.
// `dictionary` holds fragments worth inserting.
std::string mutate(std::string text, const std::vector<std::string>& corpus,
                   const std::vector<std::string_view>& dictionary, SeededRandom& random);

struct FuzzTarget {
  std::vector<std::string> corpus;  // files given as arguments are added
  std::vector<std::string_view> dictionary;
  // Returns what is wrong, or nothing.
  std::function<std::string(std::string_view input, SeededRandom& random)> run;
};

// Returns the exit status: 1 where a run found something, after printing it with seed and input.
int fuzz(int argc, char** argv, FuzzTarget target);

}  // namespace tidemill::testing
