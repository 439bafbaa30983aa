#include "solution/verification.h"

#include <fmt/format.h>

#include "base/steps.h"
#include "observe/report.h"
#include "simulate/manifest.h"
#include "solution/host.h"

namespace tidemill::solution {
namespace {

verify::FieldType field_type(Type type) {
  switch (type) {
    case Type::kBoolean:
      return verify::FieldType::kBoolean;
    case Type::kInteger:
      return verify::FieldType::kInteger;
    case Type::kBigint:
      return verify::FieldType::kBigint;
    case Type::kDouble:
      return verify::FieldType::kDouble;
    case Type::kTimestamp:
      return verify::FieldType::kTimestamp;
    case Type::kVarchar:
      return verify::FieldType::kText;
    case Type::kJson:
      return verify::FieldType::kJson;
  }
  return verify::FieldType::kText;
}

Result<verify::TopicFiles> topic_files(log::Log& log, const std::string& directory, const std::string& name) {
  verify::TopicFiles files;
  files.directory = directory;
  files.topic = name;
  TM_ASSIGN(log::TopicInfo topic, log.topic(name));
  for (int32_t p = 0; p < topic.config.partitions; ++p) {
    TM_ASSIGN(log::PartitionInfo info, log.partition({name, Partition(p)}));
    verify::PartitionSpan span;
    span.partition = p;
    span.start = info.log_start.value();
    span.visible_end = info.last_stable.value();
    files.partitions.push_back(span);
  }
  return files;
}

Status add_committed(const Solution& solution, const Ground& ground, verify::VerifyRequest* request) {
  TM_ASSIGN(std::vector<Stage> stages, wire(solution, ground));
  Stage& first = stages.front();
  if (stages.size() > 1) return {};  // counters of the last stage count another topic's records
  TM_TRY(first.sink->prepare(first.plan.sink_schema));
  TM_ASSIGN(auto writer, first.sink->open_writer(0));
  std::vector<TopicPartition> sources;
  for (const verify::PartitionSpan& span : request->input.partitions) {
    sources.push_back({request->input.topic, Partition(span.partition)});
  }
  TM_ASSIGN(std::vector<pipeline::Committed> committed, writer->committed(sources));
  for (size_t i = 0; i < sources.size(); ++i) {
    if (!committed[i].position) continue;
    verify::PartitionSpan& span = request->input.partitions[i];
    span.committed = committed[i].position->offset.value();
    const pipeline::Counters& c = committed[i].counters;
    span.counters = verify::PartitionCounters{static_cast<int64_t>(c.read), static_cast<int64_t>(c.stored),
                                              static_cast<int64_t>(c.dead), static_cast<int64_t>(c.dropped)};
  }
  return {};
}

void add_topology(const Solution& solution, verify::VerifyRequest* request) {
  for (const OperatorConfig& op : solution.process) {
    switch (op.kind) {
      case OperatorKind::kDedup: {
        verify::Dedup& dedup = request->topology.dedup;
        dedup.kind = op.dedup.horizon_us > 0 ? verify::DedupKind::kHorizon : verify::DedupKind::kLastN;
        dedup.last_n = static_cast<size_t>(op.dedup.last);
        dedup.horizon_us = op.dedup.horizon_us;
        const std::string& id = op.dedup.id.empty() ? solution.event.schema.id_field : op.dedup.id;
        const std::string& key = op.dedup.key.empty() ? solution.event.schema.key_field : op.dedup.key;
        int id_index = solution.event.schema.find(id), key_index = solution.event.schema.find(key);
        if (id_index >= 0) dedup.id_path = solution.event.schema.fields[static_cast<size_t>(id_index)].path;
        if (key_index >= 0)
          dedup.key_path = solution.event.schema.fields[static_cast<size_t>(key_index)].path;
        break;
      }
      case OperatorKind::kFilter:
        request->topology.filter = true;
        break;
      case OperatorKind::kRekey:
        request->topology.rekeyed = true;
        request->store.columns.partition.clear();
        request->store.columns.offset.clear();
        break;
      case OperatorKind::kProject:
        for (const auto& [name, expression] : op.project.add) request->store.added_members.push_back(name);
        request->projected = op.project.keep;
        if (op.project.keep.empty()) {
          for (const Field& field : solution.event.schema.fields) {
            bool dropped = std::find(op.project.drop.begin(), op.project.drop.end(), field.name) !=
                           op.project.drop.end();
            if (!dropped) request->projected.push_back(field.name);
          }
        }
        break;
      case OperatorKind::kEnrich:
        break;
    }
  }
}

}  // namespace

Result<verify::VerifyRequest> describe_run(Host& host) {
  const Solution& solution = host.solution();
  FileSystem& files = FileSystem::posix();
  verify::VerifyRequest request;
  std::string log_directory = join_path(host.directory(), "log");

  auto listed = files.list(join_path(host.directory(), "simulate"));
  for (const std::string& name : listed.ok() ? *listed : std::vector<std::string>{}) {
    if (name.starts_with("manifest-") && name.ends_with(".json")) {
      request.manifests.push_back(join_path(join_path(host.directory(), "simulate"), name));
    }
  }
  TM_ASSIGN(request.input, topic_files(host.log(), log_directory, solution.ingest.log.topic));
  switch (solution.serve.kind) {
    case SinkKind::kDuckDb: {
      verify::DuckTable table;
      TM_ASSIGN(table.database, host.database());
      table.table = solution.serve.duckdb.table;
      request.store.duck = std::move(table);
      request.store.columns.stored_at = solution.serve.duckdb.stored_at;
      request.dead_letters.duck_table = solution.dead_letters.name;
      break;
    }
    case SinkKind::kLog: {
      TM_ASSIGN(request.store.topic, topic_files(host.log(), log_directory, solution.serve.log.topic));
      auto dead = topic_files(host.log(), log_directory, solution.dead_letters.name);
      if (dead.ok()) request.dead_letters.topic = std::move(*dead);
      break;
    }
    case SinkKind::kFiles:
    case SinkKind::kNull:
      return user_error("verify: a " +
                        std::string(solution.serve.kind == SinkKind::kNull ? "null" : "files") +
                        " sink cannot be verified; serve with duckdb or log");
  }
  add_topology(solution, &request);
  Ground ground = host.ground();
  TM_TRY(add_committed(solution, ground, &request));
  for (const Field& field : solution.event.schema.fields) {
    request.fields.push_back({field.name, field.path, field_type(field.type), field.nullable});
  }
  request.time_field = solution.event.schema.time_field;
  request.memory_bytes = static_cast<uint64_t>(solution.verify.memory_bytes);

  const VerifyConfig& verify = solution.verify;
  request.rules = verify.rules == Rules::kReference ? verify::Rules::kReference : verify::Rules::kStrict;
  if (verify.min_rate > 0) {
    request.limits.events_per_second = verify.min_rate;
    request.reference.events_per_second = verify.min_rate;
  }
  if (verify.max_latency_us >= 0) {
    request.limits.latency_p99_ms = static_cast<double>(verify.max_latency_us) / 1e3;
    request.reference.latency_ms = static_cast<double>(verify.max_latency_us) / 1e3;
  }
  if (verify.max_duplicates >= 0) request.reference.duplicates = verify.max_duplicates;
  if (verify.max_out_of_sequence >= 0) request.reference.out_of_sequence = verify.max_out_of_sequence;
  return request;
}

Status answer_verify(Host& host, const Request& request, const Reply& reply, const std::atomic<bool>&) {
  TM_ASSIGN(verify::VerifyRequest described, describe_run(host));
  std::string rules = request.get("rules");
  if (!rules.empty()) {
    if (rules != "strict" && rules != "reference")
      return user_error("--rules: '" + rules + "'; it is strict or reference");
    described.rules = rules == "reference" ? verify::Rules::kReference : verify::Rules::kStrict;
  }
  verify::Verdict verdict = verify::verify(described);
  reply(request.get("format") == "json" ? verify::to_json(verdict) + "\n" : verify::to_table(verdict));
  commit_step("run.verified");
  TM_TRY(host.save_record([&](RunRecord& record) {
    record.verdict = verdict.pass ? "PASS" : "FAIL";
    record.state = "finished";
  }));
  commit_step("run.finished");
  reply(verdict.pass ? "\x01PASS"
                     : "\x01"
                       "FAIL");
  return {};
}

}  // namespace tidemill::solution
