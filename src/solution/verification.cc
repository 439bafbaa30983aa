#include "solution/verification.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/steps.h"
#include "kafka/abilities.h"
#include "kafka/topic_pattern.h"
#include "observe/report.h"
#include "process/enrich.h"
#include "process/filter.h"
#include "simulate/manifest.h"
#include "solution/between.h"
#include "solution/derive.h"
#include "solution/host.h"
#include "solution/sinks.h"
#include "verify/kafka_copy.h"

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

Result<verify::TopicFiles> topic_files(const log::Log& log, const std::string& directory,
                                       const std::string& name) {
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

// What the pipeline that reads the topic committed.
Status add_committed(Host& host, const Solution& solution, verify::TopicFiles* topic) {
  std::vector<TopicPartition> sources;
  for (const verify::PartitionSpan& span : topic->partitions) {
    sources.push_back({topic->topic, Partition(span.partition)});
  }
  TM_ASSIGN(std::vector<pipeline::Committed> committed, host.committed(solution, sources));
  for (size_t i = 0; i < sources.size(); ++i) {
    verify::PartitionSpan& span = topic->partitions[i];
    span.committed = committed[i].position ? committed[i].position->offset.value() : span.start;
    const pipeline::Counters& c = committed[i].counters;
    span.counters = verify::PartitionCounters{static_cast<int64_t>(c.read), static_cast<int64_t>(c.stored),
                                              static_cast<int64_t>(c.dead), static_cast<int64_t>(c.dropped)};
  }
  return {};
}

// Whether the list names the field, or an object around it.
bool names(const std::vector<std::string>& list, const std::string& field) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& name) {
    return field == name || (field.starts_with(name) && field[name.size()] == '.');
  });
}

bool ends_in_sql(const Solution& solution) {
  return !solution.process.empty() && solution.process.back().kind == OperatorKind::kSql;
}

// Whether of rows with one key not all are kept.
bool replaces(const ServeConfig& serve) {
  if (serve.kind == SinkKind::kPostgres) return serve.postgres.mode != PostgresMode::kAppend;
  return serve.kind == SinkKind::kDuckDb && !serve.duckdb.key.empty();
}

void add_topology(const Solution& solution, verify::VerifyRequest* request) {
  size_t ways = 0;
  bool drops = false;  // since the last topic
  for (const OperatorConfig& op : solution.process) {
    switch (op.kind) {
      case OperatorKind::kDedup: {
        drops = true;
        verify::Dedup& dedup = request->topology.dedup;
        dedup.kind = op.dedup.horizon_us > 0 ? verify::DedupKind::kHorizon : verify::DedupKind::kLastN;
        dedup.ways = ways;
        dedup.last_n = static_cast<size_t>(op.dedup.last);
        dedup.horizon_us = op.dedup.horizon_us;
        const std::string& id = op.dedup.id.empty() ? solution.event.schema.id_field : op.dedup.id;
        const std::string& key = op.dedup.key.empty() ? solution.event.schema.key_field : op.dedup.key;
        int id_index = solution.event.schema.find(id), key_index = solution.event.schema.find(key);
        if (id_index >= 0) dedup.id_path = solution.event.schema.fields[static_cast<size_t>(id_index)].path;
        if (key_index >= 0) {
          const Field& field = solution.event.schema.fields[static_cast<size_t>(key_index)];
          dedup.key_path = field.path;
          dedup.key_type = field_type(field.type);
        }
        break;
      }
      case OperatorKind::kFilter:
        drops = true;
        request->topology.filter = true;
        break;
      case OperatorKind::kRekey:
        ++ways;
        drops = false;
        // They are positions in another topic than the input; as members of JSON they are none of the
        // event's.
        for (std::string* name : {&request->store.columns.partition, &request->store.columns.offset}) {
          if (!name->empty()) request->store.added_members.push_back(std::move(*name));
          name->clear();
        }
        break;
      case OperatorKind::kProject:
        for (const auto& [name, expression] : op.project.add) request->store.added_members.push_back(name);
        if (request->projected.empty()) {
          for (const Field& field : solution.event.schema.fields) request->projected.push_back(field.name);
        }
        std::erase_if(request->projected, [&](const std::string& name) {
          return (!op.project.keep.empty() && !names(op.project.keep, name)) || names(op.project.drop, name);
        });
        break;
      case OperatorKind::kSql:
        request->projected.clear();
        request->topology.counts = verify::Counts{op.sql.count, op.sql.scope == SqlScope::kInterval || !drops,
                                                  replaces(solution.serve)};
        break;
      case OperatorKind::kEnrich:
        break;
    }
  }
  if (solution.from.empty()) return;
  // What a branch reads from another one's topic may bear that one's positions and times, which say nothing
  // of this topic; unless it sets them anew.
  verify::StoreColumns& columns = request->store.columns;
  for (std::string* name :
       {&columns.partition, &columns.offset, &columns.enqueued_at, &columns.processed_at}) {
    const bool added =
        std::any_of(solution.process.begin(), solution.process.end(), [&](const OperatorConfig& op) {
          const auto& fields = op.enrich.fields;
          return op.kind == OperatorKind::kEnrich && std::count(fields.begin(), fields.end(), *name) > 0;
        });
    if (added || name->empty()) continue;
    request->store.added_members.push_back(std::move(*name));
    name->clear();
  }
}

