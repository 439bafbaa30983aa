#include "base/testing/memory_peak.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "base/check.h"

namespace tidemill {
namespace {

size_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10) * 1024;
  }
  TM_CHECK(false, "/proc/self/status lacks a line");
}

}  // namespace

size_t resident_peak(const std::function<void()>& work) {
  // What was freed before and is still resident would hide what is taken now.
  ::malloc_trim(0);
  size_t before = status_bytes("VmRSS:");
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // the height begins anew
  TM_CHECK(reset.good(), "/proc/self/clear_refs cannot be written");
  work();
  return std::max(status_bytes("VmHWM:"), before) - before;
}

}  // namespace tidemill
