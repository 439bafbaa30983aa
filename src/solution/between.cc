#include "solution/between.h"

namespace tidemill::solution {
namespace {

// Of `rekey`, and of whatever else is given no name.
std::string or_default(const std::string& given, const std::string& fallback) {
  return given.empty() ? fallback : given;
}

// Where several processes share a store they share what comes before it, too.
bool is_shared(const Solution& solution) {
  return solution.serve.kind == SinkKind::kKafka || shares_store(solution);
}

}  // namespace

std::optional<BetweenTopic> topic_before(const Solution& solution, const OperatorConfig& step) {
  BetweenTopic topic;
  if (step.kind == OperatorKind::kRekey) {
    topic.name = or_default(step.rekey.topic, input_topic(solution) + "-by-" + step.rekey.by);
    topic.pipeline = solution.name + "-rekey-" + step.rekey.by;
    topic.rekey = step.rekey.by;
    topic.partitions = step.rekey.partitions;
  } else if (step.kind == OperatorKind::kSql && step.sql.scope == SqlScope::kInterval) {
    topic.name = or_default(step.sql.topic, solution.name + "-intervals");
    topic.pipeline = solution.name + "-to-intervals";
    topic.partitions = 1;
    topic.in_kafka = reads_kafka(solution) && is_shared(solution);
  } else {
    return std::nullopt;
  }
  topic.dead_letters = topic.name + ".dead";
  return topic;
}

std::vector<BetweenTopic> between_topics(const Solution& solution) {
  std::vector<BetweenTopic> topics;
  for (const OperatorConfig& step : solution.process) {
    if (auto topic = topic_before(solution, step)) topics.push_back(std::move(*topic));
  }
  return topics;
}

}  // namespace tidemill::solution
