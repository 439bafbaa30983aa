// The second half of loading: defaults that follow from other settings, and the checks that need more than
// one setting. Internal to loading.
#pragma once

#include <cstdint>
#include <optional>

#include "solution/draft.h"

namespace tidemill::solution {

// Fills what was not given: names, topics, the schema, the limits of `rules: reference`.
void derive_defaults(Draft& draft, const std::string& file);

// Everything that does not fit together. Precondition: defaults are derived.
void check_solution(const Draft& draft, Problems& problems);

// What queries of a DuckDB store may have at most of its memory: the rest is the pipeline's own.
int64_t most_query_memory(const Solution& solution);

// The limits of the reference's rules: the solution's own where they are set, else what the reference's
// runners pass. nullopt switches an assertion off.
struct ReferenceLimits {
  std::optional<double> min_rate;
  std::optional<int64_t> max_latency_us;
  std::optional<double> max_duplicates;
  std::optional<double> max_out_of_sequence;
};
ReferenceLimits reference_limits(const Solution& solution);

}  // namespace tidemill::solution
