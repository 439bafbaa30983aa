#include "solution/derive.h"

#include <algorithm>
#include <thread>

#include "solution/between.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kReferenceLatencyUs = 15'000'000;
constexpr int64_t kDeltaEpochUs = 5'000'000;
constexpr double kReferenceDuplicates = 0.0011;  // the injected 0.1 % and a tenth of it
constexpr int64_t kDatabaseBytes = 128ll << 20;
constexpr int64_t kDatabaseBytesPerTask = 128ll << 20;
constexpr int64_t kKeyedDatabaseBytes = 1ll << 30;
constexpr double kReferenceRate = 0.9;  // of the rate asked for

// "solutions/relay.yaml" → "relay", with what a name may not hold made a dash.
std::string name_of_file(const std::string& file) {
  std::string name = file.substr(file.rfind('/') == std::string::npos ? 0 : file.rfind('/') + 1);
  for (const char* ending : {".yaml", ".yml"}) {
    if (name.ends_with(ending)) name.resize(name.size() - std::string_view(ending).size());
  }
  for (char& c : name) {
    bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    if (!plain) c = '-';
  }
  return name;
}

void fill(Draft& draft, const std::string& path, std::string& value, std::string fallback,
          const std::string& from) {
  if (draft.given(path) || fallback.empty()) return;
  value = std::move(fallback);
  draft.derived(path, from);
}

void as_source(Draft& draft, const std::string& path, int32_t& partitions) {
  if (partitions != 0) return;
  partitions = input_partitions(draft.solution);
  draft.derived(path,
                reads_kafka(draft.solution) ? "as ingest.kafka.partitions" : "as ingest.log.partitions");
}

void derive_event(Draft& draft) {
  EventConfig& event = draft.solution.event;
  if (event.builtin == "telemetry") {
    event.schema = telemetry_schema(event.complex_count, event.complex_first);
  } else if (event.builtin == "sensor") {
    event.schema = sensor_schema();
  } else {
    event.schema.name = draft.solution.name;
    event.schema.fields = event.fields;
  }
  Schema& schema = event.schema;
  fill(draft, "event.id", event.id, schema.id_field, "as event.schema");
  fill(draft, "event.key", event.key, schema.key_field, "as event.schema");
  fill(draft, "event.sequence", event.sequence, schema.sequence_field, "as event.schema");
  fill(draft, "event.time", event.time, schema.time_field, "as event.schema");
  schema.id_field = event.id;
  schema.key_field = event.key;
  schema.sequence_field = event.sequence;
  schema.time_field = event.time;
}

void derive_simulation(Draft& draft) {
  Solution& solution = draft.solution;
  simulate::SimulateOptions& options = solution.simulate.options;
  if (!solution.simulate.enabled) return;
  if (!draft.given("simulate.profile") && solution.event.builtin == "sensor") {
    options.profile = simulate::Profile::kSensor;
    draft.derived("simulate.profile", "as event.schema");
  }
  if (!draft.given("simulate.complex_count")) {
    options.complex_count = solution.event.complex_count;
    draft.derived("simulate.complex_count", "as event.complex_count");
  }
  if (!draft.given("simulate.complex_first")) {
    options.complex_first = solution.event.complex_first;
    draft.derived("simulate.complex_first", "as event.complex_first");
  }
  // A count ends the run by itself; a duration beside it counts only where somebody asked for one.
  if (options.count >= 0 && !draft.given("duration")) {
    solution.duration_us = -1;
    draft.derived("duration", "as simulate.count ends it");
  }
  options.duration_us = solution.duration_us;
  options.topic = input_topic(solution);
}

