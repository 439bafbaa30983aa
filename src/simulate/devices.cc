#include "simulate/devices.h"

#include <cstring>

#include "base/check.h"
#include "event/partitioner.h"
#include "simulate/digits.h"

namespace tidemill::simulate {

DeviceNamer::DeviceNamer(std::string_view format) {
  const size_t at = format.find('%');
  TM_CHECK(at != std::string_view::npos, "device_id_format was not validated");
  const bool padded = format.substr(at).starts_with("%06d");
  prefix_ = format.substr(0, at);
  suffix_ = format.substr(at + (padded ? 4 : 2));
  width_ = padded ? 6 : 0;
}

char* DeviceNamer::write(uint64_t device, char* to) const {
  std::memcpy(to, prefix_.data(), prefix_.size());
  to += prefix_.size();
  char digits[20];
  const auto size = static_cast<size_t>(write_unsigned(device, digits) - digits);
  for (size_t i = size; i < width_; ++i) *to++ = '0';
  std::memcpy(to, digits, size);
  to += size;
  std::memcpy(to, suffix_.data(), suffix_.size());
  return to + suffix_.size();
}

Devices::Devices(const Plan& plan) : order_(device_order(plan)) {
  if (order_.empty()) return;
  const DeviceNamer namer(plan.device_id_format);
  std::string name(namer.max_size(), '\0');
  partitions_.reserve(order_.size());
  for (uint32_t device : order_) {
    const char* end = namer.write(device, name.data());
    const std::string_view key(name.data(), static_cast<size_t>(end - name.data()));
    partitions_.push_back(partition_for_key(key, plan.partitions).value());
  }
}

}  // namespace tidemill::simulate