// Of the event's fields those that the pipelines read where the event's own JSON is stored: what stands in
// another one they keep as it is. nullopt: all of them.
Result<std::optional<std::vector<std::string>>> read_fields(const Solution& solution) {
  std::vector<std::string> names;
  Schema schema = solution.event.schema;
  if (solution.pipeline.validate) names.push_back(schema.id_field);
  names.push_back(schema.time_field);
  for (const OperatorConfig& op : solution.process) {
    std::unique_ptr<pipeline::Operator> made;
    switch (op.kind) {
      case OperatorKind::kDedup:
        names.push_back(op.dedup.id.empty() ? schema.id_field : op.dedup.id);
        names.push_back(op.dedup.key.empty() ? schema.key_field : op.dedup.key);
        break;
      case OperatorKind::kFilter: {
        TM_ASSIGN(made, process::make_filter(op.filter.where));
        break;
      }
      case OperatorKind::kEnrich: {
        std::vector<process::EnrichField> fields;
        for (const std::string& name : op.enrich.fields) {
          TM_ASSIGN(process::EnrichKind kind, process::parse_enrich_kind(name));
          fields.push_back({kind, name});
        }
        TM_ASSIGN(made, process::make_enrich(std::move(fields)));
        break;
      }
      case OperatorKind::kRekey:
        break;
      case OperatorKind::kProject:
      case OperatorKind::kSql:
        return std::optional<std::vector<std::string>>();
    }
    if (!made) continue;
    TM_TRY(made->bind(&schema));
    for (std::string& name : made->needs()) names.push_back(std::move(name));
  }
  for (const BetweenTopic& topic : between_topics(solution)) names.push_back(topic.rekey);
  return std::optional(std::move(names));
}

// What no step adds to the JSON of the store is the event's own where it bears that name.
void clear_unadded(const Solution& solution, verify::StoreColumns* columns) {
  for (std::string* name :
       {&columns->partition, &columns->offset, &columns->enqueued_at, &columns->processed_at}) {
    const bool added =
        std::any_of(solution.process.begin(), solution.process.end(), [&](const OperatorConfig& op) {
          const auto& fields = op.enrich.fields;
          return op.kind == OperatorKind::kEnrich && std::count(fields.begin(), fields.end(), *name) > 0;
        });
    if (!added) name->clear();
  }
}

// Nothing that was simulated is yet to be sent.
bool sent_everything(const std::vector<std::string>& manifests) {
  return std::all_of(manifests.begin(), manifests.end(), [](const std::string& path) {
    auto manifest = simulate::read_manifest(FileSystem::posix(), path);
    return manifest.ok() && manifest->finished;
  });
}

