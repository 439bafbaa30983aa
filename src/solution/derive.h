// The second half of loading: defaults that follow from other settings, and the checks that need more than
// one setting. Internal to loading.
#pragma once

#include "solution/draft.h"

namespace tidemill::solution {

// Fills what was not given: names, topics, the schema, the limits of `rules: reference`.
void derive_defaults(Draft& draft, const std::string& file);

// Everything that does not fit together. Precondition: defaults are derived.
void check_solution(const Draft& draft, Problems& problems);

}  // namespace tidemill::solution
