// What the verifier reads as text: events, times and manifests of any bytes.
#include "base/testing/fuzzing.h"
#include "verify/json_fields.h"
#include "verify/manifest.h"

namespace tidemill::verify {
namespace {

constexpr std::string_view kEvent =
    R"({"eventId":"0f8fad5b-d9cb-469f-a165-70867728950e","complexData":{"moreData0":1.5,"moreData1":-2e-7},)"
    R"("value":63.09999999999999,"type":"TEMP","deviceId":"contoso-device-id-000154","deviceSequenceNumber":7,)"
    R"("createdAt":"2026-11-21T09:07:00.123456Z","more":[1,"\u00e4",null,{"a":18446744073709551615}]})";
constexpr std::string_view kManifest =
    R"({"format":1,"profile":"telemetry","seed":"7","start_us":1767323045678901,"topic":"t","partitions":1,)"
    R"("instance":0,"instances":1,"devices":2,"shared_devices":false,"pacing":"fixed","rate_milli":1000,"count":9,)"
    R"("duration_us":-1,"options":{"complex_count":2,"complex_first":0,"values":"10-100","created_digits":6,)"
    R"("device_id_format":"contoso-device-id-%06d"},"start_offsets":[0],"partition_records":[9],"finished":true,)"
    R"("scheduled":9,"events_sent":9,"records_sent":9,"bytes_sent":900,)"
    R"("content_sum":"00000000000000000000000000003039","shortfall_us":0,"ranges":[[0,5,0,0],[1,4,0,0]]})";

std::string check_event(std::string_view input, JsonFields& fields) {
  std::vector<FieldValue> values;
  std::vector<uint8_t> unreadable;
  std::string wrong;
  Decoded decoded = fields.decode(input, &values, &unreadable, &wrong);
  if (decoded == Decoded::kMalformed && wrong.empty()) return "malformed without a reason";
  if (decoded == Decoded::kMalformed) return "";
  if (values.size() != fields.specs().size()) return "not one value per field";
  for (const FieldValue& value : values) {
    if (display(value).empty()) return "a value that cannot be shown";
    if (value.kind != FieldValue::Kind::kNull && !same_value(value, value))
      return "a value that differs from itself";
  }
  (void)fields.further_members({"enqueuedAt"});
  FieldValue member;
  (void)fields.member("createdAt", &member);
  return "";
}

std::string check_texts(std::string_view input) {
  std::string once, twice;
  if (canonical_json(input, &once) && (!canonical_json(once, &twice) || once != twice))
    return "a canonical text that is not canonical: " + once;
  int64_t us = 0, again = 0;
  // An offset may lead out of the years that four digits can say.
  constexpr int64_t kYear1 = -62'135'596'800'000'000, kYear10000 = 253'402'300'800'000'000;
  if (!parse_timestamp(input, &us) || us < kYear1 || us >= kYear10000) return "";
  std::string text;
  append_timestamp(us, 6, &text);
  return parse_timestamp(text, &again) && again == us ? ""
                                                      : "a time that is another after writing it: " + text;
}

}  // namespace
}  // namespace tidemill::verify

int main(int argc, char** argv) {
  using namespace tidemill::verify;
  JsonFields fields(telemetry_fields(2, 0));
  tidemill::testing::FuzzTarget target;
  target.corpus = {std::string(kEvent), std::string(kManifest), "2026-11-21T09:07:00.123456Z",
                   "0001-01-01 00:00:00-23:59", "9999-12-31T23:59:59.999999999+14:00"};
  target.dictionary = {
      "\"",    "[",    "]",       "{",       "}",    ",",  ":",     "-0.0",  "9223372036854775808",
      "1e400", "null", "\\ud800", "\\u0000", "\xff", "60", "24:00", "-02-30"};
  target.run = [&](std::string_view input, tidemill::SeededRandom&) -> std::string {
    auto manifest = parse_manifest(input, "manifest");
    if (!manifest.ok() && manifest.error().message.empty()) return "refused without a reason";
    std::string problem = check_event(input, fields);
    return problem.empty() ? check_texts(input) : problem;
  };
  return tidemill::testing::fuzz(argc, argv, std::move(target));
}
