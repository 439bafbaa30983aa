// Internal to loading; show_text() and show_json() are in load.h.
#pragma once

#include <vector>

#include "solution/draft.h"
#include "solution/load.h"

namespace tidemill::solution {

// Every setting that counts for this solution, in the order of the reference.
std::vector<ShownSetting> shown_settings(Draft& draft);

}  // namespace tidemill::solution
