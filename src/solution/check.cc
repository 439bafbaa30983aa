#include <algorithm>
#include <optional>

#include "base/file_system.h"
#include "base/text.h"
#include "kafka/topic_pattern.h"
#include "pipeline/kafka_changelog.h"
#include "process/expression.h"
#include "serve/parquet_table.h"
#include "solution/between.h"
#include "solution/delta_store.h"
#include "solution/derive.h"
#include "solution/names.h"

namespace tidemill::solution {
namespace {

class Checker {
 public:
  Checker(const Draft& draft, Problems& problems)
      : draft_(draft), solution_(draft.solution), problems_(problems) {
    schema_ = solution_.event.schema;
  }

  void check() {
    check_event();
    check_simulation();
    for (size_t i = 0; i < solution_.process.size(); ++i)
      check_step(solution_.process[i], step_path(draft_, i));
    check_kafka_source();
    check_sink();
    check_names();
    check_limits();
  }

 private:
  void report(const std::string& path, std::string message) {
    draft_.report(problems_, path, std::move(message));
  }

  // The field, or one around others (complexData).
  bool knows(const std::string& name) const {
    return std::any_of(schema_.fields.begin(), schema_.fields.end(),
                       [&](const Field& field) { return within(field.name, name); });
  }
  static bool within(const std::string& field, const std::string& name) {
    return field == name ||
           (field.size() > name.size() && field[name.size()] == '.' && field.starts_with(name));
  }
  std::string no_field(const std::string& name) const {
    constexpr size_t kListed = 8;
    std::vector<std::string> names;
    std::vector<std::string> first;  // of members of one object only the object
    for (const Field& field : schema_.fields) {
      names.push_back(field.name);
      std::string top = field.name.substr(0, field.name.find('.'));
      if (!std::count(first.begin(), first.end(), top)) first.push_back(std::move(top));
    }
    std::string hint = did_you_mean(name, names);
    if (hint.empty()) {
      bool more = first.size() > kListed;
      first.resize(std::min(kListed, first.size()));
      hint = "; there are " + join(first, ", ") + (more ? ", …" : "");
    }
    return "the event has no field " + name.substr(0, kMaxCited) + " here" + hint;
  }
  void need_field(const std::string& path, const std::string& name) {
    if (has_schema() && schema_.find(name) < 0) report(path, no_field(name));
  }
  // Without one, its absence is the only problem worth saying.
  bool has_schema() const { return !schema_.fields.empty(); }

  void check_event() {
    const EventConfig& event = solution_.event;
    bool asked = draft_.has_section("event");
    if (!event.builtin.empty() && draft_.given("event.fields")) {
      report("event.fields", "a built-in event has its own fields; remove event.schema or event.fields");
    } else if (!asked) {
      report(
          "event",
          "is missing; give event: telemetry, event: sensor, or the fields: event: {fields: {temp: double}}");
    } else if (event.builtin.empty() && !has_schema() && problems_.empty()) {
      report("event",
             "names no fields; give event: telemetry, event: sensor, or event: {fields: {temp: double}}");
    }
    for (const auto& [path, name] : {std::pair<const char*, const std::string&>{"event.id", event.id},
                                     {"event.key", event.key},
                                     {"event.sequence", event.sequence},
                                     {"event.time", event.time}}) {
      if (!name.empty()) need_field(path, name);
    }
    int time = event.schema.find(event.time);
    if (!event.time.empty() && time >= 0 &&
        event.schema.fields[static_cast<size_t>(time)].type != Type::kTimestamp) {
      report("event.time", event.time + " is not a timestamp; give a field of that type");
    }
  }

  void check_simulation() {
    if (!solution_.simulate.enabled) return;
    const simulate::SimulateOptions& options = solution_.simulate.options;
    for (const simulate::OptionProblem& problem : options.problems()) {
      std::string path =
          problem.option == "duration" || problem.option == "topic" ? "" : "simulate." + problem.option;
      if (!path.empty()) report(path, problem.message);
    }
    std::string profile(simulate::profile_name(options.profile));
    bool own = options.profile == simulate::Profile::kTemplate;
    if (!own && !solution_.event.builtin.empty() && solution_.event.builtin != profile) {
      report("simulate.profile", "simulates the " + profile + " event, but event is " +
                                     solution_.event.builtin + "; give both the same");
    }
    if (options.rate == 0 && options.count < 0 && solution_.duration_us < 0) {
      report("simulate.rate", "max without an end fills the disk; give a duration or simulate.count");
    }
  }

