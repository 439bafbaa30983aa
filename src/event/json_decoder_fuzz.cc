// The fast JSON decoder against the slow one: any bytes, many plans, decoders that live on (what
// they expect next comes from other documents).
#include "base/testing/fuzzing.h"
#include "event/json_splice.h"
#include "event/testing/json_documents.h"

using namespace tidemill;

namespace {

// What is spliced stays valid, has no removed name at the top, and keeps the rest.
std::string check_splice(const std::string& text) {
  if (!is_valid_json_object(text)) return "";
  std::string removed = remove_members(text, {"a", "eventId"});
  if (!is_valid_json_object(removed)) return "remove_members made this of it: " + removed;
  if (remove_members(removed, {"a", "eventId"}) != removed) return "remove_members left a member: " + removed;
  SplicePoint point = find_splice_point(removed);
  std::string spliced = std::string(point.head) + (point.comma ? "," : "") + "\"a\":1}";
  if (!is_valid_json_object(spliced)) return "the splice made this of it: " + spliced;
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  struct Planned {
    DecodePlan plan;
    JsonDecoder decoder;
  };
  SeededRandom random(1);
  std::vector<Planned> planned;
  for (int i = 0; i < 40; ++i) {
    DecodePlan plan = testing::random_plan(random);
    if (i == 0) plan = {telemetry_schema().fields, {"enqueuedAt"}};
    planned.push_back({plan, JsonDecoder(plan)});
  }
  testing::FuzzTarget target;
  for (int i = 0; i < 200; ++i) target.corpus.push_back(testing::random_object(random));
  for (int i = 0; i < 20; ++i) target.corpus.push_back(testing::telemetry_event(random));
  target.corpus.push_back("{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}");
  target.dictionary = testing::json_dictionary();
  target.run = [&planned](std::string_view input, SeededRandom& choice) -> std::string {
    Planned& chosen = planned[choice.below(planned.size())];
    std::string text(input);
    std::string problem = testing::compare_decoders(chosen.decoder, chosen.plan, {text, text});
    return problem.empty() ? check_splice(text) : problem;
  };
  return testing::fuzz(argc, argv, std::move(target));
}