void derive_steps(Draft& draft) {
  Solution& solution = draft.solution;
  for (size_t i = 0; i < solution.process.size(); ++i) {
    OperatorConfig& step = solution.process[i];
    std::string path = step_path(draft, i);
    if (step.kind == OperatorKind::kDedup) {
      fill(draft, path + ".id", step.dedup.id, solution.event.id, "as event.id");
      fill(draft, path + ".key", step.dedup.key, solution.event.key, "as event.key");
      if (step.dedup.horizon_us > 0 && !draft.given(path + ".last")) {
        step.dedup.last = 0;
        draft.derived(path + ".last", "as horizon is set");
      }
    } else if (step.kind == OperatorKind::kRekey) {
      if (!step.rekey.by.empty()) {
        fill(draft, path + ".topic", step.rekey.topic, rekeyed_topic(solution, step.rekey.by),
             reads_kafka(solution) ? "as name and by" : "as ingest.log.topic and by");
      }
      // What there is in Kafka is known only when a run starts.
      if (!topic_before(solution, step)->in_kafka)
        as_source(draft, path + ".partitions", step.rekey.partitions);
    } else if (step.kind == OperatorKind::kSql && step.sql.scope == SqlScope::kInterval) {
      fill(draft, path + ".topic", step.sql.topic, solution.name + "-intervals", "as name");
    }
  }
}

void derive_sink(Draft& draft) {
  Solution& solution = draft.solution;
  const std::string& name = solution.name;
  std::string dead_letters;
  switch (solution.serve.kind) {
    case SinkKind::kKafka: {
      KafkaSink& sink = solution.serve.kafka;
      fill(draft, "serve.kafka.topic", sink.topic, name + "-out", "as name");
      if (reads_kafka(solution) && sink.connection == kafka::Connection{}) {
        sink.connection = solution.ingest.kafka.connection;
        draft.derived("serve.kafka.brokers", "as ingest.kafka.brokers");
      }
      dead_letters = name + "-dead-letters";
      break;
    }
    case SinkKind::kLog:
      fill(draft, "serve.log.topic", solution.serve.log.topic, name + "-out", "as name");
      as_source(draft, "serve.log.partitions", solution.serve.log.partitions);
      dead_letters = name + "-dead-letters";
      break;
    case SinkKind::kDuckDb:
      dead_letters = "dead_letters";
      break;
    case SinkKind::kPostgres:
      dead_letters = "dead_letters";
      if (solution.serve.postgres.partitions > 0) {
        fill(draft, "serve.postgres.partition_by", solution.serve.postgres.partition_by,
             solution.event.schema.key_field, "as event.key");
      }
      break;
    case SinkKind::kDelta:
    case SinkKind::kParquet:
      dead_letters = "dead_letters";
      break;
    case SinkKind::kFiles:
    case SinkKind::kNull:
      dead_letters = "dead-letters";
      break;
  }
  // Beside those of the solution's own pipeline, which may have refused the same events.
  const SinkKind kind = solution.serve.kind;
  if (!solution.branch.empty() && (kind == SinkKind::kDuckDb || kind == SinkKind::kPostgres)) {
    dead_letters += "_" + solution.branch;
    std::replace(dead_letters.begin(), dead_letters.end(), '-', '_');
  } else if (!solution.branch.empty() && kind != SinkKind::kLog && kind != SinkKind::kKafka) {
    dead_letters = solution.branch + (dead_letters == "dead_letters" ? "_" : "-") + dead_letters;
  }
  fill(draft, "dead_letters.name", solution.dead_letters.name, dead_letters, "as serve");
}

bool removes_duplicates(const Solution& solution) {
  bool dedup = std::any_of(solution.process.begin(), solution.process.end(),
                           [](const OperatorConfig& step) { return step.kind == OperatorKind::kDedup; });
  return dedup || (solution.serve.kind == SinkKind::kDuckDb && !solution.serve.duckdb.key.empty()) ||
         (solution.serve.kind == SinkKind::kPostgres &&
          solution.serve.postgres.mode != PostgresMode::kAppend);
}

// What the reference's runners pass to its check.
ReferenceLimits runners_limits(const Solution& solution) {
  ReferenceLimits limits;
  if (solution.simulate.enabled && solution.simulate.options.rate > 0)
    limits.min_rate = solution.simulate.options.rate * kReferenceRate;
  limits.max_latency_us = kReferenceLatencyUs;
  limits.max_duplicates = removes_duplicates(solution) ? 0.0 : kReferenceDuplicates;
  limits.max_out_of_sequence = 1.0;
  return limits;
}

