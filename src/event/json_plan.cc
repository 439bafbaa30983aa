#include "event/json_plan.h"

#include <bit>

#include "base/check.h"
#include "event/json_reason.h"

namespace tidemill::json {
namespace {

PlanMember& member_named(PlanNode& node, const std::string& name) {
  for (PlanMember& member : node.members) {
    if (member.name == name) return member;
  }
  node.members.emplace_back();
  node.members.back().name = name;
  return node.members.back();
}

}  // namespace

size_t PlanNode::hash(std::string_view name) {
  if (name.empty()) return 0;
  size_t middle = static_cast<unsigned char>(name[name.size() / 2]);
  size_t last = static_cast<unsigned char>(name.back());
  size_t before_last = static_cast<unsigned char>(name[name.size() - (name.size() > 1 ? 2 : 1)]);
  return name.size() * 131 + static_cast<unsigned char>(name[0]) * 31 + middle * 17 + before_last * 7 + last;
}

void PlanNode::index() {
  table_.assign(std::bit_ceil(members.size() * 2 + 1), -1);
  for (size_t i = 0; i < members.size(); ++i) {
    size_t slot = hash(members[i].name) & (table_.size() - 1);
    while (table_[slot] >= 0) slot = (slot + 1) & (table_.size() - 1);
    table_[slot] = static_cast<int32_t>(i);
  }
}

int32_t PlanNode::find(std::string_view name) const {
  size_t slot = hash(name) & (table_.size() - 1);
  while (table_[slot] >= 0 && members[static_cast<size_t>(table_[slot])].name != name) {
    slot = (slot + 1) & (table_.size() - 1);
  }
  return table_[slot];
}

PlanTree::PlanTree(const DecodePlan& plan) {
  nodes.emplace_back();
  for (size_t field = 0; field < plan.fields.size(); ++field) {
    const std::vector<std::string>& path = plan.fields[field].path;
    TM_CHECK(!path.empty(), "a planned field has a path");
    size_t node = 0;
    for (size_t depth = 0; depth + 1 < path.size(); ++depth) {
      int32_t child = member_named(nodes[node], path[depth]).child;
      if (child < 0) {
        child = static_cast<int32_t>(nodes.size());
        member_named(nodes[node], path[depth]).child = child;
        nodes.emplace_back();
        nodes.back().path = join_path_names(path, depth + 1);
      }
      node = static_cast<size_t>(child);
    }
    member_named(nodes[node], path.back()).columns.push_back(static_cast<uint32_t>(field));
  }
  for (const std::string& name : plan.added_names) member_named(nodes[0], name).added = true;
  for (PlanNode& node : nodes) node.index();
}

}  // namespace tidemill::json
