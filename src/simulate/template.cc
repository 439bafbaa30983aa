#include "simulate/template.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>

#include "event/timestamp.h"
#include "simulate/digits.h"
#include "simulate/event_id.h"
#include "simulate/randomness.h"
#include "simulate/sensor.h"
#include "simulate/template_parser.h"

namespace tidemill::simulate {
namespace {

// Appends one part's text.
struct Renderer {
  const TemplateContext& context;
  uint64_t first_word;
  std::string* out;

  uint64_t draw(uint64_t n) const { return word(context.content_key, first_word + n); }

  void integer(uint64_t bits) const {
    const auto value = static_cast<int64_t>(bits);
    char buffer[24];
    out->append(buffer,
                static_cast<size_t>(std::to_chars(buffer, buffer + sizeof buffer, value).ptr - buffer));
  }
  void real(double value, int digits) const {
    char buffer[400];  // the largest double has 309 digits before the point
    char* const end = buffer + sizeof buffer;
    const auto result = digits < 0 ? std::to_chars(buffer, end, value)
                                   : std::to_chars(buffer, end, value, std::chars_format::fixed, digits);
    out->append(buffer, static_cast<size_t>(result.ptr - buffer));
  }

  void guid() const {
    char text[kEventIdSize];
    write_uuid(draw(0) >> 4, draw(1), text);
    out->append(text, sizeof text);
  }
  void iso_time(int digits) const {
    char text[kTimestampTextSize];
    out->append(text, format_timestamp(context.created_us, digits, text));
  }
  uint64_t int_between(int64_t min, int64_t max) const {
    const uint64_t span = static_cast<uint64_t>(max) - static_cast<uint64_t>(min) + 1;  // 0: all 2^64
    return static_cast<uint64_t>(min) + (span == 0 ? draw(0) : below(draw(0), span));
  }
  const std::string& choice(const std::vector<std::string>& items) const {
    if (context.forced_choice >= 0) return items[static_cast<size_t>(context.forced_choice) % items.size()];
    return items[below(draw(0), items.size())];
  }

  void operator()(const Template::Part& part) const {
    using Kind = Template::Kind;
    const auto start = static_cast<uint64_t>(part.start);  // counters wrap
    const uint64_t number = context.index * context.instances + context.instance;
    switch (part.kind) {
      case Kind::kLiteral:
        return void(out->append(part.text));
      case Kind::kCounter:
        return integer(start + static_cast<uint64_t>(part.step) * number);
      case Kind::kDeviceCounter:
        return integer(start + context.sequence);
      case Kind::kDevice:
        return void(out->append(context.device_name));
      case Kind::kDeviceNumber:
        return integer(context.device);
      case Kind::kInt:
        return integer(int_between(part.min_int, part.max_int));
      case Kind::kDouble:
        return real(part.low + (part.high - part.low) * unit(draw(0)), part.digits);
      case Kind::kGaussian:
        return real(gaussian(part.mean, part.sd, draw(0), draw(1)), part.digits);
      case Kind::kChoice:
        return void(out->append(choice(part.items)));
      case Kind::kGuid:
        return guid();
      case Kind::kIsoTime:
        return iso_time(part.digits);
      case Kind::kUnixTime:
        return integer(static_cast<uint64_t>(context.created_us / 1'000'000));
      case Kind::kUnixMsTime:
        return integer(static_cast<uint64_t>(context.created_us / 1'000));
      case Kind::kUnixUsTime:
        return integer(static_cast<uint64_t>(context.created_us));
    }
  }
};

Status check_json(const std::string& text) {
  simdjson::dom::parser parser;
  const simdjson::error_code error = parser.parse(text.data(), text.size()).error();
  if (error == simdjson::SUCCESS) return {};
  constexpr size_t kShown = 120;
  const std::string shown = text.size() <= kShown ? text : text.substr(0, kShown) + "…";
  return user_error(std::string("is not JSON once its variables are filled in (") +
                    simdjson::error_message(error) +
                    "); are texts in quotes, and numbers not? An event would be: " + shown);
}

}  // namespace

Result<Template> Template::parse(std::string_view text, uint64_t first_variable) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return user_error("is not valid UTF-8");
  Template result;
  std::string literal;
  uint64_t variable = first_variable;
  auto end_literal = [&] {
    if (!literal.empty()) result.parts_.emplace_back().text = literal;
    literal.clear();
  };
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at).starts_with("$${")) {
      literal += "${";
      at += 3;
    } else if (text.substr(at).starts_with("${")) {
      end_literal();
      TM_ASSIGN(Part part, parse_variable(text, &at));
      part.first_word = 4 * variable++;
      result.parts_.push_back(std::move(part));
    } else {
      literal += text[at++];
    }
  }
  end_literal();
  return result;
}

Status Template::check_event(std::string_view text) {
  TM_ASSIGN(const Template parsed, parse(text));
  size_t choices = 1;
  for (const Part& part : parsed.parts_) choices = std::max(choices, part.items.size());
  // Every item of every choice, and a few values of everything else.
  constexpr size_t kSamples = 8;
  for (size_t sample = 0; sample < std::max(choices, kSamples); ++sample) {
    TemplateContext context;
    context.content_key = mix(sample);
    context.device_name = "device-1";
    context.forced_choice = static_cast<int64_t>(sample);
    std::string event;
    parsed.render(context, &event);
    TM_TRY(check_json(event));
  }
  return {};
}

void Template::render(const TemplateContext& context, std::string* out) const {
  for (const Part& part : parts_) Renderer{context, part.first_word, out}(part);
}

}  // namespace tidemill::simulate
