// What the sinks' ways of storing dead letters have in common.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/batch.h"

namespace tidemill::serve {

// Where the dead letters of a main store go: `asked` if the solution file names a place, else derived from
// the main one's name.
inline std::string dead_letter_name(const std::string& asked, const std::string& main, const char* suffix) {
  return asked.empty() ? main + suffix : asked;
}

// Record headers of a dead letter in a log: reason, topic, partition, offset (numbers in decimal); `cut`,
// where it is not empty, says how long key and value were.
std::string dead_letter_headers(const DeadLetter& letter, const std::string& cut = {});

// One line of JSON, without its line break: topic, partition, offset, timestamp, reason, then key and
// value as they came; bytes that are not UTF-8 text stand as keyBase64 and valueBase64 instead.
void append_dead_letter_json(const DeadLetter& letter, std::string* out);

// A row that a store cannot hold, and why.
struct RowFault {
  uint32_t row;
  std::string reason;
};
// Takes these rows out of `selected`, which holds them. Of several faults of a row the first one tells.
void move_to_dead_letters(std::vector<RowFault> faults, Batch& batch);

size_t dead_letter_bytes(const DeadLetter& letter);

bool is_utf8(std::string_view bytes);
// The same text where it is UTF-8; else with '?' for every byte above 127.
std::string as_utf8(std::string_view bytes);
void append_base64(std::string_view bytes, std::string* out);

}  // namespace tidemill::serve