  void check_step(const OperatorConfig& step, const std::string& path) {
    switch (step.kind) {
      case OperatorKind::kEnrich:
        if (step.enrich.fields.empty())
          report(path + ".fields", "is empty; give some of enqueuedAt, processedAt, partition, offset");
        for (const std::string& name : step.enrich.fields) add_field(name, enriched_type(name));
        break;
      case OperatorKind::kDedup:
        check_dedup(step.dedup, path);
        break;
      case OperatorKind::kFilter:
        check_filter(step.filter, path);
        break;
      case OperatorKind::kProject:
        check_project(step.project, path);
        break;
      case OperatorKind::kRekey:
        if (step.rekey.by.empty()) {
          report(path + ".by", "is missing; give the field to partition by, as - rekey: deviceId");
        } else {
          need_field(path + ".by", step.rekey.by);
        }
        break;
      case OperatorKind::kSql:
        check_sql(step, path);
        break;
    }
  }

  void check_dedup(const DedupConfig& dedup, const std::string& path) {
    if (solution_.event.schema.fields.empty()) return;  // which is reported
    for (const auto& [name, field] :
         {std::pair<std::string, const std::string&>{"id", dedup.id}, {"key", dedup.key}}) {
      if (!field.empty()) {
        need_field(path + "." + name, field);
      } else {
        report(path + "." + name, "is missing, and the event has no " + name +
                                      " of its own; give a field, as - dedup: {id: orderId, key: customer}");
      }
    }
    if (dedup.last > 0 && dedup.horizon_us > 0) {
      report(path + ".horizon", "stands beside last; give one of them: a number of ids, or a time");
    } else if (dedup.last == 0 && dedup.horizon_us == 0) {
      report(path + ".last", "off without a horizon would remember nothing; give last: 100 or horizon: 10m");
    }
  }

  // The type of the expression, if it holds; reported else.
  std::optional<Type> check_expression(const std::string& path, const std::string& expression) {
    if (!has_schema()) return std::nullopt;
    Result<process::Expression> bound = process::Expression::bind(expression, schema_);
    if (bound.ok()) return bound->type();
    report(path, '"' + expression.substr(0, kMaxCited) + "\": " + bound.error().message);
    return std::nullopt;
  }

  void check_filter(const FilterConfig& filter, const std::string& path) {
    if (trim(filter.where).empty()) {
      report(path + ".where", "is missing; give an expression, as - filter: value > 50");
      return;
    }
    std::optional<Type> type = check_expression(path + ".where", filter.where);
    if (type && *type != Type::kBoolean) {
      report(path + ".where", "is neither true nor false but a " + to_lower(type_name(*type)) +
                                  "; give a comparison, as value > 50");
    }
  }

  void check_project(const ProjectConfig& project, const std::string& path) {
    if (project.keep.empty() && project.drop.empty() && project.add.empty()) {
      report(path, "does nothing; give keep, drop or add");
    }
    for (const std::string& name : project.keep) {
      if (has_schema() && !knows(name)) report(path + ".keep", no_field(name));
    }
    for (const std::string& name : project.drop) {
      if (has_schema() && !knows(name)) report(path + ".drop", no_field(name));
    }
    std::vector<std::pair<std::string, Type>> added;  // computed from the event as it comes in
    for (const auto& [name, expression] : project.add) {
      added.emplace_back(name, check_expression(path + ".add." + name, expression).value_or(Type::kJson));
    }
    auto covered = [](const std::vector<std::string>& names, const std::string& field) {
      return std::any_of(names.begin(), names.end(),
                         [&](const std::string& name) { return within(field, name); });
    };
    std::erase_if(schema_.fields, [&](const Field& field) {
      return (!project.keep.empty() && !covered(project.keep, field.name)) ||
             covered(project.drop, field.name);
    });
    for (const auto& [name, type] : added) add_field(name, type);
    if (!has_schema() && !solution_.event.schema.fields.empty())
      report(path, "leaves no field; keep or add one");
  }