// Empty at its beginning, gone at its end.
class ScratchFolder {
 public:
  explicit ScratchFolder(std::string path) : path_(std::move(path)) { clear(); }
  ~ScratchFolder() { clear(); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  void clear() {
    FileSystem& files = FileSystem::posix();
    if (files.exists(path_)) (void)files.remove_tree(path_).ok();
  }
  std::string path_;
};

// For folders of the partitions of what the last pipeline reads, as far as it does not depend on the store.
Result<verify::FilesFolder> input_folders(const Solution& solution, log::Log* log, int32_t partitions) {
  verify::FilesFolder folder;
  folder.topic = last_input(solution);
  if (!reads_kafka(solution) || folder.topic != input_topic(solution)) {
    TM_ASSIGN(log::TopicInfo topic, log->topic(folder.topic));
    partitions = topic.config.partitions;
  }
  for (int32_t p = 0; p < partitions; ++p) folder.partitions.push_back(p);
  return folder;
}

std::string in_run(const Host& host, const std::string& path) {
  return path.starts_with("/") ? path : join_path(host.directory(), path);
}

}  // namespace

std::optional<std::string> why_unverified(const Solution& solution) {
  if (solution.serve.kind == SinkKind::kNull)
    return "a null sink keeps nothing to verify; serve with duckdb, log or files";
  if (reads_kafka(solution) && kafka::is_pattern(solution.ingest.kafka.topic)) {
    return solution.ingest.kafka.topic +
           " stands for several topics, into which nothing is simulated; name one in ingest.kafka.topic to "
           "verify what becomes of it";
  }
  if (ends_in_sql(solution) && solution.process.back().sql.count.empty()) {
    return "the rows of process.sql are no events; name the column of its result that counts the events of a "
           "row (process.sql.count), so that its sum can be compared with them";
  }
  return std::nullopt;
}

