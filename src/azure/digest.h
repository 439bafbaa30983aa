// SHA-256 (FIPS 180-4), HMAC with it (RFC 2104) and Base64 (RFC 4648), for signatures.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidemill::azure {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view bytes);
Digest hmac_sha256(std::string_view key, std::string_view bytes);

std::string to_base64(std::string_view bytes);
// With its padding, and without white space; nullopt: it is none.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace tidemill::azure
