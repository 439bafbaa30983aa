// The plain, obvious dedup that the real one is tested against.
#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <utility>

#include "base/random.h"

namespace tidemill::process {

class LruModel {
 public:
  explicit LruModel(size_t last) : last_(last) {}
  // Whether the event is passed on.
  bool pass(const std::string& key, const std::string& id, int64_t) {
    std::list<std::string>& ids = keys_[key];
    auto found = std::find(ids.begin(), ids.end(), id);
    bool known = found != ids.end();
    if (known) ids.erase(found);
    ids.push_back(id);
    if (ids.size() > last_) ids.pop_front();
    return !known;
  }

 private:
  size_t last_;
  std::map<std::string, std::list<std::string>> keys_;
};

class HorizonModel {
 public:
  explicit HorizonModel(int64_t horizon_ms) : horizon_ms_(horizon_ms) {}
  bool pass(const std::string& key, const std::string& id, int64_t time_ms) {
    now_ms_ = std::max(now_ms_, time_ms);
    auto [found, fresh] = seen_.try_emplace({key, id}, now_ms_);
    bool known = !fresh && now_ms_ - found->second <= horizon_ms_;
    found->second = now_ms_;
    return !known;
  }

 private:
  int64_t horizon_ms_;
  int64_t now_ms_ = 0;
  std::map<std::pair<std::string, std::string>, int64_t> seen_;
};

// Ids of every kind: packed UUIDs, short ones, long ones, one of `kinds` letters apart.
inline std::string model_id(uint64_t number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  switch (number % 5) {
    case 0:
    case 1: {
      std::string uuid = "00000000-0000-4000-8000-000000000000";
      for (size_t at = 35; number != 0; --at, number /= 16) uuid[at] = kDigits[number % 16];
      return uuid;
    }
    case 2:
      return std::to_string(number);
    case 3:
      return "id-of-sixteen+" + std::to_string(number);
    default:
      return std::string(number % 7 == 0 ? 5'000 : 40, 'x') + std::to_string(number);
  }
}

inline std::string model_key(uint64_t number) {
  switch (number % 4) {
    case 0:
      return "contoso-device-id-" + std::to_string(number);
    case 1:
      return "gerät-№" + std::to_string(number) + "-日本";
    case 2:
      return number == 2 ? std::string() : std::string(300, 'k') + std::to_string(number);
    default:
      return std::string("\0key", 4) + std::to_string(number);
  }
}

}  // namespace tidemill::process
