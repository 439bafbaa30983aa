// Solution files of any bytes: nothing crashes, nothing takes long, and what is refused is refused with a
// message for every problem that names a place. What loads is shown without a fault.
#include "base/testing/fuzzing.h"
#include "event/json_decoder.h"
#include "solution/catalogue.h"
#include "solution/load.h"
#include "solution/yaml.h"

using namespace tidemill;

namespace {

constexpr std::string_view kOdd = R"(name: x
event: &e {fields: {a: text required, b.c: {type: double, path: x.y}}, key: a}
simulate: {profile: template, template: '{"a":"${guid}"}', rate: "${RATE:-10k}"}
process:
  - dedup: {id: a, key: a, horizon: 1h30m}
  - filter: a = 'x' and b.c > 1.5
  - project: {keep: [a, b], add: {d: b.c * 2}}
  - rekey: a
serve: {files: {directory: out, roll_bytes: 1GiB}}
sizes: {1: {simulate.rate: max}, max: {process.1.dedup.horizon: off}}
"quoted\tkey": *e
text: |
  some
  lines
...
)";

std::optional<std::string> no_environment(const std::string& name) {
  if (name == "RATE") return "5";
  return std::nullopt;
}

std::string check_error(const std::string& message) {
  if (message.empty()) return "an error without a message";
  size_t start = 0;
  while (start < message.size()) {
    size_t end = std::min(message.find('\n', start), message.size());
    std::string line = message.substr(start, end - start);
    bool placed = line.starts_with("f.yaml:") || line.starts_with("--s") || line.starts_with("…");
    // A setting's name may hold a line break, and messages cite names.
    if (start == 0 && !placed) return "a problem without a place: " + line;
    start = end + 1;
  }
  return "";
}

std::string run(std::string_view input, SeededRandom& random) {
  solution::LoadRequest request{"f.yaml", std::string(input), {}, {}, no_environment};
  if (random.below(4) == 0) request.size = "max";
  if (random.below(4) == 0) request.overrides.push_back({"process.dedup.last", "7", "--set"});
  auto loaded = solution::load_solution(request);
  if (!loaded.ok()) return check_error(loaded.error().message);
  if (solution::show_text(*loaded).empty()) return "nothing is shown";
  if (!is_valid_json_object(solution::show_json(*loaded))) return "show_json() is not JSON";
  if (loaded->solution.event.schema.fields.empty()) return "an event without fields was accepted";
  solution::task_count(loaded->solution, 2);
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  testing::FuzzTarget target;
  for (const solution::BuiltinSolution& file : solution::builtin_solutions())
    target.corpus.emplace_back(file.text);
  target.corpus.emplace_back(kOdd);
  using namespace std::string_view_literals;
  target.dictionary = {"&a "sv,
                       "*a"sv,
                       "<<: *a\n"sv,
                       "\n---\n"sv,
                       "? "sv,
                       ": "sv,
                       "- "sv,
                       "{"sv,
                       "}"sv,
                       "["sv,
                       "]"sv,
                       ", "sv,
                       "null"sv,
                       "~"sv,
                       "!!int "sv,
                       "!x "sv,
                       "|\n"sv,
                       ">-\n"sv,
                       "\t"sv,
                       "\""sv,
                       "'"sv,
                       "\\x04"sv,
                       "${"sv,
                       "}"sv,
                       "on"sv,
                       "\r\n"sv,
                       "%YAML 1.2\n"sv,
                       "\xef\xbb\xbf"sv,
                       "\xff"sv,
                       "9223372036854775808"sv,
                       "-1"sv,
                       "event: telemetry\n"sv,
                       "serve: duckdb\n"sv,
                       "process:\n  - dedup\n"sv,
                       "sizes:\n  1: {}\n"sv};
  target.run = run;
  return testing::fuzz(argc, argv, std::move(target));
}
