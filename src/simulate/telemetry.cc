#include "simulate/telemetry.h"

#include <cstring>

#include "base/check.h"
#include "simulate/digits.h"

namespace tidemill::simulate {
namespace {

constexpr std::string_view kIdOpen = R"({"eventId":")";
constexpr std::string_view kComplexOpen = R"(","complexData":{)";
constexpr std::string_view kValueOpen = R"(},"value":)";
constexpr std::string_view kDeviceOpen = R"(,"deviceId":")";
constexpr std::string_view kSequenceOpen = R"(","deviceSequenceNumber":)";
constexpr std::string_view kTypes[] = {R"(,"type":"TEMP","createdAt":")", R"(,"type":"CO2","createdAt":")"};
constexpr std::string_view kClose = R"("})";

constexpr size_t kNumberSize = 20;  // room for either kind of number

constexpr size_t kWideSize = 18;  // of one of 10-100

// An integer of 17 digits.
constexpr uint64_t from_10_to_100(uint64_t w) {
  return 10'000'000'000'000'000ULL + below(w, 90'000'000'000'000'000ULL);
}

inline char* put(std::string_view text, char* to) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

}  // namespace

TelemetryWriter::TelemetryWriter(const Plan& plan)
    : instance_(static_cast<uint64_t>(plan.instance)),
      start_us_(plan.start_us),
      values_(plan.values),
      content_(plan.seed, Purpose::kContent, instance_),
      ids_(plan.seed),
      namer_(plan.device_id_format),
      created_at_(plan.created_digits),
      name_(namer_.max_size(), '\0') {
  for (int32_t m = 0; m < plan.complex_count; ++m) {
    const std::string text =
        (m > 0 ? ",\"moreData" : "\"moreData") + std::to_string(plan.complex_first + m) + "\":";
    Piece piece{};
    TM_CHECK(text.size() <= sizeof piece.text);
    std::memcpy(piece.text, text.data(), text.size());
    piece.size = text.size();
    members_.push_back(piece);
  }
  buffer_.resize(512 + namer_.max_size() + members_.size() * (sizeof(Piece::text) + kNumberSize));
}

char* TelemetryWriter::write_number(uint64_t w, char* to) const {
  if (values_ == Values::k10To100) {
    write_10_to_100(from_10_to_100(w), to);
    return to + kWideSize;
  }
  to[0] = '0';
  to[1] = '.';
  return write_unsigned(below(w, 2'147'483'647), to + 2);
}

// complexData's members, where the time of an event goes.
char* TelemetryWriter::write_members(uint64_t key, char* at) const {
  size_t m = 0;
  if (values_ == Values::k10To100) {
    for (; m + 2 <= members_.size(); m += 2) {
      const Piece& first = members_[m];
      const Piece& second = members_[m + 1];
      char* const first_number = at + first.size;
      char* const second_member = first_number + kWideSize;
      char* const second_number = second_member + second.size;
      std::memcpy(at, first.text, sizeof first.text);
      std::memcpy(second_member, second.text, sizeof second.text);
      write_10_to_100_pair(from_10_to_100(word(key, 2 + m)), first_number, from_10_to_100(word(key, 3 + m)),
                           second_number);
      at = second_number + kWideSize;
    }
  }
  for (; m < members_.size(); ++m) {
    std::memcpy(at, members_[m].text, sizeof members_[m].text);
    at = write_number(word(key, 2 + m), at + members_[m].size);
  }
  return at;
}

TelemetryWriter::Text TelemetryWriter::write(const ScheduledEvent& event, uint32_t device) {
  const uint64_t key = content_.key(event.index);
  char* at = put(kIdOpen, buffer_.data());
  ids_.write(instance_, event.index, at);
  at = put(kComplexOpen, at + kEventIdSize);
  at = write_members(key, at);
  at = put(kValueOpen, at);
  at = write_number(word(key, 1), at);
  at = put(kDeviceOpen, at);
  const auto device_at = static_cast<size_t>(at - buffer_.data());
  const auto name_size = static_cast<size_t>(namer_.write(device, name_.data()) - name_.data());
  at = put(std::string_view(name_.data(), name_size), at);
  at = put(kSequenceOpen, at);
  at = write_unsigned(event.sequence, at);
  at = put(kTypes[word(key, 0) & 1], at);
  at = created_at_.write(start_us_ + event.time_us, at);
  at = put(kClose, at);
  std::string_view text(buffer_.data(), static_cast<size_t>(at - buffer_.data()));
  if (event.fault == Fault::kMalformed) text = spoil(event, text, device_at);
  return {text, std::string_view(name_.data(), name_size)};
}

std::string_view TelemetryWriter::spoil(const ScheduledEvent& event, std::string_view text,
                                        size_t device_at) {
  const size_t id_open = kIdOpen.size() - 1;  // the quote
  const size_t id_end = kIdOpen.size() + kEventIdSize + 1;
  switch (event.spoil) {
    case 0:
      return text.substr(0, text.size() * 3 / 5);
    case 1:
      spoilt_.assign(text.substr(0, id_open)).append("[");
      spoilt_.append(text.substr(id_open, id_end - id_open)).append("]").append(text.substr(id_end));
      return spoilt_;
    case 2:
      spoilt_.assign(text.substr(0, device_at)).append("\xff").append(text.substr(device_at));
      return spoilt_;
    default:
      spoilt_.assign("not json: ").append(text.substr(kIdOpen.size(), kEventIdSize));
      return spoilt_;
  }
}

}  // namespace tidemill::simulate
