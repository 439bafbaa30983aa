// Templates of any text: refused with a place, or filled in with any numbers; what check_event lets through
// gives JSON for every event.
#include <simdjson.h>

#include <algorithm>

#include "base/testing/fuzzing.h"
#include "simulate/template.h"

using namespace tidemill;
using namespace tidemill::simulate;

namespace {

std::string run(std::string_view input, SeededRandom& random) {
  // What it costs to check grows with the square of the text's length.
  constexpr size_t kLongest = 4096;
  input = input.substr(0, kLongest);
  auto parsed = Template::parse(input, random.below(3));
  Status checked = Template::check_event(input);
  if (!parsed.ok()) return checked.ok() ? "accepted as an event, but not as a template" : "";
  simdjson::dom::parser parser;
  for (int i = 0; i < 8; ++i) {
    TemplateContext context;
    context.content_key = random.next();
    context.index = random.next();
    context.instance = random.below(1 << 13);
    context.instances = random.below(1 << 13) + 1;
    context.sequence = random.next();
    context.device = random.next();
    context.device_name = "contoso-7";
    context.created_us = static_cast<int64_t>(random.below(4'102'444'800'000'000));  // until 2100
    std::string event;
    parsed->render(context, &event);
    // A number of any length is JSON, though simdjson takes no integer of more than 64 bits.
    auto error = parser.parse(event.data(), event.size()).error();
    if (checked.ok() && error != simdjson::SUCCESS && error != simdjson::NUMBER_ERROR)
      return "an event that is not JSON: " + event;
  }
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  testing::FuzzTarget target;
  target.corpus = {R"({"id":"${guid}","n":${counter},"m":${counter(5,-3)},"s":${device_counter(1)}})",
                   R"({"d":"${device}","k":${device_number},"t":"${time(iso,6)}","u":${time(unix_ms)}})",
                   R"({"i":${int(-5,5)},"x":${double(0,1)},"y":${double(-1,1,3)},"g":${gaussian(20,2,1)}})",
                   R"({"c":"${choice(a,b,'c d')}","e":${choice(1,2.5,null)},"$${":"$"})"};
  target.dictionary = {"${",
                       "}",
                       "$${",
                       "(",
                       ")",
                       ",",
                       "'",
                       "guid",
                       "counter",
                       "device_counter(",
                       "device",
                       "device_number",
                       "int(",
                       "double(",
                       "gaussian(",
                       "choice(",
                       "time(",
                       "iso",
                       "unix",
                       "unix_ms",
                       "unix_us",
                       "9223372036854775807",
                       "-9223372036854775808",
                       "1e308",
                       "-1e308",
                       "17",
                       "0",
                       "nan"};
  target.run = run;
  return testing::fuzz(argc, argv, std::move(target));
}