  // What its result is, and whether the query holds, DuckDB says when the pipeline is planned.
  void check_sql(const OperatorConfig& step, const std::string& path) {
    if (trim(step.sql.query).empty())
      report(path + ".query", "is missing; give one, as - sql: SELECT count(*) AS events FROM input");
    if (&step != &solution_.process.back()) {
      report(path,
             "is not the last step; what it makes goes to the sink as it is. Filter and project before it, "
             "or in the query");
    }
    schema_.fields.clear();
  }

  static Type enriched_type(const std::string& name) {
    return name == "partition" ? Type::kInteger : name == "offset" ? Type::kBigint : Type::kTimestamp;
  }
  void add_field(const std::string& name, Type type) {
    std::erase_if(schema_.fields, [&](const Field& field) { return field.name == name; });
    schema_.fields.push_back({name, split_path(name), type, true});
  }

  void check_sink() {
    if (!draft_.has_section("serve") && !draft_.given("serve")) {
      report(
          "serve",
          "is missing; give exactly one of log, duckdb, files, null, kafka, postgres, delta or parquet, as "
          "serve: duckdb");
      return;
    }
    const std::string& letters = solution_.dead_letters.name;
    if (solution_.serve.kind == SinkKind::kKafka) check_kafka_sink();
    if (solution_.serve.kind == SinkKind::kPostgres) check_postgres(solution_.serve.postgres);
    if (solution_.serve.kind == SinkKind::kDelta) check_delta(solution_.serve.delta);
    if (solution_.serve.kind == SinkKind::kParquet) check_parquet(solution_.serve.parquet);
    if (solution_.serve.kind == SinkKind::kDuckDb) {
      check_duckdb(solution_.serve.duckdb);
      check_fault("dead_letters.name", identifier_fault(letters, "table"));
      if (to_lower(letters) == to_lower(solution_.serve.duckdb.table)) {
        report("dead_letters.name", letters + " is the table of the events; give another");
      }
    } else if (solution_.serve.kind == SinkKind::kFiles) {
      check_fault("serve.files.directory", folder_fault(solution_.serve.files.directory));
      check_letters_folder(solution_.serve.files.directory, letters, "folder");
    }
  }

  // That of the dead letters, `letters`, is apart from that of the events: neither is in the other.
  void check_letters_folder(const std::string& events, const std::string& letters, const char* what) {
    const std::string& name = solution_.dead_letters.name;
    const std::string fault = folder_fault(name);
    check_fault("dead_letters.name", fault);
    const std::string one = normal_folder(events), other = normal_folder(letters);
    if (!fault.empty() || !folders_meet(one, other)) return;
    const char* is = one == other ? " is the " : other.starts_with(one) ? " is in the " : " has in it the ";
    report("dead_letters.name", name + is + what + " of the events; give another");
  }
  // Of dead letters that are beside a table.
  std::string beside(const std::string& table) const {
    return join_path(parent_path(normal_folder(table)), normal_folder(solution_.dead_letters.name));
  }

  void check_kafka_source() {
    if (!reads_kafka(solution_)) return;
    check_connection("ingest.kafka", solution_.ingest.kafka.connection);
    if (kafka::is_pattern(solution_.ingest.kafka.topic)) check_pattern();
    for (const auto& [partition, offset] : solution_.ingest.kafka.start_offsets) {
      if (!is_number(partition, 9) || !is_number(offset, 18)) {
        report("ingest.kafka.start_offsets",
               '"' + (partition + ": " + offset).substr(0, kMaxCited) +
                   "\" is not a partition with an offset; give numbers, as 3: 1200");
      }
    }
  }

