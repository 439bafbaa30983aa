// A decode plan as the walker needs it: the planned members of each object, as a tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/json_decoder.h"

namespace tidemill::json {

// A member that the plan names: the columns that its value goes to, the planned members inside it.
struct PlanMember {
  std::string name;
  std::vector<uint32_t> columns;  // indexes into DecodePlan::fields
  int32_t child = -1;             // index into PlanTree::nodes
  bool added = false;             // its name is one of DecodePlan::added_names
};

// A member as it stood in earlier events of the stream: events of one producer have the same
// members in the same order, so the walker compares `"name":` with what it expects next, in one
// step, before it looks a name up.
struct ExpectedMember {
  static constexpr size_t kMaxText = 32;
  alignas(32) char text[kMaxText] = {};  // `"name":`, zeros behind
  alignas(32) char mask[kMaxText] = {};  // 0xff for each byte of it
  uint32_t text_size = 0;
  int32_t member = -1;  // index into PlanNode::members; -1: not planned
  int32_t column = -1;  // the usual case, one column and nothing else; -1 otherwise
};

struct PlanNode {
  std::string path;  // "complexData"; empty at the top
  std::vector<PlanMember> members;
  std::vector<ExpectedMember> expected;
  uint64_t seen_in = 0;  // the serial number of the last document in which this object was met

  // The member of that (unescaped) name, or -1.
  int32_t find(std::string_view name) const;
  void index();

 private:
  static size_t hash(std::string_view name);
  std::vector<int32_t> table_;  // open addressing, a power of two, at most half full; -1: free
};

struct PlanTree {
  std::vector<PlanNode> nodes;  // the first is the event itself

  explicit PlanTree(const DecodePlan& plan);
};

}  // namespace tidemill::json