Result<verify::VerifyRequest> describe_run(Host& host, const Solution& solution, const std::string& scratch,
                                           const std::function<bool()>& stop) {
  FileSystem& files = FileSystem::posix();
  verify::VerifyRequest request;
  std::string log_directory = join_path(host.directory(), "log");
  TM_ASSIGN(log::Log * log, host.log());
  if (auto why = why_unverified(solution)) return user_error("verify: " + *why);

  auto listed = files.list(join_path(host.directory(), "simulate"));
  // What was simulated went into the input.
  const bool of_input = solution.from.empty();
  for (const std::string& name : listed.ok() && of_input ? *listed : std::vector<std::string>{}) {
    if (name.starts_with("manifest-") && name.ends_with(".json")) {
      request.manifests.push_back(join_path(join_path(host.directory(), "simulate"), name));
    }
  }
  auto from_kafka = [&](const kafka::Connection& connection, const std::string& topic) {
    return verify::copy_topic(connection, topic, files, scratch, stop);
  };
  if (reads_kafka(solution)) {
    TM_ASSIGN(request.input, from_kafka(solution.ingest.kafka.connection, solution.ingest.kafka.topic));
    TM_ASSIGN(kafka::Abilities abilities, kafka::ask_abilities(solution.ingest.kafka.connection, {}));
    request.topology.input_repeats = !abilities.idempotence;
  } else {
    TM_ASSIGN(request.input, topic_files(*log, log_directory, solution.ingest.log.topic));
  }
  switch (solution.serve.kind) {
    case SinkKind::kDuckDb: {
      verify::DuckTable table;
      TM_ASSIGN(table.database, host.database(solution.serve.duckdb));
      table.table = solution.serve.duckdb.table;
      request.store.duck = std::move(table);
      request.store.columns.stored_at = solution.serve.duckdb.stored_at;
      request.dead_letters.duck_table = solution.dead_letters.name;
      if (const auto& key = solution.serve.duckdb.key; !key.empty() && !ends_in_sql(solution)) {
        // Rows that are replaced by another key are gone for a reason that only the pipeline knows.
        if (key != std::vector{solution.event.schema.id_field})
          return user_error("verify: rows of the same " + key.front() +
                            " replace each other, so not every event is to be found; what is verified has no "
                            "serve.duckdb.key, or the event's id as its only one");
        request.topology.upsert = true;
      }
      break;
    }
    case SinkKind::kPostgres: {
      const PostgresSink& sink = solution.serve.postgres;
      request.store.postgres =
          verify::PostgresTable{postgres_connection(sink), sink.table, solution.dead_letters.name};
      request.store.columns.stored_at = sink.stored_at;
      if (sink.mode == PostgresMode::kAppend || ends_in_sql(solution)) break;
      const std::string& id = solution.event.schema.id_field;
      if (std::find(sink.key.begin(), sink.key.end(), id) == sink.key.end()) {
        return user_error("verify: of rows with the same " + sink.key.front() +
                          " one is kept, so not every event is to be found; what is verified has the event's "
                          "id in serve.postgres.key, or mode: append");
      }
      request.topology.upsert = true;
      break;
    }
    case SinkKind::kDelta: {
      const DeltaFolders folders = delta_folders(solution, host.directory());
      request.store.delta = verify::DeltaTable{folders.table, folders.dead_letters, {}};
      if (is_in_azure(solution.serve.delta)) {
        verify::DeltaTable& table = *request.store.delta;
        TM_ASSIGN(azure::Access rows, azure_access(solution.serve.delta, folders.table));
        TM_ASSIGN(azure::Access letters, azure_access(solution.serve.delta, folders.dead_letters));
        table.remote = verify::DeltaTable::Remote{std::move(rows), std::move(letters)};
        table.folder = join_path(scratch, "table");
        table.dead_letters = join_path(scratch, "dead-letters");
        TM_TRY(FileSystem::posix().create_directories(scratch));
      }
      request.store.columns.stored_at = solution.serve.delta.stored_at;
      break;
    }
    case SinkKind::kParquet: {
      const DeltaFolders folders = parquet_folders(solution, host.directory());
      request.store.parquet = verify::ParquetFolder{folders.table};
      request.store.columns.stored_at = solution.serve.parquet.stored_at;
      TM_ASSIGN(verify::FilesFolder dead,
                input_folders(solution, log, static_cast<int32_t>(request.input.partitions.size())));
      dead.directory = parent_path(folders.dead_letters);
      dead.dead_folder = solution.dead_letters.name;
      dead.journal = join_path(folders.table, ".tidemill/journal");
      request.dead_letters.files = std::move(dead);
      break;
    }
    case SinkKind::kLog: {
      auto stored = topic_files(*log, log_directory, solution.serve.log.topic);
      if (!stored.ok() && stored.error().code != Code::kNotFound) return stored.error();
      // Before the pipeline first started there is no topic, and nothing in it.
      request.store.topic =
          stored.ok() ? std::move(*stored) : verify::TopicFiles{log_directory, solution.serve.log.topic, {}};
      auto dead = topic_files(*log, log_directory, solution.dead_letters.name);
      if (dead.ok()) request.dead_letters.topic = std::move(*dead);
      break;
    }
    case SinkKind::kFiles: {
      TM_ASSIGN(verify::FilesFolder folder,
                input_folders(solution, log, static_cast<int32_t>(request.input.partitions.size())));
      folder.directory = in_run(host, solution.serve.files.directory);
      folder.dead_folder = solution.dead_letters.name;
      request.store.files = folder;
      request.dead_letters.files = std::move(folder);
      break;
    }
    case SinkKind::kKafka: {
      const kafka::Connection& connection = solution.serve.kafka.connection;
      TM_ASSIGN(request.store.topic, from_kafka(connection, solution.serve.kafka.topic));
      TM_ASSIGN(request.topology.repeats, host.repeats(solution));
      auto dead = from_kafka(connection, solution.dead_letters.name);
      if (dead.ok()) request.dead_letters.topic = std::move(*dead);
      if (!dead.ok() && dead.error().code != Code::kNotFound) return std::move(dead).error();
      break;
    }
    case SinkKind::kNull:
      break;
  }
  if (request.store.topic || request.store.files) {
    clear_unadded(solution, &request.store.columns);
    TM_ASSIGN(request.decoded, read_fields(solution));
  }
  add_topology(solution, &request);
  const std::vector<BetweenTopic> between = between_topics(solution);
  if (std::any_of(between.begin(), between.end(), [](const BetweenTopic& topic) { return topic.in_kafka; })) {
    TM_ASSIGN(request.topology.repeats, host.repeats(solution));
  }
  for (const BetweenTopic& topic : between) {
    verify::Way way;
    way.by = topic.rekey;
    const kafka::Connection& cluster = solution.ingest.kafka.connection;
    TM_ASSIGN(way.topic, topic.in_kafka ? from_kafka(cluster, topic.name)
                                        : topic_files(*log, log_directory, topic.name));
    auto dead = topic.in_kafka ? from_kafka(cluster, topic.dead_letters)
                               : topic_files(*log, log_directory, topic.dead_letters);
    if (dead.ok()) way.dead_letters = std::move(*dead);
    if (!dead.ok() && dead.error().code != Code::kNotFound) return std::move(dead).error();
    request.ways.push_back(std::move(way));
  }
  TM_TRY(add_committed(host, solution, &request.input));
  for (verify::Way& way : request.ways) TM_TRY(add_committed(host, solution, &way.topic));
  for (const Field& field : solution.event.schema.fields) {
    request.fields.push_back({field.name, field.path, field_type(field.type), field.nullable});
  }
  request.time_field = solution.event.schema.time_field;
  request.event_limit_bytes = static_cast<uint64_t>(solution.event.max_bytes);
  request.memory_bytes = static_cast<uint64_t>(solution.verify.memory_bytes);

  const VerifyConfig& verify = solution.verify;
  request.rules = verify.rules == Rules::kReference ? verify::Rules::kReference : verify::Rules::kStrict;
  if (verify.min_rate > 0) request.limits.events_per_second = verify.min_rate;
  if (verify.max_latency_us >= 0)
    request.limits.latency_p99_ms = static_cast<double>(verify.max_latency_us) / 1e3;
  const ReferenceLimits limits = reference_limits(solution);
  request.reference.events_per_second = limits.min_rate;
  request.reference.latency_ms.reset();
  if (limits.max_latency_us) request.reference.latency_ms = static_cast<double>(*limits.max_latency_us) / 1e3;
  request.reference.duplicates = limits.max_duplicates;
  request.reference.out_of_sequence = limits.max_out_of_sequence;
  return request;
}