  // Topics by pattern: what needs one topic, and what would read what it writes.
  void check_pattern() {
    const std::string& pattern = solution_.ingest.kafka.topic;
    const std::string one = pattern.substr(0, kMaxCited) + " stands for several topics; ";
    bool between = false;  // whatever follows reads one topic
    if (std::string fault = kafka::pattern_fault(pattern); !fault.empty()) {
      report("ingest.kafka.topic", '"' + pattern.substr(0, kMaxCited) + "\" is not a pattern: " + fault);
      return;
    }
    if (solution_.simulate.enabled)
      report("ingest.kafka.topic", one + "name the one into which events are simulated");
    if (solution_.ingest.kafka.protocol == kafka::Membership::Protocol::kConsumer) {
      report("ingest.kafka.protocol",
             one + "with consumer the brokers choose them, by another rule; leave it classic");
    }
    if (!solution_.ingest.kafka.start_offsets.empty())
      report("ingest.kafka.start_offsets", one + "give start instead");
    for (size_t i = 0; i < solution_.process.size(); ++i) {
      const OperatorConfig& step = solution_.process[i];
      const bool sql = step.kind == OperatorKind::kSql;
      // What has a topic of its own before it reads that one.
      between = between || topic_before(solution_, step);
      if ((!sql && step.kind != OperatorKind::kDedup) || between) continue;
      report(step_path(draft_, i),
             one +
                 "state is kept for one topic's partitions, and a new topic would move keys away from it. "
                 "Put a rekey before it, which writes them to one topic by key" +
                 (sql ? ", or give scope: interval" : ""));
    }
    const SinkKind kind = solution_.serve.kind;
    if (kind == SinkKind::kFiles || kind == SinkKind::kParquet)
      report("serve",
             one + "files are kept by the partitions of one; serve Kafka, PostgreSQL, DuckDB or Delta");
    // Positions of a stage that reads the pattern itself are kept beside what it writes.
    if (kind == SinkKind::kKafka && between_topics(solution_).empty() &&
        !kafka::same_cluster(solution_.serve.kafka.connection, solution_.ingest.kafka.connection)) {
      report("serve.kafka",
             one +
                 "positions of theirs are kept only in their own cluster; serve a topic there, by the same " +
                 "address");
    }
    for (const auto& [path, topic] : own_kafka_topics()) {
      if (kafka::matches_pattern(pattern, topic))
        report(path, topic + " matches " + pattern.substr(0, kMaxCited) +
                         ", so events would go in a circle; give another");
    }
  }

  // With the settings that name them.
  std::vector<std::pair<std::string, std::string>> own_kafka_topics() const {
    std::vector<std::pair<std::string, std::string>> own;
    if (solution_.serve.kind == SinkKind::kKafka) {
      own = {{"serve.kafka.topic", solution_.serve.kafka.topic},
             {"dead_letters.name", solution_.dead_letters.name}};
    }
    for (size_t i = 0; i < solution_.process.size(); ++i) {
      auto topic = topic_before(solution_, solution_.process[i]);
      if (!topic || !topic->in_kafka) continue;
      own.emplace_back(step_path(draft_, i) + ".topic", topic->name);
      own.emplace_back(step_path(draft_, i) + ".topic", topic->dead_letters);
      // Of what reads it.
      own.emplace_back("name", pipeline::kafka_changelog_topic(solution_.name));
      own.emplace_back("name", pipeline::kafka_changelog_topic(topic->pipeline));
    }
    return own;
  }

  static bool is_number(const std::string& text, size_t digits) {
    return !text.empty() && text.size() <= digits &&
           text.find_first_not_of("0123456789") == std::string::npos;
  }

  void check_kafka_sink() {
    const KafkaSink& sink = solution_.serve.kafka;
    check_connection("serve.kafka", sink.connection);
  }

  void check_connection(const std::string& section, const kafka::Connection& connection) {
    auto properties = kafka::connection_properties(connection);
    if (properties.ok()) return;
    const std::string& message = properties.error().message;
    const size_t colon = message.find(": ");
    report(section + "." + message.substr(0, colon), message.substr(colon + 2));
  }

