#include "solution/between.h"

#include <utility>

#include "base/text.h"
#include "solution/names.h"

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

// As a topic may be called; it has one where it keeps state.
std::string plain(std::string name) {
  for (char& c : name) {
    if (!holds_only(std::string(1, c), "._-")) c = '-';
  }
  return name;
}

// How often steps before this one rekey by its field. Precondition: it is one of the solution's.
int times_before(const Solution& solution, const OperatorConfig& step) {
  int times = 0;
  for (const OperatorConfig& one : solution.process) {
    if (&one == &step) break;
    if (one.kind == OperatorKind::kRekey && plain(one.rekey.by) == plain(step.rekey.by)) ++times;
  }
  return times;
}

}  // namespace

// Solutions that read one topic of Kafka share its cluster, too; branches of one solution share its log.
std::string rekeyed_topic(const Solution& solution, const std::string& by) {
  const bool own = reads_kafka(solution) || !solution.branch.empty();
  return (own ? solution.name : solution.ingest.log.topic) + "-by-" + by;
}

std::optional<BetweenTopic> topic_before(const Solution& solution, const OperatorConfig& step) {
  BetweenTopic topic;
  if (step.kind == OperatorKind::kRekey) {
    topic.name = or_default(step.rekey.topic, rekeyed_topic(solution, step.rekey.by));
    topic.in_kafka = reads_kafka(solution) && is_shared(solution);
    topic.pipeline = solution.name + "-rekey-" + step.rekey.by;
    // A group of each, which shares the partitions of one topic out.
    if (const int number = times_before(solution, step); topic.in_kafka && number > 0)
      topic.pipeline += "-" + std::to_string(number + 1);
    if (topic.in_kafka) topic.pipeline = plain(std::move(topic.pipeline));
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

std::string rekey_note(const Solution& solution) {
  bool rekeyed = false;
  for (const OperatorConfig& step : solution.process) {
    const auto topic = topic_before(solution, step);
    rekeyed = rekeyed || (topic && topic->in_kafka && step.kind == OperatorKind::kRekey);
    if (!rekeyed || step.kind != OperatorKind::kDedup) continue;
    const bool by_time = step.dedup.horizon_us > 0;
    return std::string(
               "dedup behind a rekey: processes do not wait for each other, so the copies of an event ") +
           "from two partitions come to it as far apart as one process is behind another, also while a "
           "killed " +
           "one is taken over from; " +
           (by_time ? "horizon: " + format_duration_us(step.dedup.horizon_us) + " has to be longer than that"
                    : "last: " + std::to_string(step.dedup.last) +
                          " has to hold the events of a key in that time, or give horizon: a time");
  }
  return {};
}

std::string horizon_note(const Solution& solution) {
  if (!reads_kafka(solution)) return {};
  for (const OperatorConfig& step : solution.process) {
    if (topic_before(solution, step)) return {};
    if (step.kind != OperatorKind::kDedup || step.dedup.horizon_us == 0) continue;
    return "dedup by horizon goes by the records' timestamps: where topic " + solution.ingest.kafka.topic +
           " has CreateTime, one record of a producer whose clock is ahead lets every older id be forgotten, "
           "and none after it until that time; give the topic message.timestamp.type=LogAppendTime, or "
           "dedup last: a number";
  }
  return {};
}

bool is_rekeyed(const Solution& solution, const std::string& topic) {
  const std::vector<BetweenTopic> all = between_topics(solution);
  return std::any_of(all.begin(), all.end(),
                     [&](const BetweenTopic& one) { return one.name == topic && !one.rekey.empty(); });
}

}  // namespace tidemill::solution
