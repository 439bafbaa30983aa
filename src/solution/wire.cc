#include "solution/wire.h"

#include <algorithm>
#include <iterator>
#include <thread>

#include "ingest/kafka_source.h"
#include "ingest/log_source.h"
#include "kafka/topic_pattern.h"
#include "pipeline/kafka_changelog.h"
#include "pipeline/log_changelog.h"
#include "process/dedup.h"
#include "process/enrich.h"
#include "process/filter.h"
#include "process/project.h"
#include "process/sql.h"
#include "solution/between.h"
#include "solution/sinks.h"

namespace tidemill::solution {
namespace {

constexpr uint64_t kRekeyedEvents = 2048;  // of an epoch
constexpr int kDryTimeoutMs = 3'000;
constexpr int kEndpointTimeoutMs = 30'000;

// By which the table that is served tells rows apart.
std::vector<std::string> table_key(const ServeConfig& serve) {
  if (serve.kind == SinkKind::kDuckDb) return serve.duckdb.key;
  return serve.kind == SinkKind::kPostgres ? serve.postgres.key : std::vector<std::string>();
}

Result<std::unique_ptr<pipeline::Operator>> make_operator(const OperatorConfig& config, const Ground& ground,
                                                          const Solution& solution, bool partitioned_by_key) {
  switch (config.kind) {
    case OperatorKind::kEnrich: {
      std::vector<process::EnrichField> fields;
      for (const std::string& name : config.enrich.fields) {
        TM_ASSIGN(process::EnrichKind kind, process::parse_enrich_kind(name));
        fields.push_back({kind, name});
      }
      return process::make_enrich(std::move(fields));
    }
    case OperatorKind::kDedup: {
      process::DedupOptions options;
      options.id = config.dedup.id;
      options.key = config.dedup.key;
      if (config.dedup.last > 0) options.last = config.dedup.last;
      if (config.dedup.horizon_us > 0) options.horizon_us = config.dedup.horizon_us;
      options.check_key = !partitioned_by_key;
      return process::make_dedup(std::move(options));
    }
    case OperatorKind::kFilter:
      return process::make_filter(config.filter.where);
    case OperatorKind::kProject: {
      process::ProjectOptions options;
      options.keep = config.project.keep;
      options.drop = config.project.drop;
      for (const auto& [name, expression] : config.project.add) options.add.push_back({name, expression});
      return process::make_project(std::move(options));
    }
    case OperatorKind::kSql: {
      process::SqlOptions options;
      options.query = config.sql.query;
      options.every_us = config.sql.every_us;
      options.key = config.sql.key;
      options.count = config.sql.count;
      options.table_key = table_key(solution.serve);
      options.run = ground.runs;
      if (ground.of_run)
        options.noted_columns = join_path(ground.run_directory, "state/" + solution.name + ".columns");
      options.json_rows = solution.serve.kind == SinkKind::kLog || solution.serve.kind == SinkKind::kKafka ||
                          solution.serve.kind == SinkKind::kFiles;
      options.tables = config.sql.tables;
      options.whole_topic = config.sql.scope == SqlScope::kInterval;
      options.memory_limit_bytes = config.sql.memory_bytes;
      options.spill_directory = join_path(join_path(ground.run_directory, "sql.tmp"), solution.name);
      options.spill_bytes = config.sql.spill_bytes;
      return process::make_sql(std::move(options));
    }
    case OperatorKind::kRekey:
      break;
  }
  return internal_error("rekey divides a pipeline; it is no operator");
}

Result<std::unique_ptr<pipeline::Source>> make_log_source(const Solution& solution, const Ground& ground,
                                                          const Stage& stage, const StartAt& start) {
  ingest::LogSourceOptions source;
  source.topic = stage.input_topic;
  source.pipeline = stage.name;
  source.by_time = stage.rekeys;
  source.weakness = ingest::durability_weakness(solution.log.options.durability);
  switch (start.kind) {
    case StartAt::kEarliest:
      break;
    case StartAt::kLatest:
      source.start = ingest::LogSourceOptions::Start::kLatest;
      break;
    case StartAt::kTime:
      source.start = ingest::LogSourceOptions::Start::kTime;
      source.start_time_us = start.time_us;
      break;
  }
  TM_ASSIGN(auto opened, ingest::LogSource::open(*ground.log, std::move(source)));
  return std::unique_ptr<pipeline::Source>(std::move(opened));
}

// Of the topic in Kafka that the stage writes.
const kafka::Connection& sink_connection(const Solution& solution, const Stage& stage) {
  const bool between = stage.gathers || stage.rekeys;
  return between ? solution.ingest.kafka.connection : solution.serve.kafka.connection;
}

// Certainly not as positions of the group in the cluster that is read.
Result<bool> keeps_positions_elsewhere(const Solution& solution, const Ground& ground, const Stage& stage) {
  if (ground.dry) return false;
  if (!stage.to_kafka) return true;
  TM_ASSIGN(auto admin, kafka::Admin::open(sink_connection(solution, stage)));
  TM_ASSIGN(std::string cluster, admin->cluster_id());
  return cluster != stage.source_cluster;
}

kafka::Membership membership_of(const KafkaSource& source) {
  kafka::Membership membership;
  membership.protocol = source.protocol;
  membership.session_timeout_ms = static_cast<int>(source.session_timeout_us / 1000);
  membership.heartbeat_ms = static_cast<int>(source.heartbeat_us / 1000);
  membership.instance = source.member;
  return membership;
}

// A topic between two stages, which somebody else may have made.
Status check_partitions(const Solution& solution, const Stage& stage, ingest::KafkaSource& source) {
  TM_ASSIGN(std::vector<TopicPartition> there, source.partitions());
  const auto count = static_cast<int32_t>(there.size());
  if (count == stage.input_partitions) return {};
  const std::string number = std::to_string(count);
  const bool rekeyed = is_rekeyed(solution, stage.input_topic);
  return user_error("process." + std::string(rekeyed ? "rekey" : "sql") + ": topic " + stage.input_topic +
                        " of Kafka has " + number + " partitions, and " +
                        std::to_string(stage.input_partitions) + " are asked for; give " +
                        (rekeyed ? "partitions: " + number + ", or " : "") + "another topic",
                    Code::kInvalid);
}

Result<std::unique_ptr<pipeline::Source>> make_kafka_source(const Solution& solution, const Ground& ground,
                                                            Stage& stage, const StartAt& start, bool shared) {
  const bool first = stage.input_topic == input_topic(solution);
  const int32_t partitions = stage.input_partitions;
  const bool stamped = first || is_rekeyed(solution, stage.input_topic);
  if (!ground.dry) TM_TRY(create_kafka_topic(solution.ingest.kafka, stage.input_topic, partitions, stamped));
  ingest::KafkaSourceOptions source;
  source.keyed = stage.plan.stateful;
  if (shared) source.membership = membership_of(solution.ingest.kafka);
  source.connection = solution.ingest.kafka.connection;
  source.topic = stage.input_topic;
  source.pipeline = stage.name;
  source.by_time = stage.rekeys;
  switch (start.kind) {
    case StartAt::kEarliest:
      break;
    case StartAt::kLatest:
      source.start = ingest::KafkaSourceOptions::Start::kLatest;
      break;
    case StartAt::kTime:
      source.start = ingest::KafkaSourceOptions::Start::kTime;
      source.start_time_us = start.time_us;
      break;
  }
  if (first) source.start_offsets = start_offsets(solution.ingest.kafka);
  source.skip_deleted = solution.ingest.kafka.deleted == DeletedEvents::kSkip;
  if (ground.dry) source.timeout_ms = kDryTimeoutMs;
  auto opened = ingest::KafkaSource::open(source);
  if (opened.ok()) {
    TM_ASSIGN(stage.source_cluster, (*opened)->cluster_id());
    if (!first) TM_TRY(check_partitions(solution, stage, **opened));
    TM_ASSIGN(bool elsewhere, keeps_positions_elsewhere(solution, ground, stage));
    if (elsewhere) (*opened)->tell_group();
    return std::unique_ptr<pipeline::Source>(std::move(opened).value());
  }
  if (!ground.dry) return std::move(opened).error();
  const bool yet_to_come = opened.error().code == Code::kNotFound && solution.ingest.kafka.create;
  if (!yet_to_come) {
    stage.unasked = opened.error().message;
    if (opened.error().domain == Domain::kExternal)
      stage.unasked += "; tools/kafka up starts a broker on this machine";
  }
  return std::unique_ptr<pipeline::Source>(ingest::KafkaSource::assume(std::move(source), partitions));
}

// Beside the store that the sink writes: in Kafka's transaction, or in the log of the run, whose directory
// holds the store, too. Of a store that several processes share: in the cluster that they read.
Result<std::unique_ptr<pipeline::Changelog>> make_changelog(const Solution& solution, const Ground& ground,
                                                            const Stage& stage) {
  TM_ASSIGN(std::vector<TopicPartition> partitions, stage.source->partitions());
  if (stage.sink->traits().changelog_in_transaction && stage.to_kafka) {
    if (ground.dry) return std::unique_ptr<pipeline::Changelog>();
    TM_ASSIGN(auto changelog,
              pipeline::KafkaChangelog::open(sink_connection(solution, stage), stage.name, stage.abilities));
    return std::unique_ptr<pipeline::Changelog>(std::move(changelog));
  }
  if (shares_store(solution) && stage.from_kafka) {
    if (ground.dry) return std::unique_ptr<pipeline::Changelog>();
    const KafkaSource& source = solution.ingest.kafka;
    TM_ASSIGN(auto admin, kafka::Admin::open(source.connection));
    TM_TRY(pipeline::create_kafka_changelog(*admin, stage.name, static_cast<int32_t>(partitions.size()),
                                            source.replication > 0 ? source.replication : -1));
    TM_ASSIGN(auto changelog, pipeline::KafkaChangelog::open(source.connection, stage.name, stage.abilities));
    return std::unique_ptr<pipeline::Changelog>(std::move(changelog));
  }
  TM_TRY(pipeline::create_changelog(*ground.log, stage.name, static_cast<int32_t>(partitions.size())));
  return std::unique_ptr<pipeline::Changelog>(std::make_unique<pipeline::LogChangelog>(
      *ground.log, stage.name, solution.log.options.max_batch_bytes));
}

// Asks the cluster in which the stage keeps topics of its own, if there is one, what it can do. Errors: it
// cannot do what the solution demands.
Status ask_endpoint(const Solution& solution, const Ground& ground, Stage& stage) {
  const bool changelog = stage.plan.stateful && stage.from_kafka && shares_store(solution);
  if (!stage.to_kafka && !changelog) return {};
  const kafka::Connection& connection =
      stage.to_kafka ? sink_connection(solution, stage) : solution.ingest.kafka.connection;
  if (ground.dry && !stage.unasked.empty() && connection == solution.ingest.kafka.connection) return {};
  const bool begins = stage.to_kafka && !ground.dry;
  auto asked = kafka::ask_abilities(connection, begins ? stage.name + ".start" : std::string(),
                                    ground.dry ? kDryTimeoutMs : kEndpointTimeoutMs);
  if (!asked.ok()) {
    const bool serves = stage.to_kafka && !stage.rekeys && !stage.gathers;
    if (!ground.dry) return std::move(asked).error().within(serves ? "serve.kafka" : "ingest.kafka");
    if (stage.unasked.empty()) stage.unasked = asked.error().message;
    return {};
  }
  stage.abilities = *asked;
  const bool demanded =
      solution.serve.kind == SinkKind::kKafka && solution.serve.kafka.delivery == Delivery::kExactlyOnce;
  if (!stage.to_kafka || stage.abilities.transactions || !demanded) return {};
  return user_error("serve.kafka.delivery: exactly-once cannot be kept: Kafka at " +
                    kafka::address_of(connection) + " has no transactions (" +
                    stage.abilities.without_transactions +
                    "); remove the setting, which then means at least once there, or serve a store instead");
}

bool reshapes(const std::vector<const OperatorConfig*>& operators) {
  return std::any_of(operators.begin(), operators.end(),
                     [](const OperatorConfig* op) { return op->kind == OperatorKind::kProject; });
}

// `schema`: of the events that the stage reads; then of those that it writes.
Status finish_stage(Stage& stage, const Solution& solution, const Ground& ground, const StartAt& start,
                    bool replays, Schema* schema, std::vector<std::unique_ptr<pipeline::Operator>> operators,
                    const std::function<Result<std::unique_ptr<pipeline::Sink>>()>& make_stage_sink) {
  // Whether there is state decides what the sink prepares; what the sink needs decides the plan.
  stage.plan.stateful =
      std::any_of(operators.begin(), operators.end(), [](const auto& op) { return op->stateful(); });
  if (stage.plan.stateful && stage.from_kafka && kafka::is_pattern(stage.input_topic)) {
    return user_error("process: state is kept for one topic's partitions, and " + stage.input_topic +
                      " stands for several topics; name one in ingest.kafka.topic");
  }
  // A store of this process alone takes all partitions here, and a replay is nobody else's.
  const bool shared = (solution.serve.kind == SinkKind::kKafka || shares_store(solution)) && !replays;
  TM_ASSIGN(stage.source, stage.from_kafka ? make_kafka_source(solution, ground, stage, start, shared)
                                           : make_log_source(solution, ground, stage, start));
  TM_TRY(ask_endpoint(solution, ground, stage));
  TM_ASSIGN(stage.sink, make_stage_sink());
  pipeline::SinkNeeds needs = stage.sink->needs();
  if (solution.pipeline.validate) needs.validate = true;
  TM_ASSIGN(stage.plan, pipeline::make_plan(*schema, std::move(operators), needs,
                                            static_cast<size_t>(solution.event.max_bytes)));
  *schema = stage.plan.sink_schema;
  if (stage.plan.stateful) {
    TM_ASSIGN(stage.changelog, make_changelog(solution, ground, stage));
  }

  pipeline::GuaranteeFacts facts;
  facts.source = stage.source->traits();
  facts.sink = stage.sink->traits();
  facts.stateful = stage.plan.stateful;
  stage.guarantee = pipeline::compute_guarantee(facts);
  return {};
}

// Of a topic in Kafka that the solution does not say it of: what it has, or else as many as what is read.
// `asks`: the cluster answers.
Status settle_partitions(const Solution& solution, bool asks, int32_t sources, BetweenTopic* topic) {
  if (!topic->in_kafka || topic->partitions > 0) return {};
  topic->partitions = sources;
  if (!asks) return {};
  TM_ASSIGN(auto admin, kafka::Admin::open(solution.ingest.kafka.connection));
  TM_ASSIGN(int32_t there, admin->partition_count(topic->name));
  if (there > 0) topic->partitions = there;
  return {};
}

// Whoever deletes a topic between two stages deletes what the second one has yet to read, and its positions.
Status check_kept(const Solution& solution, const Stage& stage, const BetweenTopic& topic) {
  if (!topic.in_kafka || !stage.unasked.empty()) return {};
  TM_ASSIGN(auto admin, kafka::Admin::open(solution.ingest.kafka.connection));
  TM_ASSIGN(std::vector<TopicPartition> sources, stage.source->partitions());
  TM_ASSIGN(int32_t there, admin->partition_count(topic.name));
  if (there > 0 || sources.empty()) return {};
  TM_ASSIGN(auto positions, admin->group_offsets(stage.name, sources));
  if (std::none_of(positions.begin(), positions.end(), [](const auto& one) { return one.has_value(); }))
    return {};
  // Another process may have made it meanwhile, and written.
  TM_ASSIGN(there, admin->partition_count(topic.name));
  if (there > 0) return {};
  return user_error("process: topic " + topic.name + " of Kafka is gone, which " + stage.name +
                        " has written: what was in it and not yet served is lost. Give the solution another "
                        "name, to begin anew, or create the topic again, to go on without that",
                    Code::kNotFound);
}

// A replay reads it, and makes none.
Status check_written(const Solution& solution, const BetweenTopic& topic) {
  if (!topic.in_kafka) return {};
  TM_ASSIGN(auto admin, kafka::Admin::open(solution.ingest.kafka.connection));
  TM_ASSIGN(int32_t there, admin->partition_count(topic.name));
  if (there > 0) return {};
  return user_error("process: topic " + topic.name +
                        " of Kafka, which a replay reads, is not there; tidemill run " + solution.name +
                        " makes it",
                    Code::kNotFound);
}

Error in_line(const OperatorConfig& step, Error error) {
  return std::move(error).within("process, line " + std::to_string(step.line));
}

}  // namespace

Result<std::vector<Stage>> wire(const Solution& solution, const Ground& ground, const Replay& replay) {
  std::vector<Stage> stages;
  const std::string suffix = replay.into.empty() ? "" : "-into-" + replay.into;
  StartAt start = replay.into.empty() ? input_start(solution) : replay.from;
  if (start.kind == StartAt::kLatest && ground.latest_us >= 0) start = {StartAt::kTime, ground.latest_us};
  std::string input = input_topic(solution);
  int32_t partitions = input_partitions(solution);  // of that
  bool from_kafka = reads_kafka(solution);
  std::vector<const OperatorConfig*> operators;
  bool rekeyed = false;
  Schema schema = solution.event.schema;

  auto make_operators = [&]() -> Result<std::vector<std::unique_ptr<pipeline::Operator>>> {
    std::vector<std::unique_ptr<pipeline::Operator>> made;
    for (const OperatorConfig* config : operators) {
      TM_ASSIGN(auto op, make_operator(*config, ground, solution, rekeyed));
      made.push_back(std::move(op));
    }
    return made;
  };

  for (const OperatorConfig& config : solution.process) {
    if (config.kind == OperatorKind::kSql && !replay.into.empty())
      return user_error("process.sql: a replay would make other intervals of the events than there were");
    if (auto between = topic_before(solution, config)) {
      // A replay begins behind it: the topic is shared.
      Stage stage;
      stage.output_topic = between->name;
      stage.rekeys = !between->rekey.empty();
      stage.gathers = !stage.rekeys;
      TM_ASSIGN(auto made, make_operators());
      if (!replay.into.empty()) {
        for (auto& op : made) TM_TRY(op->bind(&schema));
        TM_TRY(settle_partitions(solution, !ground.dry, partitions, &*between));
        if (!ground.dry) TM_TRY(check_written(solution, *between));
      } else {
        stage.name = between->pipeline;
        stage.input_topic = input;
        stage.input_partitions = partitions;
        stage.from_kafka = from_kafka;
        stage.to_kafka = between->in_kafka;
        auto make_stage_sink = [&]() -> Result<std::unique_ptr<pipeline::Sink>> {
          TM_TRY(check_kept(solution, stage, *between));
          TM_TRY(settle_partitions(solution, stage.unasked.empty(), source_partitions(solution, stage),
                                   &*between));
          return make_between_sink(solution, ground, stage, *between, reshapes(operators));
        };
        TM_TRY(finish_stage(stage, solution, ground, stages.empty() ? start : StartAt{}, false, &schema,
                            std::move(made), make_stage_sink));
        stages.push_back(std::move(stage));
      }
      input = between->name;
      partitions = between->partitions;
      from_kafka = between->in_kafka;
      operators.clear();
      rekeyed = rekeyed || !between->rekey.empty();
    }
    if (config.kind != OperatorKind::kRekey) operators.push_back(&config);
  }

  Stage last;
  last.name = solution.name + suffix;
  last.input_topic = input;
  last.input_partitions = partitions;
  last.from_kafka = from_kafka;
  last.to_kafka = solution.serve.kind == SinkKind::kKafka;
  if (solution.serve.kind == SinkKind::kLog) last.output_topic = solution.serve.log.topic;
  if (solution.serve.kind == SinkKind::kKafka) last.output_topic = solution.serve.kafka.topic;
  if (!last.output_topic.empty() && !replay.into.empty()) last.output_topic = replay.into;
  TM_ASSIGN(auto made, make_operators());
  StartAt last_start = stages.empty() ? start : StartAt{};
  Status finished =
      finish_stage(last, solution, ground, last_start, !replay.into.empty(), &schema, std::move(made),
                   [&] { return make_sink(solution, ground, last, reshapes(operators), replay.into); });
  if (!finished.ok()) {
    const bool sql = !solution.process.empty() && solution.process.back().kind == OperatorKind::kSql;
    return sql ? in_line(solution.process.back(), finished.error()) : finished.error();
  }
  stages.push_back(std::move(last));
  for (Stage& stage : stages) stage.solution = &solution;
  return stages;
}

Result<std::vector<Stage>> wire_all(const Solution& solution, const Ground& ground) {
  std::vector<Stage> all;
  for (const Solution* one : with_branches(solution)) {
    auto stages = wire(*one, ground);
    if (!stages.ok()) {
      Error error = std::move(stages).error();
      return one->branch.empty() ? error : std::move(error).within("branches." + one->branch);
    }
    std::move(stages->begin(), stages->end(), std::back_inserter(all));
  }
  return all;
}

Status check_credentials(const Solution& solution) {
  if (solution.serve.kind != SinkKind::kDelta || !is_in_azure(solution.serve.delta)) return {};
  auto access = azure_access(solution.serve.delta, solution.serve.delta.table);
  if (access.ok()) return {};
  Error error = std::move(access).error();
  return solution.branch.empty() ? error : std::move(error).within("branches." + solution.branch);
}

Status ask_store(const Solution& solution) {
  if (solution.serve.kind == SinkKind::kDelta && is_in_azure(solution.serve.delta))
    return ask_azure(solution.serve.delta);
  if (solution.serve.kind != SinkKind::kPostgres) return {};
  pg::Options options = postgres_connection(solution.serve.postgres);
  options.timeout_s = kDryTimeoutMs / 1000;
  TM_TRY(pg::Connection::open(options));
  return {};
}

std::string simulation_note(const Solution& solution) {
  if (!solution.simulate.enabled || !reads_kafka(solution)) return {};
  auto asked = kafka::ask_abilities(solution.ingest.kafka.connection, {}, kDryTimeoutMs);
  if (!asked.ok() || asked->idempotence) return {};
  return "Kafka at " + kafka::address_of(solution.ingest.kafka.connection) +
         " has no idempotent producers (" + asked->without_idempotence +
         "): what simulate sends may be in the topic twice after a broken connection";
}

std::string size_note(const Solution& solution) {
  constexpr size_t kSlack = 64u << 10;  // by which the defaults differ
  if (solution.serve.kind != SinkKind::kKafka) return {};
  const KafkaSink& sink = solution.serve.kafka;
  auto admin = kafka::Admin::open(sink.connection, kDryTimeoutMs);
  if (!admin.ok()) return {};
  auto limits = (*admin)->limits(sink.topic);
  const auto longest = static_cast<size_t>(solution.event.max_bytes);
  if (!limits.ok() || limits->bytes + kSlack >= longest) return {};
  return "topic " + sink.topic + " of Kafka takes " + std::to_string(limits->bytes) +
         " bytes of an event with its key and headers, and event.max_bytes is " + std::to_string(longest) +
         ": longer ones become dead letters; raise max.message.bytes of the topic and message.max.bytes "
         "under "
         "serve.kafka.properties";
}

std::string last_input(const Solution& solution) {
  const std::vector<BetweenTopic> topics = between_topics(solution);
  return topics.empty() ? input_topic(solution) : topics.back().name;
}

pipeline::PipelineOptions pipeline_options(const Solution& solution, const Stage& stage) {
  pipeline::PipelineOptions options;
  options.name = stage.name;
  options.tasks =
      task_count(solution, static_cast<int32_t>(std::max(1u, std::thread::hardware_concurrency())));
  options.limits = solution.pipeline.limits;
  const SinkKind kind = solution.serve.kind;
  if ((stage.rekeys || stage.gathers) && (kind == SinkKind::kParquet || kind == SinkKind::kDelta)) {
    // What is in a topic need not wait for the files of the last stage.
    const pipeline::EpochLimits topics;
    options.limits.interval_us = std::min(options.limits.interval_us, topics.interval_us);
    options.limits.max_interval_us = std::min(options.limits.max_interval_us, topics.max_interval_us);
  }
  if (stage.rekeys) {
    // Copies of an event come from several partitions, and a dedup behind it forgets: one task reads all of
    // them in the order of their times.
    options.tasks = 1;
  }
  if (stage.rekeys && !stage.to_kafka) {
    // The embedded log has a transaction for each of them: it commits before one gets far ahead of another.
    const uint64_t most = options.limits.max_events > 0 ? options.limits.max_events : kRekeyedEvents;
    options.limits.max_events = std::min(most, kRekeyedEvents);
  }
  options.retry = solution.pipeline.retry;
  options.snapshot_min_bytes = static_cast<uint64_t>(solution.pipeline.snapshot_min_bytes);
  return options;
}

std::vector<std::string> input_topics(const Solution& solution) {
  std::vector<std::string> topics;
  for (const Solution* one : with_branches(solution)) {
    topics.push_back(input_topic(*one));
    for (const BetweenTopic& topic : between_topics(*one)) topics.push_back(topic.name);
  }
  return topics;
}

Status create_topics(const Solution& solution, log::Log& log) {
  log::TopicConfig config;
  config.partitions = solution.ingest.log.partitions;
  config.timestamp_type = TimestampType::kLogAppendTime;
  config.retention_us = solution.log.retention_us;
  config.retention_bytes = solution.log.retention_bytes;
  if (solution.ingest.log.create && !reads_kafka(solution)) {
    TM_TRY(log.create_topic(solution.ingest.log.topic, config));
  }
  for (const BetweenTopic& topic : between_topics(solution)) {
    if (topic.in_kafka) continue;
    log::TopicConfig between = config;
    if (topic.partitions > 0) between.partitions = topic.partitions;
    // Intervals have the times of the events as the source had them.
    if (topic.rekey.empty()) between.timestamp_type = TimestampType::kCreateTime;
    TM_TRY(log.create_topic(topic.name, between));
  }
  for (const Solution& branch : solution.branches) TM_TRY(create_topics(branch, log));
  return {};
}

Status create_kafka_topic(const KafkaSource& source, const std::string& name, int32_t partitions,
                          bool stamped) {
  if (!source.create || kafka::is_pattern(name)) return {};
  TM_ASSIGN(auto admin, kafka::Admin::open(source.connection));
  TM_ASSIGN(int32_t there, admin->partition_count(name));
  if (there > 0) return {};
  kafka::NewTopic topic;
  topic.name = name;
  topic.partitions = partitions;
  topic.replication = source.replication > 0 ? source.replication : -1;
  if (stamped) topic.configs = {{"message.timestamp.type", "LogAppendTime"}};
  return admin->create_topic(topic);
}

}  // namespace tidemill::solution
