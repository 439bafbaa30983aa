// Ids as dedup keeps them: UUIDs in 16 bytes, every other id as its own bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tidemill::process {

// The 16 bytes of a UUID.
struct Uuid {
  uint64_t first = 0;
  uint64_t second = 0;
  bool operator==(const Uuid&) const = default;
};

// From 16 bytes, aligned or not.
inline Uuid load_uuid(const char* from) {
  Uuid uuid;
  std::memcpy(&uuid, from, sizeof uuid);
  return uuid;
}

// Packs the canonical lower-case form, 8-4-4-4-12. Returns false for anything else, so that packing
// loses nothing: two texts are equal exactly when their packed forms are.
bool pack_uuid(std::string_view text, Uuid* uuid);
std::string unpack_uuid(const Uuid& uuid);

// An id on its way through dedup. Borrows the text.
class Id {
 public:
  Id() = default;
  explicit Id(std::string_view text) {
    packed_ = pack_uuid(text, &uuid_);
    if (!packed_) text_ = text;
  }
  explicit Id(const Uuid& uuid) : packed_(true), uuid_(uuid) {}
  // Bytes that are no packed UUID, as they were stored.
  static Id raw(std::string_view bytes) {
    Id id;
    id.text_ = bytes;
    return id;
  }

  bool packed() const { return packed_; }
  const Uuid& uuid() const { return uuid_; }       // packed() only
  std::string_view text() const { return text_; }  // !packed() only
  uint64_t hash() const;
  bool operator==(const Id& other) const {
    return packed_ == other.packed_ && (packed_ ? uuid_ == other.uuid_ : text_ == other.text_);
  }

 private:
  bool packed_ = false;
  Uuid uuid_;
  std::string_view text_;
};

}  // namespace tidemill::process
