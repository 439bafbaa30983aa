// Random JSON documents and plans, and the comparison of the fast decoder with the slow one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "event/json_decoder.h"

namespace tidemill::testing {

// A valid object with any spacing, escapes, number forms, nesting and duplicate names. Its names are
// those that random_plan plans, and some others.
std::string random_object(SeededRandom& random);
DecodePlan random_plan(SeededRandom& random);
// Fragments that mutations of JSON should insert.
const std::vector<std::string_view>& json_dictionary();
// The telemetry event of docs/formats/simulated-events.md, with random content.
std::string telemetry_event(SeededRandom& random, int complex_count = 23);

// Decodes `texts` with both decoders, the fast one from record batches and from views into memory
// that ends where the text ends. Empty where they agree on everything, else what differs.
std::string compare_decoders(JsonDecoder& fast, const DecodePlan& plan,
                             const std::vector<std::string>& texts);

}  // namespace tidemill::testing
