// What a dedup operator keeps and drops, as plainly as it can be said: the ids that were seen, in the order
// in which they were seen last, of each key or, by time, of all. Ids are compared in full.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "verify/verify.h"

namespace tidemill::verify {

// Memory: about 70 bytes for an id that is remembered and 100 for a key (by time: none for it), and their
// texts where those are longer than 15 bytes. Not thread-safe.
class DedupModel {
 public:
  explicit DedupModel(const Dedup& dedup) : dedup_(dedup) {}

  // Whether the record is a copy of one that is remembered; it is the most recent one from now on.
  // `time_ms` is the log's append time, for the horizon: an id is remembered until more than the
  // horizon (whole milliseconds) has gone by since it was seen last. Time never goes back.
  bool seen(std::string_view key, std::string_view id, int64_t time_ms) {
    now_ms_ = std::max(now_ms_, time_ms);
    const bool timed = dedup_.kind == DedupKind::kHorizon;
    uint32_t list = 0;
    if (timed) {
      // Time never goes back, so that the oldest of all are the oldest of their keys.
      name_ = std::to_string(key.size()).append(":").append(key).append(id);
      if (lists_.empty()) lists_.emplace_back();
      const int64_t oldest_ms = now_ms_ - dedup_.horizon_us / 1000;
      while (lists_[0].oldest != kNone && nodes_[lists_[0].oldest].time_ms < oldest_ms) forget_oldest(0);
    } else {
      name_ = id;
      const auto [entry, fresh] = keys_.try_emplace(std::string(key), static_cast<uint32_t>(lists_.size()));
      if (fresh) lists_.emplace_back();
      list = entry->second;
    }
    const uint64_t hash = std::hash<std::string_view>{}(name_) + list * 0x9e3779b97f4a7c15u;
    uint32_t at = find(hash, list);
    const bool copy = at != kNone;
    if (copy) {
      unlink(at);
    } else {
      at = take_node(hash, list);
    }
    nodes_[at].time_ms = now_ms_;
    append(at);
    if (dedup_.kind == DedupKind::kLastN) {
      while (lists_[list].count > dedup_.last_n) forget_oldest(list);
    }
    return copy;
  }
  void clear() {
    keys_.clear();
    lists_.clear();
    nodes_.clear();
    buckets_.clear();
    spare_ = kNone;
    used_ = 0;
    now_ms_ = 0;
  }
  size_t remembered() const { return used_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  // An id, in the list of its key and in the chain of its bucket.
  struct Node {
    uint64_t hash;
    int64_t time_ms;
    std::string name;
    uint32_t list;
    uint32_t older, newer;
    uint32_t chained;  // of a spare node: the next spare one
  };
  struct List {
    uint32_t oldest = kNone, newest = kNone;
    size_t count = 0;
  };

  uint32_t find(uint64_t hash, uint32_t list) const {
    if (buckets_.empty()) return kNone;
    uint32_t at = buckets_[hash % buckets_.size()];
    while (at != kNone && (nodes_[at].hash != hash || nodes_[at].list != list || nodes_[at].name != name_))
      at = nodes_[at].chained;
    return at;
  }
  uint32_t take_node(uint64_t hash, uint32_t list) {
    if (++used_ > buckets_.size()) grow();
    uint32_t at = spare_;
    if (at == kNone) {
      at = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
    } else {
      spare_ = nodes_[at].chained;
    }
    Node& node = nodes_[at];
    node.hash = hash;
    node.list = list;
    node.name = name_;
    put_into_bucket(at);
    return at;
  }
  void put_into_bucket(uint32_t at) {
    uint32_t& bucket = buckets_[nodes_[at].hash % buckets_.size()];
    nodes_[at].chained = bucket;
    bucket = at;
  }
  void grow() {
    buckets_.assign(std::max<size_t>(16, buckets_.size() * 2), kNone);
    for (const List& list : lists_) {
      for (uint32_t at = list.oldest; at != kNone; at = nodes_[at].newer) put_into_bucket(at);
    }
  }
  void append(uint32_t at) {
    List& list = lists_[nodes_[at].list];
    nodes_[at].older = list.newest;
    nodes_[at].newer = kNone;
    (list.newest == kNone ? list.oldest : nodes_[list.newest].newer) = at;
    list.newest = at;
    ++list.count;
  }
  void unlink(uint32_t at) {
    const Node& node = nodes_[at];
    List& list = lists_[node.list];
    (node.older == kNone ? list.oldest : nodes_[node.older].newer) = node.newer;
    (node.newer == kNone ? list.newest : nodes_[node.newer].older) = node.older;
    --list.count;
  }
  void forget_oldest(uint32_t of_list) {
    const uint32_t at = lists_[of_list].oldest;
    unlink(at);
    uint32_t* link = &buckets_[nodes_[at].hash % buckets_.size()];
    while (*link != at) link = &nodes_[*link].chained;
    *link = nodes_[at].chained;
    std::string().swap(nodes_[at].name);
    nodes_[at].chained = spare_;
    spare_ = at;
    --used_;
  }

  Dedup dedup_;
  int64_t now_ms_ = 0;
  std::string name_;                                // of the id at hand
  std::unordered_map<std::string, uint32_t> keys_;  // to their lists
  std::vector<List> lists_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> buckets_;  // the first node of each chain
  uint32_t spare_ = kNone;
  size_t used_ = 0;
};

}  // namespace tidemill::verify
