// A whole solution as values: what one YAML file says, after defaults, sizes and options. What each
// setting means and which values it takes stands once, in the table of settings.h; its reference is
// docs/solution-file.md.
//
// Members are the settings' last names, units added. Defaults of parts that other modules own are
// those modules' own defaults.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "azure/place.h"
#include "base/result.h"
#include "event/schema.h"
#include "kafka/connection.h"
#include "kafka/reader.h"
#include "log/log.h"
#include "pipeline/committer.h"
#include "pipeline/task.h"
#include "simulate/options.h"

namespace tidemill::solution {

// What the events look like.
struct EventConfig {
  std::string builtin;                          // `telemetry` or `sensor`; empty: the file lists its fields
  int32_t complex_count = 23;                   // members of telemetry's complexData
  int32_t complex_first = 0;                    // number of its first member
  std::vector<Field> fields;                    // as the file lists them; empty for a built-in
  std::string id, key, sequence, time;          // roles; empty: the built-in's, or none
  int64_t max_bytes = kDefaultEventLimitBytes;  // a longer event goes to the dead letter
  Schema schema;                                // of all that; filled by loading
};

// The embedded log, and the topics that the solution creates in it.
struct LogConfig {
  log::Options options;
  int64_t retention_us = -1;     // -1: for ever
  int64_t retention_bytes = -1;  // per partition; -1: no limit
};

struct SimulateConfig {
  bool enabled = false;  // the file has a `simulate` section
  // `topic` is the source's. `duration_us` is the run's, and -1 where only a count ends it.
  simulate::SimulateOptions options;
};

// Where a pipeline that has committed nothing begins to read.
struct StartAt {
  enum Kind : uint8_t { kEarliest, kLatest, kTime };
  Kind kind = kEarliest;
  int64_t time_us = 0;  // kTime: microseconds since 1970 UTC
};

struct LogSource {
  std::string topic;  // default: the solution's name
  int32_t partitions = 4;
  StartAt start;
  bool create = true;  // create the topic where it is missing
};

// What becomes of a pipeline when events were deleted that it had yet to read.
enum class DeletedEvents : uint8_t { kStop, kSkip };

struct KafkaSource {
  kafka::Connection connection;
  std::string topic;        // default: the solution's name
  int32_t partitions = 4;   // when it is created
  int32_t replication = 0;  // when it is created; 0: the cluster's default
  StartAt start;
  std::vector<std::pair<std::string, std::string>> start_offsets;  // partition, offset; instead of `start`
  DeletedEvents deleted = DeletedEvents::kStop;
  bool create = true;  // create the topic where it is missing
  // Of the group that shares the partitions out to all processes of a solution that serves Kafka.
  kafka::Membership::Protocol protocol = kafka::Membership::Protocol::kClassic;
  int64_t session_timeout_us = 10'000'000;
  int64_t heartbeat_us = 300'000;
  std::string member;  // not empty: this process is a static member of that name
};

enum class SourceKind : uint8_t { kLog, kKafka };
// What the solution's source and sink stand for, in words: "Azure Event Hubs".
struct ReplacesConfig {
  std::string ingest, serve;
};

struct IngestConfig {
  SourceKind kind = SourceKind::kLog;
  LogSource log;
  KafkaSource kafka;
};

// ---- process: a list of operators, in the order in which they act

enum class OperatorKind : uint8_t { kEnrich, kDedup, kFilter, kProject, kRekey, kSql };

struct EnrichConfig {
  std::vector<std::string> fields = {"enqueuedAt", "processedAt"};  // and "partition", "offset"
};
// Exactly one of `last` and `horizon_us` is positive.
struct DedupConfig {
  std::string id;          // default: the event's id
  std::string key;         // default: the event's key
  int64_t last = 100;      // ids remembered for each key; 0: by time
  int64_t horizon_us = 0;  // how long an id is remembered, in the log's append time; 0: by number
};
struct FilterConfig {
  std::string where;  // an expression; events for which it is not true are dropped
};
struct ProjectConfig {
  std::vector<std::string> keep;  // empty: all
  std::vector<std::string> drop;
  std::vector<std::pair<std::string, std::string>> add;  // name, expression
};
// Everything after it reads from a topic of its own, partitioned by another field.
struct RekeyConfig {
  std::string by;
  std::string topic;       // default: <ingest topic>-by-<field>
  int32_t partitions = 0;  // 0: as many as the source has
};

enum class SqlScope : uint8_t {
  kInterval,   // one query over the events of all partitions, through a topic of one partition
  kPartition,  // one for each partition
};
// A query over the events of each interval, whose rows go on instead of them.
struct SqlConfig {
  std::string query;
  int64_t every_us = 15'000'000;
  SqlScope scope = SqlScope::kInterval;
  std::string key;    // column that becomes the rows' key; empty: they have none
  std::string count;  // column that counts the events of a row, for `verify`; empty: none
  std::vector<std::pair<std::string, std::string>> tables;  // reference tables: name, file
  std::string topic;                                        // of scope interval. Default: <name>-intervals
  int64_t memory_bytes = 256ll << 20;
  int64_t spill_bytes = 4ll << 30;
};

// `kind` says which of the members counts.
struct OperatorConfig {
  OperatorKind kind = OperatorKind::kEnrich;
  int line = 0;  // in the file
  EnrichConfig enrich;
  DedupConfig dedup;
  FilterConfig filter;
  ProjectConfig project;
  RekeyConfig rekey;
  SqlConfig sql;
};

// ---- serve: exactly one sink

enum class SinkKind : uint8_t { kLog, kDuckDb, kFiles, kNull, kKafka, kPostgres, kDelta, kParquet };

struct LogSink {
  std::string topic;       // default: <name>-out
  int32_t partitions = 0;  // 0: as many as the source has
};
enum class Delivery : uint8_t {
  kAuto,         // exactly once where the endpoint has transactions, else at least once
  kExactlyOnce,  // rows are in the transaction of their positions
  kAtLeastOnce,  // rows are sent before it
};
struct KafkaSink {
  kafka::Connection connection;  // default: that of ingest.kafka
  std::string topic;             // default: <name>-out
  int32_t partitions = 0;        // when it is created; 0: as many as the source has
  int32_t replication = 0;       // when it is created; 0: the cluster's default
  bool create = true;            // create the topics where they are missing
  Delivery delivery = Delivery::kAuto;
  Compression compression = Compression::kNone;
  int64_t transaction_timeout_us = 60'000'000;
  int64_t keep_every_us = 600'000'000;
};
enum class Nested : uint8_t {
  kStruct,   // complexData.moreData0 … become one STRUCT column complexData
  kColumns,  // each becomes a column of its own: complexData_moreData0
};
enum class ParquetCodec : uint8_t { kNone, kSnappy, kZstd, kLz4, kGzip };
struct DuckDbSink {
  std::string database = "store.duckdb";  // relative to the run's data directory
  std::string table = "rawdata";
  Nested nested = Nested::kStruct;
  std::vector<std::string> key;  // columns of the primary key: rows are written by upsert; empty: inserted
  std::string stored_at = "storedAt";  // column for the time of storing; empty: none
  int64_t memory_limit_bytes = 1ll << 30;
  int32_t threads = 2;
};
struct FilesSink {
  std::string directory = "files";  // relative to the run's data directory
  int64_t roll_bytes = 128ll << 20;
  int64_t roll_interval_us = 60'000'000;
};
enum class PostgresMode : uint8_t { kAppend, kUpsert, kInsertNew };
enum class PostgresNested : uint8_t { kJsonb, kText, kColumns };
struct PostgresSink {
  std::string connection;  // URI or key=value pairs; empty: libpq's environment
  std::string password;    // empty: the connection's, the environment's or that of ~/.pgpass
  std::string table = "rawdata";
  PostgresMode mode = PostgresMode::kAppend;
  std::vector<std::string> key;
  PostgresNested nested = PostgresNested::kJsonb;
  std::string stored_at = "storedAt";  // column for the time of storing; empty: none
  std::vector<std::pair<std::string, std::string>> types;
  // Of a created table.
  std::vector<std::string> indexes;
  int32_t partitions = 0;    // by hash; 0: it is not partitioned
  std::string partition_by;  // default: the event's key
};
struct AzureStorage {
  azure::Settings access;  // secrets among it
  bool create = false;     // the container, where it is missing
  int64_t timeout_us = 20'000'000;
};
struct DeltaSink {
  std::string table = "rawdata";  // its folder, relative to the run's data directory; or a URL
  AzureStorage azure;             // where that is in Azure storage
  std::vector<std::string> partition_by;
  Nested nested = Nested::kStruct;
  std::string stored_at = "storedAt";  // column for the time of storing; empty: none
  ParquetCodec codec = ParquetCodec::kSnappy;
  int64_t checkpoint_interval = 50;  // versions
  bool merge = true;                 // small files
  int64_t file_bytes = 128ll << 20;
  int64_t retention_us = 7ll * 24 * 3600 * 1'000'000;  // of files that the newest version does not need
  int64_t memory_limit_bytes = 512ll << 20;
  int32_t threads = 2;
};
struct ParquetSink {
  std::string directory = "rawdata";      // relative to the run's data directory
  std::vector<std::string> partition_by;  // fields, day(a time), hour(a time)
  Nested nested = Nested::kStruct;
  std::string stored_at = "storedAt";  // column for the time of storing; empty: none
  ParquetCodec codec = ParquetCodec::kZstd;
  // An epoch, and its files, end after this, or with so much input.
  int64_t roll_interval_us = 60'000'000;
  int64_t roll_bytes = 128ll << 20;
  int64_t memory_limit_bytes = 512ll << 20;
  int32_t threads = 2;
};
struct ServeConfig {
  SinkKind kind = SinkKind::kNull;
  LogSink log;
  DuckDbSink duckdb;
  FilesSink files;
  KafkaSink kafka;
  PostgresSink postgres;
  DeltaSink delta;
  ParquetSink parquet;
};

// What cannot be decoded or stored goes into the main sink's store, in its transactions.
struct DeadLetterConfig {
  // Topic, table or folder. Default: <name>-dead-letters in a log, dead_letters in a database,
  // dead-letters among files.
  std::string name;
};

struct PipelineConfig {
  int32_t tasks = 0;  // 0: as task_count() says
  // Of one task, for the epoch that is read and the one that commits together.
  int64_t memory_bytes = 512ll << 20;
  pipeline::EpochLimits limits;  // max_bytes is half of memory_bytes unless the file sets it
  pipeline::RetryPolicy retry;
  int64_t snapshot_min_bytes = 64ll << 20;
  bool validate = true;  // check events as JSON even where no field of them is needed
};

enum class Rules : uint8_t {
  kStrict,     // every event accounted for
  kReference,  // the rules and limits of the Azure samples' common check
};
struct VerifyConfig {
  Rules rules = Rules::kStrict;
  double min_rate = 0;              // events/s; 0: off
  int64_t max_latency_us = -1;      // -1: off
  double max_duplicates = -1;       // fraction of the rows; -1: off
  double max_out_of_sequence = -1;  // fraction of the rows; -1: off
  int64_t memory_bytes = 512ll << 20;
};

struct ObserveConfig {
  int32_t prometheus_port = -1;  // -1: off; 0: a free one
  std::string prometheus_address = "127.0.0.1";
  int64_t report_interval_us = 60'000'000;  // a row of the table this often
};

// Limits of one query of the served table.
struct QueryConfig {
  int64_t memory_bytes = 1ll << 30;  // of all of them together; of a DuckDB store by default three quarters
  int64_t spill_bytes = 4ll << 30;
  int32_t threads = 2;
  int64_t timeout_us = 300'000'000;
};

struct Solution {
  std::string name;  // default: the file's name without .yaml; of a branch <name>-<branch>
  std::string description;
  // How long a run simulates and reports; -1: until it is stopped, or its count is reached.
  int64_t duration_us = 60'000'000;
  ReplacesConfig replaces;
  EventConfig event;
  LogConfig log;
  SimulateConfig simulate;
  IngestConfig ingest;
  std::vector<OperatorConfig> process;
  ServeConfig serve;
  DeadLetterConfig dead_letters;
  PipelineConfig pipeline;
  VerifyConfig verify;
  ObserveConfig observe;
  QueryConfig query;
  // Beside the pipeline of the file itself, each with a sink and positions of its own: a solution that
  // simulates nothing, whose `ingest` is the topic that it reads. None reads what a later one writes.
  std::vector<Solution> branches;
  std::string branch;  // of one of them, its name
  std::string from;    // and the topic of another one's that it reads; empty: it reads the input
};

// The solution itself, then its branches.
std::vector<const Solution*> with_branches(const Solution& solution);
// By name; empty: the solution itself. Errors: kNotFound, naming those that there are.
Result<const Solution*> find_branch(const Solution& solution, const std::string& name);
// Whether several pipelines read the input topic, and so have to begin at the same place in it.
bool shares_input(const Solution& solution);

// The topic that the solution reads first, where it begins there, and how many partitions a new one has; in
// the embedded log or in Kafka.
const std::string& input_topic(const Solution& solution);
const StartAt& input_start(const Solution& solution);
int32_t input_partitions(const Solution& solution);
// As numbers, which check_solution() has seen to be some.
std::map<int32_t, int64_t> start_offsets(const KafkaSource& source);
bool reads_kafka(const Solution& solution);
// Whether it serves a store that several processes may write: not Kafka, which has its own ways.
bool shares_store(const Solution& solution);

// The tasks of a run on a machine with `cores`: as the file says, or one per core; never more than
// there are partitions.
int32_t task_count(const Solution& solution, int32_t cores);

// "telemetry" → "enrich, dedup" → "DuckDB table rawdata", for lists and headings.
std::string source_summary(const Solution& solution);
std::string process_summary(const Solution& solution);
std::string sink_summary(const Solution& solution);
// What the topology promises, from the capabilities of its parts: "exactly-once". `check` asks the
// real parts and explains.
std::string guarantee_summary(const Solution& solution);

}  // namespace tidemill::solution
