// The verifier's own decoding of JSON events, by simdjson's DOM.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "verify/fields.h"

namespace tidemill::verify {

enum class Decoded {
  kOk,
  kMalformed,  // not a JSON object, a wrong type, or without a required field
  kUnsure,     // valid JSON that this decoder cannot judge: a number beyond its field's type, or deep nesting
};

inline constexpr size_t kMaxEventBytes = 1 << 20;

// Not thread-safe. Values are borrowed until the next decode.
class JsonFields {
 public:
  // JSON longer than `max_bytes` is not judged.
  explicit JsonFields(std::vector<FieldSpec> specs, size_t max_bytes = kMaxEventBytes);
  ~JsonFields();

  const std::vector<FieldSpec>& specs() const { return specs_; }
  // Fills `values`, one per spec (NULL where absent), and `unreadable`, 1 where there is something
  // of another type; `wrong` says what is malformed first.
  Decoded decode(std::string_view json, std::vector<FieldValue>* values, std::vector<uint8_t>* unreadable,
                 std::string* wrong);
  // After decode: the members, on the object's levels that the specs' paths lead through, that no path and
  // none of `added` (top level) names, and those whose name stood there before, as text: names and values in
  // their order, `"more":5,"b.d":1`; empty: there are none. `added_are_new`: what the object has under an
  // added name will be replaced, so that it counts for nothing, however often it is there.
  std::string further_members(const std::vector<std::string>& added, bool added_are_new = false) const;
  // After decode: a top-level member by name, whatever its type (text of timestamps unparsed).
  bool member(std::string_view name, FieldValue* value) const;

 private:
  struct Impl;
  std::vector<FieldSpec> specs_;
  size_t max_bytes_;
  std::unique_ptr<Impl> impl_;
};

// A JSON value's text without what is free in it (white space, ways to write a string or a number);
// false where it is no JSON.
bool canonical_json(std::string_view text, std::string* out);

}  // namespace tidemill::verify
