#include "pipeline/plan.h"

#include <algorithm>
#include <set>

namespace tidemill::pipeline {

Result<Plan> make_plan(Schema schema, std::vector<std::unique_ptr<Operator>> operators,
                       const SinkNeeds& needs, size_t event_limit_bytes) {
  Plan plan;
  plan.event_schema = schema;
  plan.sink_schema = std::move(schema);
  std::set<std::string, std::less<>> wanted;
  std::vector<std::string> added;
  for (auto& op : operators) {
    auto bound = op->bind(&plan.sink_schema);
    if (!bound.ok()) return std::move(bound).error().within("process." + op->name());
    for (std::string& field : op->needs()) wanted.insert(std::move(field));
    for (std::string& field : op->adds()) added.push_back(std::move(field));
    plan.stateful |= op->stateful();
    if (plan.every_us > 0)
      return user_error("process." + op->name() +
                        ": stands behind an operator with intervals, whose rows go to the sink as they are");
    plan.every_us = op->every_us();
  }
  if (needs.all_columns) {
    for (const Field& field : plan.event_schema.fields) wanted.insert(field.name);
  }
  // Where events are checked, one without a usable identity is none.
  if (needs.validate && !plan.event_schema.id_field.empty()) wanted.insert(plan.event_schema.id_field);
  // Rows of intervals are no events, whose way could be measured.
  if (plan.every_us > 0) plan.event_schema.time_field.clear();
  for (const std::string& column : needs.columns) {
    if (plan.sink_schema.find(column) < 0)
      return user_error("the sink needs field " + column + ", which the event has not");
    wanted.insert(column);
  }
  // Latency is measured from the event's own time wherever the event is decoded at all.
  if (!plan.event_schema.time_field.empty() && (!wanted.empty() || needs.added_members)) {
    wanted.insert(plan.event_schema.time_field);
    plan.time_field = plan.event_schema.time_field;
  }
  for (const Field& field : plan.event_schema.fields) {
    if (wanted.count(field.name) != 0) plan.decode.fields.push_back(field);
  }
  if (needs.added_members) plan.decode.added_names = std::move(added);
  plan.decodes = needs.validate || !plan.decode.fields.empty() || !plan.decode.added_names.empty();
  plan.decode.event_limit_bytes = event_limit_bytes;
  plan.operators = std::move(operators);
  return plan;
}

}  // namespace tidemill::pipeline
