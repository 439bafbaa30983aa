#include "serve/dead_letters.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "event/json_splice.h"
#include "event/record_batch.h"
#include "event/timestamp.h"

namespace tidemill::serve {
namespace {

void append_bytes(const char* name, std::string_view bytes, std::string* out) {
  *out += ",\"";
  *out += name;
  if (is_utf8(bytes)) {
    *out += "\":";
    append_json_string(bytes, out);
  } else {
    *out += "Base64\":\"";
    append_base64(bytes, out);
    *out += '"';
  }
}

}  // namespace

std::string dead_letter_headers(const DeadLetter& letter, const std::string& cut) {
  std::vector<RecordHeader> headers{{"reason", letter.reason},
                                    {"topic", letter.source.topic},
                                    {"partition", std::to_string(letter.source.partition.value())},
                                    {"offset", std::to_string(letter.offset.value())}};
  if (!cut.empty()) headers.push_back({"cut", cut});
  return encode_headers(headers);
}

void append_dead_letter_json(const DeadLetter& letter, std::string* out) {
  *out += "{\"topic\":";
  append_json_string(letter.source.topic, out);
  *out += ",\"partition\":" + std::to_string(letter.source.partition.value());
  *out += ",\"offset\":" + std::to_string(letter.offset.value());
  const auto time_us = record_time_us(letter.timestamp_ms);
  *out += ",\"timestamp\":" + (time_us ? '"' + format_timestamp(*time_us, 3) + '"' : "null");
  append_bytes("reason", letter.reason, out);
  if (letter.has_key) append_bytes("key", letter.key, out);
  append_bytes("value", letter.value, out);
  *out += '}';
}

void move_to_dead_letters(std::vector<RowFault> faults, Batch& batch) {
  if (faults.empty()) return;
  std::stable_sort(faults.begin(), faults.end(),
                   [](const RowFault& a, const RowFault& b) { return a.row < b.row; });
  std::vector<uint32_t> kept;
  auto fault = faults.begin();
  for (uint32_t row : batch.selected) {
    if (fault == faults.end() || fault->row != row) {
      kept.push_back(row);
      continue;
    }
    const Record& record = batch.records()[row];
    DeadLetter letter;
    letter.source = batch.source;
    letter.offset = record.offset;
    letter.timestamp_ms = record.timestamp_ms;
    letter.reason = fault->reason;
    letter.key = record.key;
    letter.has_key = record.has_key;
    letter.has_value = record.has_value;
    letter.value = record.value;
    batch.dead_letters.push_back(std::move(letter));
    while (fault != faults.end() && fault->row == row) ++fault;
  }
  batch.selected = std::move(kept);
}

size_t dead_letter_bytes(const DeadLetter& letter) {
  return sizeof(DeadLetter) + letter.source.topic.size() + letter.reason.size() + letter.key.size() +
         letter.value.size();
}

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes) {
  auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  for (size_t i = 0; i < bytes.size();) {
    uint8_t lead = at(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    size_t more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || bytes.size() - i <= more) return false;
    uint8_t least = 0x80, most = 0xBF;  // of the second byte
    if (lead == 0xE0) least = 0xA0;
    if (lead == 0xED) most = 0x9F;
    if (lead == 0xF0) least = 0x90;
    if (lead == 0xF4) most = 0x8F;
    if (at(i + 1) < least || at(i + 1) > most) return false;
    for (size_t j = 2; j <= more; ++j) {
      if ((at(i + j) & 0xC0) != 0x80) return false;
    }
    i += more + 1;
  }
  return true;
}

std::string as_utf8(std::string_view bytes) {
  std::string text(bytes);
  if (is_utf8(bytes)) return text;
  for (char& c : text) {
    if (static_cast<uint8_t>(c) > 127) c = '?';
  }
  return text;
}

void append_base64(std::string_view bytes, std::string* out) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) word = word << 8 | (j < count ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) *out += j <= count ? kDigits[(word >> (18 - 6 * j)) & 63] : '=';
  }
}

}  // namespace tidemill::serve
