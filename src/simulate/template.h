// Texts with variables, `{"id":"${guid}","t":${gaussian(20,2,1)}}`: the event of the profile
// `template`, and its key. The variables are listed in docs/simulate.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/position.h"

namespace tidemill::simulate {

// What the variables of one event are computed from.
struct TemplateContext {
  uint64_t content_key = 0;  // key(1, instance, index)
  uint64_t index = 0;
  uint64_t instance = 0;
  uint64_t instances = 1;
  uint64_t sequence = 0;  // of the event in its device
  uint64_t device = 0;
  std::string_view device_name;
  TimestampUs created_us = 0;
  int64_t forced_choice = -1;  // for check_event: this item of every choice
};

class Template {
 public:
  // Variable number v (in the order of the text) draws from word(content_key, 4 × (first_variable + v))
  // and the three words after it; two texts of one event are given different first_variable.
  // Errors (kInvalid): "line 3, column 14: …; there are …".
  static Result<Template> parse(std::string_view text, uint64_t first_variable = 0);
  // Parses, and fills in samples: what they give must be JSON.
  static Status check_event(std::string_view text);

  // Appends the text to `out`.
  void render(const TemplateContext& context, std::string* out) const;

  // One literal or variable; public for the parser. A member is used by the kinds that it names.
  enum class Kind : uint8_t {
    kLiteral,        // text
    kCounter,        // start, step
    kDeviceCounter,  // start
    kDevice,
    kDeviceNumber,
    kInt,       // min_int, max_int, both included
    kDouble,    // low, high, digits
    kGaussian,  // mean, sd, digits
    kChoice,    // items
    kGuid,
    kIsoTime,  // digits
    kUnixTime,
    kUnixMsTime,
    kUnixUsTime,
  };
  struct Part {
    Kind kind = Kind::kLiteral;
    std::string text;
    std::vector<std::string> items;
    int64_t start = 0, step = 1;
    int64_t min_int = 0, max_int = 0;
    double low = 0, high = 0;
    double mean = 0, sd = 0;
    int digits = -1;  // -1: of doubles the shortest text that reads back
    uint64_t first_word = 0;
  };

 private:
  std::vector<Part> parts_;
};

}  // namespace tidemill::simulate
