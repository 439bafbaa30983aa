// What a dedup operator keeps and drops, as plainly as it can be said: per key the ids that were
// seen, in the order in which they were seen last. Ids are compared in full.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "verify/verify.h"

namespace tidemill::verify {

class DedupModel {
 public:
  explicit DedupModel(const Dedup& dedup) : dedup_(dedup) {}

  // Whether the record is a copy of one that is remembered; it is the most recent one from now on.
  // `time_ms` is the log's append time, for the horizon: an id is remembered until more than the
  // horizon (whole milliseconds) has gone by since it was seen last. Time never goes back.
  bool seen(std::string_view key, std::string_view id, int64_t time_ms) {
    Key& of_key = keys_[std::string(key)];
    now_ms_ = std::max(now_ms_, time_ms);
    if (dedup_.kind == DedupKind::kHorizon) {
      int64_t oldest_ms = now_ms_ - dedup_.horizon_us / 1000;
      while (!of_key.order.empty() && of_key.order.front().time_ms < oldest_ms) drop_oldest(of_key);
    }
    auto [entry, fresh] = of_key.last.try_emplace(std::string(id), 0);
    entry->second = ++ticks_;
    of_key.order.push_back({ticks_, now_ms_, entry->first});
    if (dedup_.kind == DedupKind::kLastN) {
      while (of_key.last.size() > dedup_.last_n) drop_oldest(of_key);
    }
    return !fresh;
  }
  void clear() {
    keys_.clear();
    now_ms_ = 0;
  }

 private:
  struct Seen {
    uint64_t tick;
    int64_t time_ms;
    std::string id;
  };
  struct Key {
    std::unordered_map<std::string, uint64_t> last;  // when each remembered id was seen last
    std::deque<Seen> order;                          // every sighting; stale where `last` has a later tick
  };
  static void drop_oldest(Key& key) {
    auto entry = key.last.find(key.order.front().id);
    if (entry != key.last.end() && entry->second == key.order.front().tick) key.last.erase(entry);
    key.order.pop_front();
  }

  Dedup dedup_;
  uint64_t ticks_ = 0;
  int64_t now_ms_ = 0;
  std::unordered_map<std::string, Key> keys_;
};

}  // namespace tidemill::verify
