#pragma once

namespace baseline {

// Says what is wrong and ends the program: a baseline that did not do its work measures nothing.
[[noreturn]] void fail(const char* what);

}  // namespace baseline
