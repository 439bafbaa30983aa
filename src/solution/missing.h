// The reference's solutions by name, and what those need that are not in the catalogue.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemill::solution {

// A part that does not exist. `part` is the section of a solution file that it would be: where the file
// knows that section, the part is there.
struct Need {
  std::string_view part;   // "serve.cosmosdb"
  std::string_view words;  // "a Cosmos DB sink"
};

struct ReferenceSolution {
  std::string_view name;
  std::string_view from, to;    // what the reference reads and serves
  std::vector<Need> needs;      // of one that the catalogue has: none
  std::string_view closest;     // what comes closest: the arguments of `tidemill run`
  std::string_view difference;  // and what it does otherwise
};

// All of them, by name.
std::span<const ReferenceSolution> reference_solutions();
// Null: the reference has none of this name.
const ReferenceSolution* find_reference_solution(std::string_view name);

// "a source of Avro files and a Delta Lake sink": of its needs those that the program lacks; where there are
// none, "a solution file".
std::string missing_parts(const ReferenceSolution& solution);
// "x needs a Cosmos DB sink, which Tidemill does not have yet; closest today: tidemill run …: …".
std::string why_missing(const ReferenceSolution& solution);

}  // namespace tidemill::solution