  void check_duckdb(const DuckDbSink& sink) {
    check_fault("serve.duckdb.table", identifier_fault(sink.table, "table"));
    if (sink.database.empty() || sink.database.starts_with(":")) {
      report("serve.duckdb.database",
             "is not a file; a database in memory would keep nothing; give store.duckdb");
    }
    for (const std::string& column : sink.key) {
      if (column == sink.stored_at) {
        report("serve.duckdb.key",
               column + " is the time of storing, which no two rows share; give fields of the event");
      } else {
        need_field("serve.duckdb.key", column);
      }
    }
    if (!sink.stored_at.empty()) {
      check_fault("serve.duckdb.stored_at", identifier_fault(sink.stored_at, "column"));
      if (knows(sink.stored_at)) {
        report("serve.duckdb.stored_at",
               sink.stored_at + " is a field of the event; give another name, or off");
      }
    }
  }

  void check_postgres(const PostgresSink& sink) {
    for (const std::string& column : sink.key) need_field("serve.postgres.key", column);
    if (sink.mode != PostgresMode::kAppend && sink.key.empty()) {
      report("serve.postgres.key",
             "is missing; upsert and insert-new tell rows apart by it, as key: eventId");
    }
    if (sink.partitions > 0) need_field("serve.postgres.partition_by", sink.partition_by);
    if (!sink.stored_at.empty() && knows(sink.stored_at)) {
      report("serve.postgres.stored_at",
             sink.stored_at + " is a field of the event; give another name, or off");
    }
    if (solution_.dead_letters.name == sink.table) {
      report("dead_letters.name", sink.table + " is the table of the events; give another");
    }
  }

  void check_azure(const DeltaSink& sink) {
    // What follows may be a signature.
    if (const size_t query = sink.table.find('?'); query != std::string::npos)
      problems_.hide(sink.table.substr(query + 1));
    auto settings = azure::with_connection(azure::with_environment(sink.azure.access));
    if (!settings.ok()) {
      report("serve.delta.azure.connection", settings.error().message);
      return;
    }
    auto place = azure::parse_place(sink.table, *settings);
    if (!place.ok()) report("serve.delta.table", place.error().message);
  }

  void check_delta(const DeltaSink& sink) {
    if (is_in_azure(sink)) {
      check_azure(sink);
    } else if (!sink.table.starts_with("/")) {
      check_fault("serve.delta.table", folder_fault(sink.table));
    }
    check_letters_folder(sink.table, beside(sink.table), "table");
    for (const std::string& column : sink.partition_by) need_field("serve.delta.partition_by", column);
    if (!sink.stored_at.empty() && knows(sink.stored_at))
      report("serve.delta.stored_at", sink.stored_at + " is a field of the event; give another name, or off");
  }

  void check_parquet(const ParquetSink& sink) {
    if (!sink.directory.starts_with("/"))
      check_fault("serve.parquet.directory", folder_fault(sink.directory));
    check_letters_folder(sink.directory, beside(sink.directory), "folder");
    for (const std::string& partition : sink.partition_by) {
      const std::string time = serve::derived_from(partition);
      need_field("serve.parquet.partition_by", time.empty() ? partition : time);
      if (time.empty()) check_partition(partition);
    }
    if (!sink.stored_at.empty() && knows(sink.stored_at))
      report("serve.parquet.stored_at",
             sink.stored_at + " is a field of the event; give another name, or off");
  }

  // Any other byte is %XX in a folder's name, which no reader undoes for a column.
  void check_partition(const std::string& column) {
    if (!holds_only(column, "_-"))
      report("serve.parquet.partition_by",
             column +
                 " is no name for folders; give a field whose name has letters, digits, dashes and "
                 "underscores only");
  }

  void check_fault(const std::string& path, std::string fault) {
    if (!fault.empty()) report(path, std::move(fault));
  }

