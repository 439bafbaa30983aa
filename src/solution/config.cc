#include "solution/config.h"

#include <algorithm>

#include "base/text.h"
#include "pipeline/guarantee.h"
#include "solution/settings.h"

namespace tidemill::solution {

bool reads_kafka(const Solution& solution) {
  return solution.ingest.kind == SourceKind::kKafka;
}
bool shares_store(const Solution& solution) {
  return solution.serve.kind == SinkKind::kPostgres || solution.serve.kind == SinkKind::kDelta;
}
const std::string& input_topic(const Solution& solution) {
  return reads_kafka(solution) ? solution.ingest.kafka.topic : solution.ingest.log.topic;
}
const StartAt& input_start(const Solution& solution) {
  return reads_kafka(solution) ? solution.ingest.kafka.start : solution.ingest.log.start;
}
std::map<int32_t, int64_t> start_offsets(const KafkaSource& source) {
  std::map<int32_t, int64_t> offsets;
  for (const auto& [partition, offset] : source.start_offsets) {
    offsets[static_cast<int32_t>(std::stol(partition))] = std::stoll(offset);
  }
  return offsets;
}
int32_t input_partitions(const Solution& solution) {
  return reads_kafka(solution) ? solution.ingest.kafka.partitions : solution.ingest.log.partitions;
}

std::vector<const Solution*> with_branches(const Solution& solution) {
  std::vector<const Solution*> all{&solution};
  for (const Solution& branch : solution.branches) all.push_back(&branch);
  return all;
}

Result<const Solution*> find_branch(const Solution& solution, const std::string& name) {
  if (name.empty()) return &solution;
  std::vector<std::string> names;
  for (const Solution& branch : solution.branches) {
    if (branch.branch == name) return &branch;
    names.push_back(branch.branch);
  }
  return user_error("--branch " + name + ": " + solution.name +
                        (names.empty() ? " has no branches" : " has the branches " + join(names, ", ")),
                    Code::kNotFound);
}

bool shares_input(const Solution& solution) {
  return std::any_of(solution.branches.begin(), solution.branches.end(),
                     [](const Solution& branch) { return branch.from.empty(); });
}

int32_t task_count(const Solution& solution, int32_t cores) {
  int32_t partitions = input_partitions(solution);
  for (const OperatorConfig& step : solution.process) {
    if (step.kind == OperatorKind::kRekey) partitions = std::max(partitions, step.rekey.partitions);
  }
  int32_t tasks = solution.pipeline.tasks > 0 ? solution.pipeline.tasks : std::max(cores, 1);
  return std::clamp(tasks, 1, std::max(partitions, 1));
}

std::string source_summary(const Solution& solution) {
  return (reads_kafka(solution) ? "Kafka " : "log ") + input_topic(solution);
}

std::string process_summary(const Solution& solution) {
  std::string text;
  for (const OperatorConfig& step : solution.process) {
    if (!text.empty()) text += ", ";
    text += operator_names()[static_cast<size_t>(step.kind)];
  }
  return text;
}

std::string sink_summary(const Solution& solution) {
  switch (solution.serve.kind) {
    case SinkKind::kLog:
      return "log " + solution.serve.log.topic;
    case SinkKind::kDuckDb:
      return "DuckDB table " + solution.serve.duckdb.table;
    case SinkKind::kFiles:
      return "files in " + solution.serve.files.directory;
    case SinkKind::kKafka:
      return "Kafka " + solution.serve.kafka.topic;
    case SinkKind::kPostgres:
      return "PostgreSQL table " + solution.serve.postgres.table;
    case SinkKind::kDelta:
      return "Delta table " + solution.serve.delta.table;
    case SinkKind::kParquet:
      return "Parquet files in " + solution.serve.parquet.directory;
    case SinkKind::kNull:
      break;
  }
  return "nowhere";
}

std::string guarantee_summary(const Solution& solution) {
  pipeline::GuaranteeFacts facts;
  facts.source.system = source_summary(solution);
  facts.sink.store = sink_summary(solution);
  // A sink that stores nothing keeps no promise about it; all others here have transactions, if they are
  // used.
  if (solution.serve.kind == SinkKind::kNull) return "none";
  const bool at_least_once =
      solution.serve.kind == SinkKind::kKafka && solution.serve.kafka.delivery == Delivery::kAtLeastOnce;
  facts.sink.capability =
      at_least_once ? pipeline::Capability::kAtLeastOnce : pipeline::Capability::kTransactional;
  std::string text = pipeline::guarantee_name(pipeline::compute_guarantee(facts).guarantee);
  const bool uses_log = !reads_kafka(solution) || solution.serve.kind != SinkKind::kKafka;
  if (uses_log && solution.log.options.durability != log::Durability::kSync) text += ", but for a power cut";
  return text;
}

}  // namespace tidemill::solution
