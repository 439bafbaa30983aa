// How much memory something takes at its height: for tests of limits.
#pragma once

#include <cstddef>
#include <functional>

namespace tidemill {

// Bytes of resident memory at the height of `work` beyond those before it. Of the whole process: nothing
// else may run beside it.
size_t resident_peak(const std::function<void()>& work);

}  // namespace tidemill
