// A column's value as JSON text.
#pragma once

#include <cstdint>
#include <string>

#include "event/columns.h"

namespace tidemill {

// NULL, and where there is no column, is null; so are infinities and NaN, which JSON has not. Doubles have
// the fewest digits that read back to the same bits; timestamps 6 fraction digits and Z; JSON stands as it
// is.
void append_json_value(const Column* column, uint32_t row, std::string* out);

}  // namespace tidemill
