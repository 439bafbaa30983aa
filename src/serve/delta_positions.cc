#include "serve/delta_positions.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::PartitionEpoch;

namespace {

const DeltaTxn* find_txn(const DeltaState& state, const std::string& app) {
  auto found = state.txns.find(app);
  return found == state.txns.end() ? nullptr : &found->second;
}
int64_t number_of(const DeltaState& state, const std::string& app) {
  const DeltaTxn* txn = find_txn(state, app);
  return txn == nullptr ? 0 : txn->version;
}
uint64_t count_of(const DeltaState& state, const std::string& app) {
  return static_cast<uint64_t>(number_of(state, app));
}

}  // namespace

std::string DeltaPositions::app(const TopicPartition& source) const {
  return "tidemill/" + pipeline_ + "/" + source.topic + "/" + std::to_string(source.partition.value());
}

Committed DeltaPositions::read(const DeltaState& state, const TopicPartition& source) const {
  const std::string name = app(source);
  Committed one;
  auto small = [&](const char* what) { return static_cast<int32_t>(number_of(state, name + what)); };
  if (const DeltaTxn* offset = find_txn(state, name + "#offset"))
    one.position = {Offset(offset->version), LeaderEpoch(small("#leader-epoch"))};
  one.epoch = pipeline::Epoch(number_of(state, name));
  one.incarnation = pipeline::Incarnation(small("#incarnation"));
  one.counters = {count_of(state, name + "#read"), count_of(state, name + "#stored"),
                  count_of(state, name + "#dead"), count_of(state, name + "#dropped")};
  one.owner = pipeline::Incarnation(small("#owner"));
  return one;
}

Result<std::string> DeltaPositions::take_over(const DeltaState& state,
                                              std::span<const TopicPartition> partitions, int64_t now_ms,
                                              std::vector<Committed>* held) const {
  held->clear();
  std::string lines;
  const std::string marker = "tidemill/" + pipeline_ + "#source=";
  for (auto one = state.txns.lower_bound(marker); one != state.txns.end(); ++one) {
    if (!one->first.starts_with(marker)) break;
    const std::string other = one->first.substr(marker.size());
    if (other == source_) continue;
    return user_error("the table has positions of pipeline " + pipeline_ + " in " + other +
                      ", but what is read is " + source_ +
                      "; choose another serve.delta.table, or give the solution another name");
  }
  if (!state.txns.contains(marker + source_)) lines += delta_txn_line(marker + source_, 1, now_ms);
  for (const TopicPartition& source : partitions) {
    Committed one = read(state, source);
    one.owner = one.owner.next();
    lines += delta_txn_line(app(source) + "#owner", one.owner.value(), now_ms);
    held->push_back(std::move(one));
  }
  return lines;
}

bool DeltaPositions::expects(const DeltaState& state, std::span<const PartitionEpoch> parts) const {
  return std::all_of(parts.begin(), parts.end(), [&](const PartitionEpoch& part) {
    const Committed held = read(state, part.source);
    return held.position == part.expected && held.owner == part.owner;
  });
}

bool DeltaPositions::holds(const DeltaState& state, std::span<const PartitionEpoch> parts) const {
  return std::all_of(parts.begin(), parts.end(), [&](const PartitionEpoch& part) {
    const Committed held = read(state, part.source);
    return held.position == part.next && held.epoch == part.epoch && held.incarnation == part.owner &&
           held.owner == part.owner;
  });
}

std::string DeltaPositions::advance(const DeltaState& state, std::span<const PartitionEpoch> parts,
                                    int64_t now_ms) const {
  std::string lines;
  for (const PartitionEpoch& part : parts) {
    const std::string name = app(part.source);
    const auto signed_count = [](uint64_t count) { return static_cast<int64_t>(count); };
    const std::array<std::pair<const char*, int64_t>, 8> numbers = {{
        {"", part.epoch.value()},
        {"#offset", part.next.offset.value()},
        {"#leader-epoch", part.next.leader_epoch.value()},
        {"#incarnation", part.owner.value()},
        {"#read", signed_count(part.counters.read)},
        {"#stored", signed_count(part.counters.stored)},
        {"#dead", signed_count(part.counters.dead)},
        {"#dropped", signed_count(part.counters.dropped)},
    }};
    for (const auto& [what, number] : numbers) {
      const DeltaTxn* held = find_txn(state, name + what);
      if (held == nullptr || held->version != number) lines += delta_txn_line(name + what, number, now_ms);
    }
  }
  return lines;
}

}  // namespace tidemill::serve
