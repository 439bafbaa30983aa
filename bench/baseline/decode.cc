#include "baseline/decode.h"

#include <simdjson.h>

#include <cstring>
#include <utility>

#include "baseline/fail.h"
#include "baseline/timestamp.h"

namespace baseline {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr size_t kTextRoom = 64;  // of one text

void start(Text& text, size_t rows) {
  text.offsets.resize(rows + 1);
  text.offsets[0] = 0;
  if (text.bytes.size() < rows * kTextRoom) text.bytes.resize(rows * kTextRoom);
}

inline void put(Text& text, size_t row, std::string_view value) {
  auto from = static_cast<size_t>(text.offsets[row]);
  if (value.size() > kTextRoom) fail("a text that is longer than expected");
  std::memcpy(text.bytes.data() + from, value.data(), value.size());
  text.offsets[row + 1] = static_cast<int32_t>(from + value.size());
}

template <class T>
inline T need(simdjson::simdjson_result<T> result) {
  T value;
  if (std::move(result).get(value) != simdjson::SUCCESS) fail("an event that On-Demand does not read");
  return value;
}

void all_valid(std::vector<uint64_t>& bits, size_t rows) {
  bits.assign((rows + 63) / 64, ~uint64_t{0});
  if (rows % 64 != 0) bits.back() = (uint64_t{1} << rows % 64) - 1;
}

}  // namespace

struct Decoder::Impl {
  Impl() {
    for (int m = 0; m < kMembers; ++m) names[m] = "moreData" + std::to_string(m);
  }
  ondemand::document open(const Event& event) {
    return need(parser.iterate(event.at, event.size, event.size + simdjson::SIMDJSON_PADDING));
  }

  ondemand::parser parser;
  Telemetry columns;
  std::string names[kMembers];
};

Decoder::Decoder() : impl_(std::make_unique<Impl>()) {}
Decoder::~Decoder() = default;
const Telemetry& Decoder::columns() const {
  return impl_->columns;
}

void Decoder::all(const std::vector<Event>& events) {
  Telemetry& to = impl_->columns;
  size_t rows = events.size();
  for (Text* text : {&to.event_id, &to.device_id, &to.type}) start(*text, rows);
  for (auto& member : to.members) member.resize(rows);
  to.value.resize(rows);
  to.sequence.resize(rows);
  to.created_us.resize(rows);
  for (size_t row = 0; row < rows; ++row) {
    ondemand::document document = impl_->open(events[row]);
    ondemand::object object = need(document.get_object());
    put(to.event_id, row, need(object.find_field("eventId").get_string()));
    ondemand::object complex = need(object.find_field("complexData").get_object());
    for (int m = 0; m < kMembers; ++m) {
      to.members[m][row] = need(complex.find_field(impl_->names[m]).get_double());
    }
    to.value[row] = need(object.find_field("value").get_double());
    put(to.device_id, row, need(object.find_field("deviceId").get_string()));
    to.sequence[row] = need(object.find_field("deviceSequenceNumber").get_int64());
    put(to.type, row, need(object.find_field("type").get_string()));
    std::string_view created = need(object.find_field("createdAt").get_string());
    if (created.size() != static_cast<size_t>(kTimestampText)) fail("a time of another form");
    to.created_us[row] = parse_timestamp(created.data());
  }
  for (auto& bits : to.validity) all_valid(bits, rows);
}

void Decoder::two(const std::vector<Event>& events) {
  Telemetry& to = impl_->columns;
  size_t rows = events.size();
  start(to.event_id, rows);
  start(to.device_id, rows);
  for (size_t row = 0; row < rows; ++row) {
    ondemand::document document = impl_->open(events[row]);
    put(to.event_id, row, need(document.find_field("eventId").get_string()));
    put(to.device_id, row, need(document.find_field("deviceId").get_string()));
  }
  all_valid(to.validity[0], rows);
  all_valid(to.validity[1], rows);
}

}  // namespace baseline
