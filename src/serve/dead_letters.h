// What the sinks' ways of storing dead letters have in common.
#pragma once

#include <string>

#include "event/batch.h"

namespace tidemill::serve {

// Where the dead letters of a main store go: `asked` if the solution file names a place, else derived from
// the main one's name.
inline std::string dead_letter_name(const std::string& asked, const std::string& main, const char* suffix) {
  return asked.empty() ? main + suffix : asked;
}

// Record headers of a dead letter in a log: reason, topic, partition, offset (numbers in decimal).
std::string dead_letter_headers(const DeadLetter& letter);

// One line of JSON, without its line break: topic, partition, offset, timestamp, reason, then key and
// value as they came; bytes that are not UTF-8 text stand as keyBase64 and valueBase64 instead.
void append_dead_letter_json(const DeadLetter& letter, std::string* out);

size_t dead_letter_bytes(const DeadLetter& letter);

bool is_utf8(std::string_view bytes);
// The same text where it is UTF-8; else with '?' for every byte above 127.
std::string as_utf8(std::string_view bytes);
void append_base64(std::string_view bytes, std::string* out);

}  // namespace tidemill::serve