Status answer_verify(Host& host, const Request& request, const Reply& reply,
                     const std::function<bool()>& stop) {
  const std::string rules = request.get("rules");
  if (!rules.empty() && rules != "strict" && rules != "reference")
    return user_error("--rules: '" + rules + "'; it is strict or reference");
  const bool json = request.get("format") == "json";
  bool pass = true, sent = true;
  const std::vector<const Solution*> all = with_branches(host.solution());
  const bool any =
      std::any_of(all.begin(), all.end(), [](const Solution* one) { return !why_unverified(*one); });
  for (const Solution* solution : all) {
    if (auto why = why_unverified(*solution); why && (any || request.get("spare") == "1")) {
      const std::string what = solution->branch.empty() ? solution->name : "branch " + solution->branch;
      if (!json) reply(what + " is not verified: " + *why + "\n");
      continue;
    }
    ScratchFolder scratch(join_path(host.directory(), "verify-copy"));
    TM_ASSIGN(verify::VerifyRequest described, describe_run(host, *solution, scratch.path(), stop));
    described.stop = stop;
    sent = sent && sent_everything(described.manifests);
    // What the reference's rules ask for is asked of what the solution itself serves.
    if (!rules.empty() && solution->branch.empty())
      described.rules = rules == "reference" ? verify::Rules::kReference : verify::Rules::kStrict;
    verify::Verdict verdict = verify::verify(described);
    if (verdict.stopped) return Error{Domain::kUser, Code::kStopped, false, "stopped before the verdict"};
    if (!json && !solution->branch.empty()) reply("\nbranch " + solution->branch + "\n");
    std::string text = json ? verify::to_json(verdict) : verify::to_table(verdict);
    if (json && !solution->branch.empty())
      text.insert(text.size() - 1, ",\"branch\":\"" + solution->branch + '"');
    reply(json ? text + "\n" : text);
    pass = pass && verdict.pass;
  }
  commit_step("run.verified");
  // Whoever looks at a run that goes on, or was stopped in the middle, does not end it.
  const bool finishes = request.get("finish") == "1" || (sent && !host.processing());
  TM_TRY(host.save_record([&](RunRecord& record) {
    if (any) record.verdict = pass ? "PASS" : "FAIL";
    if (finishes) record.state = "finished";
  }));
  commit_step("run.finished");
  reply(std::string("\x01") + (any ? (pass ? "PASS" : "FAIL") : "NONE"));
  return {};
}

}  // namespace tidemill::solution
