#include "solution/replay.h"

#include "base/text.h"
#include "event/timestamp.h"
#include "kafka/topic_pattern.h"
#include "solution/between.h"
#include "solution/names.h"

namespace tidemill::solution {
namespace {

// Everything that has a name of the kind that a replay gives.
std::vector<std::string> names_in_use(const Solution& solution) {
  std::vector<std::string> names = {solution.dead_letters.name};
  switch (solution.serve.kind) {
    case SinkKind::kLog:
      names.push_back(solution.serve.log.topic);
      names.push_back(solution.ingest.log.topic);
      for (const OperatorConfig& step : solution.process) {
        if (auto topic = topic_before(solution, step)) names.push_back(topic->name);
      }
      break;
    case SinkKind::kKafka:
      names.push_back(solution.serve.kafka.topic);
      names.push_back(input_topic(solution));
      for (const BetweenTopic& topic : between_topics(solution)) {
        if (topic.in_kafka) names.insert(names.end(), {topic.name, topic.dead_letters});
      }
      break;
    case SinkKind::kDuckDb:
      names.push_back(solution.serve.duckdb.table);
      names.emplace_back("tidemill_positions");
      break;
    case SinkKind::kPostgres:
      names.push_back(solution.serve.postgres.table);
      names.emplace_back("tidemill_positions");
      break;
    case SinkKind::kDelta:
    case SinkKind::kParquet:
    case SinkKind::kFiles:
      names.push_back(solution.serve.kind == SinkKind::kDelta     ? solution.serve.delta.table
                      : solution.serve.kind == SinkKind::kParquet ? solution.serve.parquet.directory
                                                                  : solution.serve.files.directory);
      break;
    case SinkKind::kNull:
      break;
  }
  return names;
}

Status check_name(const Solution& solution, const std::string& into) {
  std::string fault;
  switch (solution.serve.kind) {
    case SinkKind::kLog:
    case SinkKind::kKafka:
      fault = topic_fault(into);
      break;
    case SinkKind::kDuckDb:
    case SinkKind::kPostgres:
      fault = identifier_fault(into, "table");
      break;
    case SinkKind::kDelta:
    case SinkKind::kParquet:
    case SinkKind::kFiles:
      fault = holds_only(into, "._-")
                  ? folder_fault(into)
                  : '"' + into + "\" is not a folder's name; use letters, digits, dot, dash and underscore";
      if (into.find('/') != std::string::npos)
        fault = '"' + into + "\" is a path; what a replay writes stands beside " +
                names_in_use(solution).back() +
                ", where no other table is in its folder or around it: give a name alone";
      break;
    case SinkKind::kNull:
      return user_error("--into: " + solution.name + " serves to null, which keeps nothing of a replay");
  }
  // SQL knows no difference between upper and lower case.
  for (const Solution* one : with_branches(solution)) {
    if (one->serve.kind != solution.serve.kind) continue;
    for (const std::string& used : names_in_use(*one)) {
      if (fault.empty() && to_lower(used) == to_lower(into))
        fault = into + " is in use by " + solution.name + " itself; give another name";
    }
  }
  if (fault.empty() && solution.serve.kind == SinkKind::kKafka && kafka::is_pattern(input_topic(solution)) &&
      kafka::matches_pattern(input_topic(solution), into))
    fault =
        into + " matches " + input_topic(solution) + ", so events would go in a circle; give another name";
  if (fault.empty()) return {};
  return user_error("--into: " + fault);
}

}  // namespace

Result<Replay> parse_replay(const Solution& solution, const Request& request) {
  Replay replay;
  replay.into = request.get("into");
  TM_TRY(check_name(solution, replay.into));
  const std::string from = request.get("from", "earliest");
  if (from == "earliest") return replay;
  if (from == "latest") return user_error("--from latest would replay nothing: use earliest or a time");
  auto time = parse_timestamp_us(from);
  if (!time)
    return user_error("--from: '" + from + "' is neither earliest nor a time like 2026-01-31T12:00:00Z");
  replay.from.kind = StartAt::kTime;
  replay.from.time_us = *time;
  return replay;
}

}  // namespace tidemill::solution
