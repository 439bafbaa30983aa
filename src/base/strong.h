// Integers that cannot be swapped for one another: an Offset is not a Partition is not an Epoch.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace tidemill {

template <class Tag, class Rep>
class Strong {
 public:
  using rep = Rep;
  constexpr Strong() = default;
  constexpr explicit Strong(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  constexpr auto operator<=>(const Strong&) const = default;
  constexpr Strong& operator++() {
    ++value_;
    return *this;
  }
  constexpr Strong next(Rep by = 1) const { return Strong(static_cast<Rep>(value_ + by)); }
  // The distance from `other` to this.
  constexpr Rep since(Strong other) const { return static_cast<Rep>(value_ - other.value_); }

 private:
  Rep value_{};
};

}  // namespace tidemill

template <class Tag, class Rep>
struct std::hash<tidemill::Strong<Tag, Rep>> {
  size_t operator()(tidemill::Strong<Tag, Rep> strong) const { return std::hash<Rep>{}(strong.value()); }
};