// A task has a row group of up to 122,880 rows under way, some 90 MB of telemetry. Written blocks stay in
// memory as far as there is room, and the index of a key is best kept there.
int64_t database_memory(const Solution& solution) {
  const auto cores = static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency()));
  const int64_t bytes = kDatabaseBytes + kDatabaseBytesPerTask * task_count(solution, cores);
  return solution.serve.duckdb.key.empty() ? bytes : std::max(bytes, kKeyedDatabaseBytes);
}

void derive_limits(Draft& draft) {
  Solution& solution = draft.solution;
  if (!draft.given("pipeline.epoch.max_bytes")) {
    solution.pipeline.limits.max_bytes = static_cast<uint64_t>(solution.pipeline.memory_bytes / 2);
    draft.derived("pipeline.epoch.max_bytes", "as half of pipeline.memory");
  }
  // Each epoch is a file of each partition, which readers open one by one.
  if (solution.serve.kind == SinkKind::kDelta && !draft.given("pipeline.epoch.interval")) {
    solution.pipeline.limits.interval_us = kDeltaEpochUs;
    draft.derived("pipeline.epoch.interval", "as serve");
  }
  // An epoch ends with its files.
  if (solution.serve.kind == SinkKind::kParquet) {
    pipeline::EpochLimits& epoch = solution.pipeline.limits;
    const int64_t roll_us = solution.serve.parquet.roll_interval_us;
    for (auto& [path, value] : {std::pair{"pipeline.epoch.interval", &epoch.interval_us},
                                std::pair{"pipeline.epoch.max_interval", &epoch.max_interval_us}}) {
      if (draft.given(path)) continue;
      *value = roll_us;
      draft.derived(path, "as serve.parquet.roll_interval");
    }
  }
  if (solution.serve.kind == SinkKind::kDuckDb && !draft.given("serve.duckdb.memory_limit")) {
    solution.serve.duckdb.memory_limit_bytes = database_memory(solution);
    draft.derived("serve.duckdb.memory_limit", "by its tasks and its key");
  }
  if (solution.serve.kind == SinkKind::kDuckDb && !draft.given("query.memory")) {
    solution.query.memory_bytes = most_query_memory(solution);
    draft.derived("query.memory", "as three quarters of serve.duckdb.memory_limit");
  }
  if (solution.verify.rules != Rules::kReference) return;
  auto limit = [&](const char* path, auto& value, auto reference) {
    if (draft.given(path) || !reference) return;
    value = *reference;
    draft.derived(path, "as verify.rules");
  };
  const ReferenceLimits runners = runners_limits(solution);
  limit("verify.min_rate", solution.verify.min_rate, runners.min_rate);
  limit("verify.max_latency", solution.verify.max_latency_us, runners.max_latency_us);
  limit("verify.max_duplicates", solution.verify.max_duplicates, runners.max_duplicates);
  limit("verify.max_out_of_sequence", solution.verify.max_out_of_sequence, runners.max_out_of_sequence);
}

}  // namespace

int64_t most_query_memory(const Solution& solution) {
  return solution.serve.duckdb.memory_limit_bytes / 4 * 3;
}

ReferenceLimits reference_limits(const Solution& solution) {
  const VerifyConfig& verify = solution.verify;
  // Under strict rules a limit that is off was not meant for the reference's.
  ReferenceLimits limits;
  if (verify.rules != Rules::kReference) limits = runners_limits(solution);
  if (verify.min_rate > 0) limits.min_rate = verify.min_rate;
  if (verify.max_latency_us >= 0) limits.max_latency_us = verify.max_latency_us;
  if (verify.max_duplicates >= 0) limits.max_duplicates = verify.max_duplicates;
  if (verify.max_out_of_sequence >= 0) limits.max_out_of_sequence = verify.max_out_of_sequence;
  return limits;
}

void derive_defaults(Draft& draft, const std::string& file) {
  Solution& solution = draft.solution;
  fill(draft, "name", solution.name, name_of_file(file), "as the file's name");
  fill(draft, "ingest.log.topic", solution.ingest.log.topic, solution.name, "as name");
  if (reads_kafka(solution))
    fill(draft, "ingest.kafka.topic", solution.ingest.kafka.topic, solution.name, "as name");
  derive_event(draft);
  derive_simulation(draft);
  derive_steps(draft);
  derive_sink(draft);
  derive_limits(draft);
}

}  // namespace tidemill::solution
