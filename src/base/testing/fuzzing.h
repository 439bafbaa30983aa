// The main of a fuzz target: mutates a corpus, every run from (seed, number of the run) alone, so
// that the printed seed replays a failure.
//
//   target [--seconds N] [--runs N] [--seed S] [files and directories of the corpus…]
//
// Without --seed it is $TIDEMILL_SEED, or else the system's choice. What fails is written to
// <target>-<hash>.input in the current directory, also where the program crashes, hangs (a minute) or
// asks for more memory at once than any input is worth: that file alone, given as an argument, fails again.
//
// Built with TIDEMILL_GUIDED, `target --guided [libFuzzer's arguments]` lets libFuzzer choose the inputs.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace tidemill::testing {

// Changes a few bytes, cuts, doubles or moves pieces, puts in interesting integers, or a piece of
// another text. `dictionary` holds fragments worth inserting.
std::string mutate(std::string text, const std::vector<std::string>& corpus,
                   const std::vector<std::string_view>& dictionary, SeededRandom& random);

struct FuzzTarget {
  std::vector<std::string> corpus;  // files given as arguments are added
  std::vector<std::string_view> dictionary;
  // Makes lengths and checksums right again, as far as they lead, so that what stands behind them is
  // reached: done to most mutated inputs. May be empty.
  std::function<void(std::string& input)> seal;
  // Returns what is wrong, or nothing. Choices are drawn from `random`, which is seeded by the input.
  std::function<std::string(std::string_view input, SeededRandom& random)> run;
};

// Returns the exit status: 1 where a run found something, after printing it with its seed.
int fuzz(int argc, char** argv, FuzzTarget target);

}  // namespace tidemill::testing
