#include "kafka/topic_pattern.h"

#include <regex.h>

#include <array>

#include "base/check.h"

namespace tidemill::kafka {
namespace {

// An extended regular expression of POSIX, which is what librdkafka takes it for.
class Compiled {
 public:
  explicit Compiled(const std::string& pattern)
      : code_(regcomp(&regex_, pattern.c_str(), REG_EXTENDED | REG_NOSUB)) {}
  ~Compiled() {
    if (code_ == 0) regfree(&regex_);
  }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  std::string fault() const {
    if (code_ == 0) return {};
    std::array<char, 256> why{};
    (void)regerror(code_, &regex_, why.data(), why.size());
    return why.data();
  }
  bool matches(const std::string& topic) const { return regexec(&regex_, topic.c_str(), 0, nullptr, 0) == 0; }

 private:
  regex_t regex_{};
  const int code_;
};

}  // namespace

bool is_pattern(const std::string& topic) {
  return topic.starts_with("^");
}

std::string pattern_fault(const std::string& pattern) {
  return Compiled(pattern).fault();
}

bool matches_pattern(const std::string& pattern, const std::string& topic) {
  const Compiled compiled(pattern);
  TM_CHECK(compiled.fault().empty());
  return !topic.starts_with("__") && compiled.matches(topic);
}

}  // namespace tidemill::kafka