  // The topics of one solution, each for one thing.
  void check_names() {
    if (solution_.name.empty() || solution_.name.size() > 100 || !holds_only(solution_.name, "_-")) {
      report("name", '"' + solution_.name.substr(0, kMaxCited) +
                         "\" is not a name; use at most 100 letters, digits, dashes and underscores");
    }
    enum class Where { kLog, kSourceCluster, kSinkCluster };
    struct Used {
      Where where;
      std::string topic, path;
    };
    std::vector<Used> topics;
    auto use = [&](Where where, const std::string& path, const std::string& topic) {
      if (std::string fault = topic_fault(topic); !fault.empty()) {
        report(path, std::move(fault));
        return;
      }
      for (const Used& other : topics) {
        if (other.where == where && other.topic == topic) {
          report(path, topic + " is already the topic of " + other.path +
                           "; give another, or the events would go in a circle");
          return;
        }
      }
      topics.push_back({where, topic, path});
    };
    const bool from_kafka = reads_kafka(solution_);
    const bool pattern = kafka::is_pattern(input_topic(solution_));
    if (pattern && !from_kafka)
      report("ingest.log.topic", "is a pattern, which only ingest.kafka takes; name a topic of the log");
    if (!pattern)
      use(from_kafka ? Where::kSourceCluster : Where::kLog,
          from_kafka ? "ingest.kafka.topic" : "ingest.log.topic", input_topic(solution_));
    for (size_t i = 0; i < solution_.process.size(); ++i) {
      const OperatorConfig& step = solution_.process[i];
      if (step.kind == OperatorKind::kRekey && step.rekey.by.empty()) continue;
      if (auto topic = topic_before(solution_, step))
        use(topic->in_kafka ? Where::kSourceCluster : Where::kLog, step_path(draft_, i) + ".topic",
            topic->name);
    }
    if (solution_.serve.kind == SinkKind::kLog) {
      use(Where::kLog, "serve.log.topic", solution_.serve.log.topic);
      use(Where::kLog, "dead_letters.name", solution_.dead_letters.name);
    }
    if (solution_.serve.kind == SinkKind::kKafka) {
      const bool one = from_kafka && kafka::same_cluster(solution_.serve.kafka.connection,
                                                         solution_.ingest.kafka.connection);
      const Where where = one ? Where::kSourceCluster : Where::kSinkCluster;
      use(where, "serve.kafka.topic", solution_.serve.kafka.topic);
      use(where, "dead_letters.name", solution_.dead_letters.name);
    }
  }

  void check_limits() {
    const PipelineConfig& pipeline = solution_.pipeline;
    if (pipeline.limits.max_interval_us < pipeline.limits.interval_us) {
      report("pipeline.epoch.max_interval", "is shorter than pipeline.epoch.interval (" +
                                                format_duration_us(pipeline.limits.interval_us) +
                                                "); give at least that");
    }
    if (static_cast<int64_t>(pipeline.limits.max_bytes) > pipeline.memory_bytes / 2) {
      report("pipeline.epoch.max_bytes",
             "two epochs are in memory at a time; give at most half of pipeline.memory (" +
                 format_bytes(pipeline.memory_bytes / 2) + "), or more memory");
    }
    if (pipeline.retry.longest_us < pipeline.retry.first_us) {
      report("pipeline.retry.longest", "is shorter than pipeline.retry.first; give at least that");
    }
    if (solution_.serve.kind == SinkKind::kDuckDb &&
        solution_.query.memory_bytes > most_query_memory(solution_)) {
      report("query.memory", "leaves too little of the store's memory to the pipeline; give at most " +
                                 format_bytes(most_query_memory(solution_)) +
                                 " (three quarters of serve.duckdb.memory_limit), or more of that");
    }
    if (solution_.event.max_bytes + 64 * 1024 > static_cast<int64_t>(solution_.log.options.max_batch_bytes)) {
      report("event.max_bytes",
             "does not fit into a batch of the log; give less, or more log.max_batch_bytes");
    }
    if (solution_.log.options.max_batch_bytes > solution_.log.options.segment_bytes) {
      report("log.max_batch_bytes", "is larger than a segment; give at most log.segment_bytes");
    }
  }

  const Draft& draft_;
  const Solution& solution_;
  Problems& problems_;
  Schema schema_;  // as the operators so far leave it
};

}  // namespace

void check_solution(const Draft& draft, Problems& problems) {
  Checker(draft, problems).check();
}

}  // namespace tidemill::solution
