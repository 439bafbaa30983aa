// Topics by pattern, as librdkafka spells it: ^sensor-.* is every topic whose name the expression matches.
#pragma once

#include <string>

namespace tidemill::kafka {

bool is_pattern(const std::string& topic);
// What is wrong with it; empty: nothing.
std::string pattern_fault(const std::string& pattern);
// Topics that brokers keep for themselves match none. Precondition: it has no fault.
bool matches_pattern(const std::string& pattern, const std::string& topic);

}  // namespace tidemill::kafka
