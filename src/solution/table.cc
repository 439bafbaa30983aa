#include "solution/table.h"

#include <cstdint>

namespace tidemill::solution {
namespace {

constexpr double kMs = 1'000, kSecond = 1'000 * kMs, kHour = 3'600 * kSecond, kDay = 24 * kHour;
constexpr double kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30, kTiB = 1024 * kGiB;

// Values that stand for the words of ingest.log.start.
constexpr int64_t kStartEarliest = -1, kStartLatest = -2;

// Where a value lies in a Solution, or in the operator at hand.
#define AT(member)                  \
  [](Target target) -> auto& {      \
    return target.solution->member; \
  }
#define OF_STEP(member)         \
  [](Target target) -> auto& {  \
    return target.step->member; \
  }

IntegerAccess builtin_access() {
  return {[](Target target) -> int64_t {
            const std::string& name = target.solution->event.builtin;
            return name == "telemetry" ? 0 : name == "sensor" ? 1 : -1;
          },
          [](Target target, int64_t index) {
            target.solution->event.builtin = index == 0 ? "telemetry" : "sensor";
          }};
}

IntegerAccess start_access() {
  return {[](Target target) -> int64_t {
            const StartAt& start = target.solution->ingest.log.start;
            if (start.kind == StartAt::kTime) return start.time_us;
            return start.kind == StartAt::kEarliest ? kStartEarliest : kStartLatest;
          },
          [](Target target, int64_t value) {
            StartAt& start = target.solution->ingest.log.start;
            start.kind = value == kStartEarliest ? StartAt::kEarliest
                         : value == kStartLatest ? StartAt::kLatest
                                                 : StartAt::kTime;
            start.time_us = start.kind == StartAt::kTime ? value : 0;
          }};
}

void add_event(TableWriter& table) {
  table.text("name", AT(name), "names the solution, its runs and what its pipeline has committed")
      .derived("the file's name without .yaml");
  table.text("description", AT(description), "one line for the list of solutions").derived("none");
  table.duration("duration", AT(duration_us), "how long a run simulates and reports")
      .range(kMs, 3650 * kDay)
      .word("forever", -1);

  table
      .text("replaces.ingest", AT(replaces.ingest),
            "the system that the source stands for, in words: Azure Event Hubs")
      .derived("none");
  table.text("replaces.serve", AT(replaces.serve), "the store that the sink stands for: Azure SQL Database")
      .derived("none");

  table.choice_by("event.schema", builtin_access(), {"telemetry", "sensor"}, "a built-in event")
      .derived("none: give this or `event.fields`");
  table.fields("event.fields", AT(event.fields), "the fields of your own event, with their types")
      .derived("none");
  table.text("event.id", AT(event.id), "the field that identifies an event")
      .derived("the built-in's, or none");
  table.text("event.key", AT(event.key), "the field that events are partitioned by")
      .derived("the built-in's, or none");
  table.text("event.sequence", AT(event.sequence), "the field that counts the events of a key")
      .derived("the built-in's, or none");
  table
      .text("event.time", AT(event.time),
            "the field that says when an event happened; latency is measured from it")
      .derived("the built-in's, or none");
  table.count("event.complex_count", AT(event.complex_count), "members of telemetry's `complexData`")
      .range(0, 10'000);
  table
      .count("event.complex_first", AT(event.complex_first),
             "the number of the first of them: `moreData0` or `moreData1`")
      .range(0, 1'000'000);
  table.bytes("event.max_bytes", AT(event.max_bytes), "a longer event goes to the dead letters")
      .range(64, 8 * kMiB);
}

void add_log(TableWriter& table) {
  table.choice(
      "log.durability", AT(log.options.durability), {"sync", "interval", "none"},
      "what an acknowledged event survives: a power cut (`sync`), one but for the last `sync_interval`, "
      "or a kill only (`none`)");
  table
      .duration("log.sync_interval", AT(log.options.sync_interval_us),
                "under `durability: interval`, the time between syncs")
      .range(kMs, kHour);
  table
      .bytes("log.segment_bytes", AT(log.options.segment_bytes),
             "a segment file is closed before it would be larger")
      .range(kMiB, 2147483647.0);
  table.duration("log.segment_time", AT(log.options.segment_us), "a segment file is closed when it is older")
      .range(kSecond, 3650 * kDay);
  table.bytes("log.max_batch_bytes", AT(log.options.max_batch_bytes), "the largest batch that the log takes")
      .range(kMiB, 64 * kMiB);
  table
      .duration("log.retention", AT(log.retention_us),
                "events are kept this long; never less than pipelines have yet to commit")
      .range(kSecond, 3650 * kDay)
      .word("forever", -1);
  table.bytes("log.retention_bytes", AT(log.retention_bytes), "and up to this size of each partition")
      .range(kMiB, 1024 * kTiB)
      .word("unlimited", -1);
}

void add_ingest(TableWriter& table) {
  table.choice("ingest", AT(ingest.kind), source_names(), "the source of events");
  table.text("ingest.log.topic", AT(ingest.log.topic), "the topic of the embedded log").derived("`name`");
  table.count("ingest.log.partitions", AT(ingest.log.partitions), "its partitions, when it is created")
      .range(1, 1024);
  table
      .time_by("ingest.log.start", start_access(),
               "where a pipeline that has committed nothing begins to read")
      .word("earliest", static_cast<double>(kStartEarliest))
      .word("latest", static_cast<double>(kStartLatest));
  table.toggle("ingest.log.create", AT(ingest.log.create), "create the topic where it is missing");
  add_kafka_source_settings(table);
}

void add_process(TableWriter& table) {
  table
      .list("process.enrich.fields", OF_STEP(enrich.fields),
            "adds to each event when the log took it, when it was processed, and where it stood")
      .items({"enqueuedAt", "processedAt", "partition", "offset"});
  table.text("process.dedup.id", OF_STEP(dedup.id), "the field whose repetition makes a duplicate")
      .derived("`event.id`");
  table.text("process.dedup.key", OF_STEP(dedup.key), "the field within whose values ids are remembered")
      .derived("`event.key`");
  table
      .count("process.dedup.last", OF_STEP(dedup.last),
             "ids remembered for each key; the least recently seen goes first")
      .range(1, 65'535)
      .word("off", 0);
  table
      .duration("process.dedup.horizon", OF_STEP(dedup.horizon_us),
                "instead of `last`: how long an id is remembered, in the log's append time")
      .range(kMs, 3650 * kDay)
      .word("off", 0);
  table
      .text("process.filter.where", OF_STEP(filter.where),
            "an expression; only events for which it is true pass")
      .derived("required");
  table.list("process.project.keep", OF_STEP(project.keep), "the fields to keep").derived("all");
  table.list("process.project.drop", OF_STEP(project.drop), "fields to leave out").derived("none");
  table.pairs("process.project.add", OF_STEP(project.add), "new fields, each by an expression")
      .derived("none");
  table
      .text("process.rekey.by", OF_STEP(rekey.by),
            "what follows reads from a topic partitioned by this field")
      .derived("required");
  table.text("process.rekey.topic", OF_STEP(rekey.topic), "that topic")
      .derived("`<ingest topic>-by-<field>`, from Kafka `<name>-by-<field>`");
  table.count("process.rekey.partitions", OF_STEP(rekey.partitions), "its partitions")
      .range(1, 1024)
      .word("as-source", 0);
  add_sql_settings(table);
}

void add_serve(TableWriter& table) {
  table.choice("serve", AT(serve.kind), sink_names(), "the sink: exactly one").derived("required");
  table.text("serve.log.topic", AT(serve.log.topic), "the topic of the embedded log").derived("`<name>-out`");
  table.count("serve.log.partitions", AT(serve.log.partitions), "its partitions, when it is created")
      .range(1, 1024)
      .word("as-source", 0);
  table.text("serve.duckdb.database", AT(serve.duckdb.database),
             "the database's file, from the run's data directory on");
  table.text("serve.duckdb.table", AT(serve.duckdb.table),
             "the table, created from the event's fields where it is missing");
  table.choice("serve.duckdb.nested", AT(serve.duckdb.nested), {"struct", "columns"},
               "whether `complexData.moreData0` … become one column `complexData`, or each one of its own");
  table.list("serve.duckdb.key", AT(serve.duckdb.key), "columns of a key: a row of the same key is replaced")
      .derived("none");
  table.text("serve.duckdb.stored_at", AT(serve.duckdb.stored_at), "the column for the time of storing")
      .word("off");
  table.bytes("serve.duckdb.memory_limit", AT(serve.duckdb.memory_limit_bytes), "memory of the database")
      .range(64 * kMiB, kTiB)
      .derived("128MiB, and as much for each task; with a key 1GiB at least");
  table.count("serve.duckdb.threads", AT(serve.duckdb.threads), "threads of the database").range(1, 256);
  table.text("serve.files.directory", AT(serve.files.directory),
             "where the JSON Lines files go, from the run's data directory on");
  table.bytes("serve.files.roll_bytes", AT(serve.files.roll_bytes), "a file ends at this size")
      .range(4 * kKiB, kTiB);
  table
      .duration("serve.files.roll_interval", AT(serve.files.roll_interval_us),
                "and at this age; readers see whole files only")
      .range(100 * kMs, 365 * kDay);
  add_kafka_sink_settings(table);
  add_postgres_settings(table);
  add_delta_settings(table);
  add_parquet_settings(table);
  table
      .text("dead_letters.name", AT(dead_letters.name),
            "topic, table or folder, in the sink's own store, for what cannot be decoded or stored")
      .derived("`<name>-dead-letters` in a log, `dead_letters` in a database, `dead-letters` among files");
}

void add_pipeline(TableWriter& table) {
  table
      .count("pipeline.tasks", AT(pipeline.tasks),
             "parallel tasks; `auto`: one per core, at most one per partition")
      .range(1, 256)
      .word("auto", 0);
  table
      .duration("pipeline.epoch.interval", AT(pipeline.limits.interval_us),
                "an epoch is committed this long after its first event, once the source was read to its end: "
                "it ends "
                "earlier by what commits take, by half of this at most")
      .range(kMs, kHour)
      .derived("`100ms`; `5s` under `serve: delta`, `serve.parquet.roll_interval` under `serve: parquet`");
  table
      .duration("pipeline.epoch.max_interval", AT(pipeline.limits.max_interval_us),
                "and after this while there is lag")
      .range(kMs, kDay)
      .derived("`5s`; `serve.parquet.roll_interval` under `serve: parquet`");
  table
      .count("pipeline.epoch.max_events", AT(pipeline.limits.max_events),
             "events of an epoch; `auto`: what the sink prefers")
      .range(1, 1e9)
      .word("auto", 0);
  table
      .bytes("pipeline.epoch.max_bytes", AT(pipeline.limits.max_bytes),
             "bytes of an epoch, input and output together")
      .range(kMiB, kTiB)
      .derived("half of `pipeline.memory`");
  table
      .bytes("pipeline.memory", AT(pipeline.memory_bytes),
             "of one task, for the epoch that is read and the one that commits")
      .range(16 * kMiB, 2 * kTiB);
  table
      .bytes("pipeline.state_limit", AT(pipeline.limits.state_bytes),
             "keyed state of one task; at the limit the pipeline stops and says so")
      .range(kMiB, kTiB);
  table
      .bytes("pipeline.snapshot_min", AT(pipeline.snapshot_min_bytes),
             "changes of state between two snapshots, at least")
      .range(64 * kKiB, kTiB);
  table.toggle("pipeline.validate", AT(pipeline.validate),
               "check each event, and its id, even where no field of it is needed");
  table
      .duration("pipeline.retry.first", AT(pipeline.retry.first_us),
                "the first wait after a failed commit; each next is longer")
      .range(kMs, kHour);
  table.duration("pipeline.retry.longest", AT(pipeline.retry.longest_us), "the longest of these waits")
      .range(kMs, kDay);
  table
      .duration("pipeline.retry.give_up", AT(pipeline.retry.give_up_us),
                "all waits of one commit together, then the pipeline stops")
      .range(kMs, 365 * kDay);
}

void add_proof(TableWriter& table) {
  table.choice("verify.rules", AT(verify.rules), {"strict", "reference"},
               "account for every event (`strict`), or the rules of the Azure samples' common check");
  table.rate("verify.min_rate", AT(verify.min_rate), "events per second that must be reached")
      .range(0.001, 1e9)
      .word("off", 0)
      .derived("`off`; 90 % of `simulate.rate` under `rules: reference`");
  table.duration("verify.max_latency", AT(verify.max_latency_us), "latency that must not be exceeded")
      .at_least(0)
      .word("off", -1)
      .derived("`off`; 15s under `rules: reference`");
  table.fraction("verify.max_duplicates", AT(verify.max_duplicates), "share of duplicates that is allowed")
      .word("off", -1)
      .derived("`off`; under `rules: reference` 0 where duplicates are removed, else 0.0011");
  table
      .fraction("verify.max_out_of_sequence", AT(verify.max_out_of_sequence),
                "share of events out of sequence that is allowed")
      .word("off", -1)
      .derived("`off`; 1 under `rules: reference`");
  table.bytes("verify.memory", AT(verify.memory_bytes), "memory of the verification").range(16 * kMiB, kTiB);
  table
      .count(
          "observe.prometheus", AT(observe.prometheus_port),
          "the port on which the run's owner serves its metrics as Prometheus' text; 0: a free one, said at "
          "the start")
      .range(0, 65535)
      .word("off", -1);
  table.text(
      "observe.address", AT(observe.prometheus_address),
      "the address of this machine that it listens on; the default is reachable from this machine only");
  table
      .duration("observe.report_interval", AT(observe.report_interval_us),
                "a row of the report's table this often")
      .range(kSecond, kDay);
  table
      .bytes("query.memory", AT(query.memory_bytes),
             "memory of all queries together; beyond it they are stopped. Of a DuckDB table a part of "
             "`serve.duckdb.memory_limit`")
      .range(16 * kMiB, kTiB)
      .derived("three quarters of `serve.duckdb.memory_limit`; of files 1GiB");
  table
      .bytes("query.spill", AT(query.spill_bytes),
             "disk for what sorts, joins and groups do not keep in memory, in the run's data directory")
      .range(kMiB, 1024 * kTiB);
  table
      .count("query.threads", AT(query.threads),
             "threads of one query of files; queries of a DuckDB table share `serve.duckdb.threads`")
      .range(1, 256);
  table.duration("query.timeout", AT(query.timeout_us), "time of one query").range(kMs, 365 * kDay);
}

}  // namespace

std::vector<Setting> make_table() {
  TableWriter table;
  add_event(table);
  add_log(table);
  add_simulate_settings(table);
  add_ingest(table);
  add_process(table);
  add_serve(table);
  add_pipeline(table);
  add_proof(table);
  return table.take();
}

std::string_view section_help(std::string_view section) {
  static constexpr std::pair<std::string_view, std::string_view> kHelp[] = {
      {"replaces",
       "Where the solution stands for another one of other systems. `tidemill check` says what is in their "
       "place."},
      {"event", "What the events look like. One word names a built-in: `event: telemetry`."},
      {"log", "The embedded log, and the topics that the solution creates in it."},
      {"simulate",
       "Simulated devices. Without this section nothing is simulated. One word names the profile: "
       "`simulate: sensor`."},
      {"ingest", "Where events come from. Default: a topic of the log named as the solution."},
      {"ingest.log", "A topic of the embedded log."},
      {"ingest.kafka",
       "A topic of Apache Kafka 2.5 or later, or of Azure Event Hubs. Page: docs/connectors/kafka.md."},
      {"process",
       "A list of operators, in the order in which they act: `- dedup`, `- enrich: [enqueuedAt]`."},
      {"process.enrich", "Adds fields. Short: `- enrich: [enqueuedAt, processedAt]`."},
      {"process.dedup", "Drops duplicates. Short: `- dedup`, with the event's id and key."},
      {"process.filter", "Drops events. Short: `- filter: value > 50`."},
      {"process.project", "Leaves out and adds fields."},
      {"process.rekey",
       "Partitions the stream anew, through a topic of its own. Short: `- rekey: deviceId`."},
      {"process.sql",
       "A DuckDB query over the events of each interval, `input`; its rows go on instead of them. Page: "
       "docs/operators.md. Short: `- sql: SELECT count(*) AS events FROM input`."},
      {"serve",
       "Where events go: exactly one of `log`, `duckdb`, `files`, `null`, `kafka`, `postgres`, `delta`, "
       "`parquet`. One word takes all defaults: `serve: duckdb`."},
      {"serve.log", "Another topic of the embedded log."},
      {"serve.duckdb", "A table of a DuckDB database."},
      {"serve.files", "JSON Lines files."},
      {"serve.kafka",
       "A topic of the cluster that is read from, exactly once. Page: docs/connectors/kafka.md."},
      {"serve.postgres",
       "A table of a PostgreSQL database, exactly once. Page: docs/connectors/postgres.md."},
      {"serve.delta",
       "A Delta Lake table in a folder or in Azure storage, exactly once. Page: docs/connectors/delta.md."},
      {"serve.delta.azure", "How Azure storage is reached, where the table is there."},
      {"serve.parquet",
       "Parquet files in Hive-style folders, exactly once. Page: docs/connectors/parquet.md."},
      {"serve.null", "Nowhere, for measurements. It has no settings."},
      {"branches",
       "More sinks, by name: each with `serve`, its own `process`, and `from`, a topic that another sink of "
       "the "
       "file writes; without it a branch reads the input."},
      {"dead_letters", "What cannot be decoded or stored."},
      {"pipeline", "Tasks, epochs, limits."},
      {"pipeline.epoch", "When an epoch ends and is committed."},
      {"pipeline.retry", "What happens when the sink fails for a while."},
      {"verify", "What the verifier asks for, beside each event's account."},
      {"observe", "Reports and metrics."},
      {"query", "Limits of one query of the served table; it cannot stop the pipeline."},
  };
  for (const auto& [name, help] : kHelp) {
    if (name == section) return help;
  }
  return {};
}

#undef AT
#undef OF_STEP

}  // namespace tidemill::solution
