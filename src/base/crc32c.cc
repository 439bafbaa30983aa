#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace tidemill {

uint32_t crc32c(std::string_view bytes, uint32_t previous) {
  // crc32_iscsi takes an int length and neither inverts its start value nor its result.
  uint32_t crc = ~previous;
  while (!bytes.empty()) {
    size_t size = std::min<size_t>(bytes.size(), size_t{1} << 30);
    auto* data = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
    crc = crc32_iscsi(data, static_cast<int>(size), crc);
    bytes.remove_prefix(size);
  }
  return ~crc;
}

}  // namespace tidemill
