#include "verify/expected.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "verify/randomness.h"

namespace tidemill::verify {
namespace {

constexpr int kHalfBits = 61;
constexpr uint64_t kHalfMask = (uint64_t{1} << kHalfBits) - 1;
constexpr int kEventBits = 48;
constexpr size_t kUuidSize = 36;

std::string uuid_text(uint64_t high, uint64_t low) {
  std::string out;
  out.reserve(kUuidSize);
  for (int nibble = 0; nibble < 32; ++nibble) {
    uint64_t half = nibble < 16 ? high : low;
    out.push_back("0123456789abcdef"[half >> (60 - nibble % 16 * 4) & 15]);
    if (nibble == 7 || nibble == 11 || nibble == 15 || nibble == 19) out.push_back('-');
  }
  return out;
}

bool parse_uuid(std::string_view text, uint64_t* high, uint64_t* low) {
  if (text.size() != kUuidSize) return false;
  uint64_t halves[2] = {0, 0};
  int nibbles = 0;
  for (size_t at = 0; at < kUuidSize; ++at) {
    char c = text[at];
    if (at == 8 || at == 13 || at == 18 || at == 23) {
      if (c != '-') return false;
      continue;
    }
    uint64_t digit = 0;
    if (c >= '0' && c <= '9')
      digit = static_cast<uint64_t>(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = static_cast<uint64_t>(c - 'a') + 10;
    else
      return false;
    uint64_t& half = halves[nibbles / 16];
    half = half << 4 | digit;
    ++nibbles;
  }
  *high = halves[0];
  *low = halves[1];
  return true;
}

void append_integer(int64_t value, std::string* out) {
  char buffer[24];
  out->append(buffer, static_cast<size_t>(std::to_chars(buffer, buffer + sizeof buffer, value).ptr - buffer));
}

void append_double(double value, std::string* out) {
  char buffer[40];
  out->append(buffer, static_cast<size_t>(std::to_chars(buffer, buffer + sizeof buffer, value).ptr - buffer));
}

double read_double(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  TM_CHECK(error == std::errc{} && end == text.data() + text.size());
  return value;
}

}  // namespace

EventIds::EventIds(uint64_t seed) {
  uint64_t key = key_of(key_base(seed, Purpose::kIds, 0), 0);
  for (int r = 0; r < 4; ++r) rounds_[r] = word(key, static_cast<uint64_t>(r));
}

uint64_t EventIds::round(int r, uint64_t half) const {
  return mix(rounds_[r] + half) & kHalfMask;
}

std::string EventIds::encode(EventName name) const {
  uint64_t left = static_cast<uint64_t>(name.instance) << kEventBits | static_cast<uint64_t>(name.i);
  uint64_t right = 0;
  for (int r = 0; r < 4; ++r) {
    uint64_t next = left ^ round(r, right);
    left = right;
    right = next;
  }
  Uint128 x = static_cast<Uint128>(left) << kHalfBits | right;
  uint64_t high = static_cast<uint64_t>(x >> 74) << 16 | 0x4000 | (static_cast<uint64_t>(x >> 62) & 0xfff);
  uint64_t low = uint64_t{2} << 62 | (static_cast<uint64_t>(x) & ((uint64_t{1} << 62) - 1));
  return uuid_text(high, low);
}

std::optional<EventName> EventIds::decode(std::string_view uuid) const {
  uint64_t high = 0, low = 0;
  if (!parse_uuid(uuid, &high, &low) || (high >> 12 & 15) != 4 || low >> 62 != 2) return std::nullopt;
  Uint128 x = static_cast<Uint128>(high >> 16) << 74 | static_cast<Uint128>(high & 0xfff) << 62 |
              (low & ((uint64_t{1} << 62) - 1));
  auto left = static_cast<uint64_t>(x >> kHalfBits) & kHalfMask;
  auto right = static_cast<uint64_t>(x) & kHalfMask;
  for (int r = 3; r >= 0; --r) {
    uint64_t before = right ^ round(r, left);
    right = left;
    left = before;
  }
  if (right != 0) return std::nullopt;
  constexpr uint64_t kEventMask = (uint64_t{1} << kEventBits) - 1;
  return EventName{static_cast<int64_t>(left >> kEventBits), static_cast<int64_t>(left & kEventMask)};
}

std::string_view find_event_id(std::string_view value) {
  for (std::string_view before : {R"({"eventId":")", R"({"eventId":[")", "not json: "}) {
    if (value.starts_with(before) && value.size() >= before.size() + kUuidSize) {
      return value.substr(before.size(), kUuidSize);
    }
  }
  return {};
}

TelemetryEvents::TelemetryEvents(Schedule& schedule) : schedule_(schedule), ids_(schedule.manifest().seed) {
  const Manifest& m = schedule.manifest();
  content_base_ = key_base(m.seed, Purpose::kContent, static_cast<uint64_t>(m.instance));
  faults_base_ = key_base(m.seed, Purpose::kFaults, static_cast<uint64_t>(m.instance));
  for (int n = 0; n < m.complex_count; ++n) {
    complex_names_.push_back("\"moreData" + std::to_string(m.complex_first + n) + "\":");
  }
  values_.resize(static_cast<size_t>(m.complex_count) + 6);
}

std::string TelemetryEvents::device_id(int64_t device) const {
  std::string number = std::to_string(device);
  std::string out = schedule_.manifest().device_id_format;
  if (size_t at = out.find("%06d"); at != std::string::npos) {
    if (number.size() < 6) number.insert(0, 6 - number.size(), '0');
    return out.replace(at, 4, number);
  }
  if (size_t at = out.find("%d"); at != std::string::npos) return out.replace(at, 2, number);
  return out;
}

std::string_view TelemetryEvents::number_text(uint64_t w, std::string* out) const {
  size_t begin = out->size();
  if (schedule_.manifest().values == Values::kZeroToOne) {
    out->append("0.");
    append_integer(static_cast<int64_t>(below(w, 2'147'483'647)), out);
  } else {
    constexpr uint64_t kLeast = 10'000'000'000'000'000, kSpan = 90'000'000'000'000'000;
    append_integer(static_cast<int64_t>(kLeast + below(w, kSpan)), out);
    out->insert(begin + 2, 1, '.');
  }
  return std::string_view(*out).substr(begin);
}

void TelemetryEvents::make(int64_t i) {
  if (made_ == i) return;
  made_ = i;
  const Manifest& m = schedule_.manifest();
  uint64_t key = key_of(content_base_, static_cast<uint64_t>(i));
  id_ = ids_.encode({m.instance, i});
  device_ = device_id(schedule_.device_of(i));
  int64_t sequence = schedule_.sequence_of(i);
  std::string_view type = (word(key, 0) & 1) == 0 ? "TEMP" : "CO2";
  int64_t created_us = m.start_us + schedule_.time_us(i);

  size_t at = 0;
  values_[at++] = FieldValue::of_text(id_);
  text_.clear();
  text_.append(R"({"eventId":")").append(id_).append(R"(","complexData":{)");
  for (size_t n = 0; n < complex_names_.size(); ++n) {
    if (n > 0) text_.push_back(',');
    text_.append(complex_names_[n]);
    values_[at++] = FieldValue::of_double(read_double(number_text(word(key, 2 + n), &text_)));
  }
  text_.append(R"(},"value":)");
  values_[at++] = FieldValue::of_double(read_double(number_text(word(key, 1), &text_)));
  text_.append(R"(,"deviceId":")");
  device_at_ = text_.size();
  text_.append(device_).append(R"(","deviceSequenceNumber":)");
  append_integer(sequence, &text_);
  text_.append(R"(,"type":")").append(type).append(R"(","createdAt":")");
  append_timestamp(created_us, m.created_digits, &text_);
  text_.append(R"("})");
  values_[at++] = FieldValue::of_text(device_);
  values_[at++] = FieldValue::of_integer(sequence);
  values_[at++] = FieldValue::of_text(type);
  int64_t cut = m.created_digits == 3 ? (created_us % 1000 + 1000) % 1000 : 0;
  values_[at++] = FieldValue::of_timestamp(created_us - cut);
}

std::string_view TelemetryEvents::well_formed(int64_t i) {
  make(i);
  return text_;
}

const std::vector<FieldValue>& TelemetryEvents::values(int64_t i) {
  make(i);
  return values_;
}

std::string_view TelemetryEvents::bytes(int64_t i) {
  make(i);
  if (schedule_.fault(i) != Fault::kMalformed) return text_;
  uint64_t key = key_of(faults_base_, static_cast<uint64_t>(i));
  constexpr size_t kIdAt = 11;  // of the id's opening quote
  spoilt_ = text_;
  switch (below(word(key, 3), 4)) {
    case 0:
      spoilt_.resize(text_.size() * 3 / 5);
      break;
    case 1:
      spoilt_.insert(kIdAt + kUuidSize + 2, 1, ']').insert(kIdAt, 1, '[');
      break;
    case 2:
      spoilt_.insert(device_at_, 1, '\xff');
      break;
    default:
      spoilt_ = "not json: " + id_;
  }
  return spoilt_;
}

SensorEvents::SensorEvents(Schedule& schedule) : schedule_(schedule) {
  const Manifest& m = schedule.manifest();
  content_base_ = key_base(m.seed, Purpose::kContent, static_cast<uint64_t>(m.instance));
}

std::string_view SensorEvents::bytes(int64_t i) {
  text_.clear();
  if (schedule_.fault(i) == Fault::kMalformed) {
    text_ = "not json: " + std::to_string(i);
    return text_;
  }
  uint64_t key = key_of(content_base_, static_cast<uint64_t>(i));
  constexpr double kTwoPi = 6.283185307179586;
  double radius = std::sqrt(-2.0 * std::log(1.0 - unit(word(key, 1))));
  double angle = std::cos(kTwoPi * unit(word(key, 2)));
  double spread = 7.0 * radius;
  spread = spread * angle;
  text_.append(R"({"sensor": "Sensor )");
  append_integer(static_cast<int64_t>(1 + below(word(key, 0), 3)), &text_);
  text_.append(R"(", "measure1": )");
  append_double(37.0 + spread, &text_);
  text_.append(R"(, "measure2": )");
  append_double(unit(word(key, 3)), &text_);
  text_.push_back('}');
  return text_;
}

// murmur2 with the seed and constants of Kafka's Utils.murmur2.
int32_t partition_of(std::string_view key, int32_t partitions) {
  constexpr uint32_t kM = 0x5bd1e995;
  uint32_t h = 0x9747b28c ^ static_cast<uint32_t>(key.size());
  size_t at = 0;
  for (; at + 4 <= key.size(); at += 4) {
    uint32_t k = load_le<uint32_t>(key.data() + at) * kM;
    k = (k ^ k >> 24) * kM;
    h = h * kM ^ k;
  }
  uint32_t tail = 0;
  for (size_t n = key.size(); n-- > at;) tail = tail << 8 | static_cast<uint8_t>(key[n]);
  if (at < key.size()) h = (h ^ tail) * kM;
  h = (h ^ h >> 13) * kM;
  h ^= h >> 15;
  return static_cast<int32_t>(h & 0x7fffffff) % partitions;
}

}  // namespace tidemill::verify
