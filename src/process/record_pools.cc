#include "process/record_pools.h"

#include <algorithm>
#include <cstring>

namespace tidemill::process {

RecordPools::Ref RecordPools::allocate(uint8_t size_class) {
  TM_CHECK(size_class > 0);
  Pool& pool = pools_[size_class];
  size_t block = class_bytes(size_class);
  if (pool.pages.empty()) {
    size_t blocks = std::bit_floor(std::max<size_t>(1, kPageBytes / block));
    pool.page_shift = static_cast<uint32_t>(std::countr_zero(blocks));
    pool.page_mask = static_cast<uint32_t>(blocks - 1);
  }
  if ((pool.count >> pool.page_shift) == pool.pages.size()) {
    size_t bytes = block << pool.page_shift;
    // Not initialised, so that a page costs resident memory only as it fills.
    pool.pages.emplace_back(new char[bytes]);
    memory_bytes_ += bytes;
  }
  TM_CHECK(pool.count < UINT32_MAX);
  return Ref{size_class, pool.count++};
}

bool RecordPools::free(Ref ref, Ref* moved_from) {
  Pool& pool = pools_[ref.size_class];
  TM_CHECK(ref.index < pool.count);
  Ref last{ref.size_class, pool.count - 1};
  bool moved = last != ref;
  if (moved) std::memcpy(at(ref), at(last), class_bytes(ref.size_class));
  *moved_from = last;
  --pool.count;
  // One empty page stays, so that a class that breathes does not allocate with every breath; none in
  // a class that all records have outgrown.
  size_t used_pages = (static_cast<size_t>(pool.count) + pool.page_mask) >> pool.page_shift;
  size_t kept_pages = used_pages == 0 ? 0 : used_pages + 1;
  while (pool.pages.size() > kept_pages) {
    memory_bytes_ -= class_bytes(ref.size_class) << pool.page_shift;
    pool.pages.pop_back();
  }
  return moved;
}

}  // namespace tidemill::process
