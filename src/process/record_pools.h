// Memory for very many small records that grow: blocks in size classes, every class without a hole.
//
// A record is found through its owner's index alone, so it may move: when a block is freed, the
// last block of its class takes its place, and the owner is told. A class therefore has at most one page that
// is partly used, whatever the order of growth was, and can be walked from end to end.
//
// Invariant: the blocks of a class are 0 … count-1, all in use. Their order depends only on the order of
// allocate() and free(), so the same calls give the same order.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"

namespace tidemill::process {

class RecordPools {
 public:
  // 0 is never used; classes are 4 bytes apart up to 128, then an eighth of the power of two below.
  static constexpr size_t kClasses = 256;
  struct Ref {
    uint8_t size_class = 0;
    uint32_t index = 0;
    bool operator==(const Ref&) const = default;
  };

  static constexpr uint8_t class_for(size_t bytes) {
    if (bytes <= kFineBytes) return static_cast<uint8_t>((bytes + kFineStep - 1) / kFineStep);
    auto power = static_cast<size_t>(std::bit_width(bytes - 1)) - 1;
    size_t step = (size_t{1} << power) / kCoarseSteps;
    size_t steps = (bytes - (size_t{1} << power) + step - 1) / step;
    size_t size_class = kFineClasses + (power - kFinePower) * kCoarseSteps + steps;
    TM_CHECK(size_class < kClasses);
    return static_cast<uint8_t>(size_class);
  }
  static constexpr size_t class_bytes(uint8_t size_class) {
    if (size_class <= kFineClasses) return size_class * kFineStep;
    size_t coarse = size_class - kFineClasses - 1u;
    size_t power = kFinePower + coarse / kCoarseSteps;
    return (size_t{1} << power) + (coarse % kCoarseSteps + 1) * ((size_t{1} << power) / kCoarseSteps);
  }

  // Good until the next allocate() or free() of its class.
  char* at(Ref ref) const {
    const Pool& pool = pools_[ref.size_class];
    return pool.pages[ref.index >> pool.page_shift].get() +
           (ref.index & pool.page_mask) * class_bytes(ref.size_class);
  }
  uint32_t count(uint8_t size_class) const { return pools_[size_class].count; }

  // The new block is the last of its class; its bytes are whatever they are.
  Ref allocate(uint8_t size_class);
  // Frees the block. Where another one moved into its place, returns true and where it was before
  // (it is now at `ref`).
  bool free(Ref ref, Ref* moved_from);

  size_t memory_bytes() const { return memory_bytes_; }

 private:
  static constexpr size_t kFineStep = 4, kFineBytes = 128, kFinePower = 7,
                          kFineClasses = kFineBytes / kFineStep, kCoarseSteps = 8;
  static constexpr size_t kPageBytes = 64 * 1024;

  struct Pool {
    std::vector<std::unique_ptr<char[]>> pages;
    uint32_t count = 0;
    uint32_t page_shift = 0;
    uint32_t page_mask = 0;
  };

  std::array<Pool, kClasses> pools_;
  size_t memory_bytes_ = 0;
};

static_assert(RecordPools::class_bytes(RecordPools::class_for(1)) == 4);
static_assert(RecordPools::class_bytes(RecordPools::class_for(128)) == 128);
static_assert(RecordPools::class_bytes(RecordPools::class_for(129)) == 144);
static_assert(RecordPools::class_bytes(RecordPools::class_for(1733)) == 1792);

}  // namespace tidemill::process
