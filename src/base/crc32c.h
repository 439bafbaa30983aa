// CRC-32C (Castagnoli, RFC 3720 appendix B.4), as Kafka's record batches use it.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidemill {

// Of `bytes`, continuing from `previous` (the crc of what came before, 0 at the start).
uint32_t crc32c(std::string_view bytes, uint32_t previous = 0);

}  // namespace tidemill
