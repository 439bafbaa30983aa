// The devices of one instance: which takes which turn, what it is called, where its events go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "simulate/plan.h"

namespace tidemill::simulate {

// Writes device names without looking at the format again.
class DeviceNamer {
 public:
  explicit DeviceNamer(std::string_view format);
  // Writes at most max_size() characters; returns the end.
  char* write(uint64_t device, char* to) const;
  size_t max_size() const { return prefix_.size() + suffix_.size() + 20; }

 private:
  std::string prefix_;
  std::string suffix_;
  size_t width_ = 0;
};

class Devices {
 public:
  // Computes the partition of every device: its name's, by Java's default partitioner.
  explicit Devices(const Plan& plan);
  // Of the profile `sensor` there are none.
  size_t size() const { return order_.size(); }
  uint32_t number(uint32_t position) const { return order_[position]; }
  int32_t partition(uint32_t position) const { return partitions_[position]; }

 private:
  std::vector<uint32_t> order_;
  std::vector<int32_t> partitions_;
};

}  // namespace tidemill::simulate
