#include "solution/sinks.h"

#include <algorithm>
#include <utility>

#include "ingest/log_source.h"
#include "kafka/topic_pattern.h"
#include "serve/dead_letters.h"
#include "serve/delta_sink.h"
#include "serve/duckdb_sink.h"
#include "serve/files_sink.h"
#include "serve/kafka_sink.h"
#include "serve/log_sink.h"
#include "serve/null_sink.h"
#include "serve/parquet_sink.h"
#include "serve/postgres_sink.h"
#include "solution/between.h"

namespace tidemill::solution {
namespace {

std::string in_run(const Ground& ground, const std::string& path) {
  return path.starts_with("/") ? path : join_path(ground.run_directory, path);
}

// Of one topic. `else_so_many`: where there is none.
int32_t most_partitions(const std::vector<TopicPartition>& sources, int32_t else_so_many) {
  int32_t most = 0;
  for (const TopicPartition& source : sources) most = std::max(most, source.partition.value() + 1);
  return most > 0 ? most : else_so_many;
}

// What the file says of the topic that it serves holds for the topics of Kafka before it.
void set_transactions(const KafkaSink& sink, serve::KafkaSinkOptions* options) {
  options->compression = sink.compression;
  options->transaction_timeout_ms = static_cast<int>(sink.transaction_timeout_us / 1000);
  options->keep_every_us = sink.keep_every_us;
}

std::string source_name(const Ground& ground, const Stage& stage) {
  return stage.source_cluster.empty() ? "the embedded log " + ground.log_id
                                      : "the Kafka cluster " + stage.source_cluster;
}

// `into`: the table of a replay, beside the other one; empty: there is none.
serve::PostgresSinkOptions postgres_options(const PostgresSink& sink, const Ground& ground,
                                            const Stage& stage, const std::string& into,
                                            const std::string& dead) {
  serve::PostgresSinkOptions options;
  options.connection = postgres_connection(sink);
  options.pipeline = stage.name;
  options.source = source_name(ground, stage);
  serve::PostgresTableOptions& table = options.table;
  table.table = sink.table;
  if (!into.empty()) table.table = sink.table.substr(0, sink.table.find('.') + 1) + into;
  table.mode = static_cast<serve::PostgresMode>(sink.mode);
  table.nested = static_cast<serve::PostgresNested>(sink.nested);
  table.stored_at = sink.stored_at;
  table.key = sink.key;
  table.types = sink.types;
  table.indexes = sink.indexes;
  table.partitions = sink.partitions;
  table.partition_by = sink.partition_by;
  options.dead_table = dead;
  return options;
}

// What tables of Parquet files have in common, Delta's and others.
template <class Sink, class Options>
void set_parquet(const Sink& sink, const Ground& ground, const Stage& stage, Options* options) {
  options->pipeline = stage.name;
  options->source = source_name(ground, stage);
  options->nested = sink.nested == Nested::kStruct ? serve::Nested::kStruct : serve::Nested::kColumns;
  options->stored_at = sink.stored_at;
  options->partition_by = sink.partition_by;
  options->codec = parquet_codec(sink.codec);
  options->memory_limit_bytes = sink.memory_limit_bytes;
  options->threads = sink.threads;
}

// `into`: the table of a replay, beside the other one; empty: there is none.
serve::DeltaSinkOptions delta_options(const Solution& solution, const Ground& ground, const Stage& stage,
                                      const std::string& into) {
  const DeltaSink& sink = solution.serve.delta;
  const DeltaFolders folders = delta_folders(solution, ground.run_directory);
  serve::DeltaSinkOptions options;
  options.folder = into.empty() ? folders.table : join_path(parent_path(folders.table), into);
  options.dead_folder = into.empty() ? folders.dead_letters : options.folder + "_dead_letters";
  options.open_store = [&sink, run = ground.run_directory, pipeline = stage.name](const std::string& table) {
    return open_delta_objects(sink, table, delta_scratch(run, pipeline));
  };
  set_parquet(sink, ground, stage, &options);
  options.checkpoint_interval = sink.checkpoint_interval;
  options.merge = sink.merge;
  options.upkeep.merges.target_bytes = sink.file_bytes;
  options.upkeep.retention_us = sink.retention_us;
  return options;
}

serve::ParquetSinkOptions parquet_options(const Solution& solution, const Ground& ground, const Stage& stage,
                                          const std::string& into) {
  const ParquetSink& sink = solution.serve.parquet;
  const DeltaFolders folders = parquet_folders(solution, ground.run_directory);
  serve::ParquetSinkOptions options;
  options.directory = into.empty() ? folders.table : join_path(parent_path(folders.table), into);
  options.dead_directory = into.empty() ? folders.dead_letters : options.directory + "_dead_letters";
  set_parquet(sink, ground, stage, &options);
  options.epoch_bytes = static_cast<uint64_t>(sink.roll_bytes);
  options.interval_us = solution.pipeline.limits.interval_us;
  options.visible_after_us = options.interval_us;
  if (!solution.process.empty() && solution.process.back().kind == OperatorKind::kSql)
    options.visible_after_us = solution.process.back().sql.every_us;
  return options;
}

}  // namespace

const char* parquet_codec(ParquetCodec codec) {
  constexpr const char* kCodecs[] = {"uncompressed", "snappy", "zstd", "lz4", "gzip"};
  return kCodecs[static_cast<size_t>(codec)];
}

int32_t source_partitions(const Solution& solution, const Stage& stage) {
  auto sources = stage.source->partitions();
  const int32_t else_so_many = solution.ingest.kafka.partitions;
  return sources.ok() ? most_partitions(*sources, else_so_many) : else_so_many;
}

Result<std::unique_ptr<pipeline::Sink>> make_sink(const Solution& solution, const Ground& ground,
                                                  const Stage& stage, bool rebuild, const std::string& into) {
  const ServeConfig& serve = solution.serve;
  const std::string dead = into.empty() ? solution.dead_letters.name : std::string();
  switch (serve.kind) {
    case SinkKind::kLog: {
      serve::LogSinkOptions options;
      options.pipeline = stage.name;
      options.topic = into.empty() ? serve.log.topic : into;
      // When an event was stored is worth more here than when the input took it in, which enrich keeps.
      options.timestamp_type = TimestampType::kLogAppendTime;
      options.source_topic = stage.input_topic;
      if (stage.from_kafka) options.source_partitions = source_partitions(solution, stage);
      options.partitions = serve.log.partitions;
      options.dead_topic = dead;
      options.retention_us = solution.log.retention_us;
      options.retention_bytes = solution.log.retention_bytes;
      options.max_batch_bytes = solution.log.options.max_batch_bytes;
      options.stateful = stage.plan.stateful;
      if (rebuild) options.form = serve::JsonForm::kRebuild;
      options.weakness = ingest::durability_weakness(solution.log.options.durability);
      return std::unique_ptr<pipeline::Sink>(
          std::make_unique<serve::LogSink>(*ground.log, std::move(options)));
    }
    case SinkKind::kDuckDb: {
      serve::DuckDbSinkOptions options;
      options.pipeline = stage.name;
      options.table.table = into.empty() ? serve.duckdb.table : into;
      options.table.nested =
          serve.duckdb.nested == Nested::kStruct ? serve::Nested::kStruct : serve::Nested::kColumns;
      options.table.key = serve.duckdb.key;
      options.table.stored_at = serve.duckdb.stored_at;
      options.dead_table = dead;
      options.path = in_run(ground, serve.duckdb.database);
      TM_ASSIGN(auto database, ground.database(serve.duckdb));
      return std::unique_ptr<pipeline::Sink>(
          std::make_unique<serve::DuckDbSink>(std::move(database), *ground.clock, std::move(options)));
    }
    case SinkKind::kFiles: {
      serve::FilesSinkOptions options;
      options.directory = in_run(ground, into.empty() ? serve.files.directory : into);
      options.roll_bytes = static_cast<uint64_t>(serve.files.roll_bytes);
      options.roll_interval_us = serve.files.roll_interval_us;
      options.dead_folder = dead;
      if (rebuild) options.form = serve::JsonForm::kRebuild;
      return std::unique_ptr<pipeline::Sink>(
          std::make_unique<serve::FilesSink>(*ground.files, *ground.clock, std::move(options)));
    }
    case SinkKind::kKafka: {
      serve::KafkaSinkOptions options;
      options.connection = serve.kafka.connection;
      options.abilities = stage.abilities;
      options.pipeline = stage.name;
      options.topic = into.empty() ? serve.kafka.topic : into;
      options.source_topic = stage.input_topic;
      options.source_partitions = source_partitions(solution, stage);
      options.source_cluster = stage.source_cluster;
      options.partitions = serve.kafka.partitions;
      options.exact = options.partitions > 0;
      // As the solution's input, not as the one partition that intervals come from: so it is for whoever
      // reads it.
      if (options.partitions == 0 && stage.input_topic != input_topic(solution) &&
          !is_rekeyed(solution, stage.input_topic))
        options.partitions = input_partitions(solution);
      options.replication = serve.kafka.replication > 0 ? serve.kafka.replication : -1;
      options.create = serve.kafka.create;
      options.at_least_once = serve.kafka.delivery == Delivery::kAtLeastOnce;
      set_transactions(serve.kafka, &options);
      options.dead_topic = dead;
      options.stateful = stage.plan.stateful;
      if (rebuild) options.form = serve::JsonForm::kRebuild;
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::KafkaSink>(std::move(options)));
    }
    case SinkKind::kPostgres:
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::PostgresSink>(
          *ground.clock, postgres_options(serve.postgres, ground, stage, into, dead)));
    case SinkKind::kDelta:
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::DeltaSink>(
          *ground.files, *ground.clock, Random::system(), delta_options(solution, ground, stage, into)));
    case SinkKind::kParquet:
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::ParquetSink>(
          *ground.files, *ground.clock, parquet_options(solution, ground, stage, into)));
    case SinkKind::kNull:
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::NullSink>());
  }
  return internal_error("no such sink");
}

std::unique_ptr<pipeline::Sink> make_between_sink(const Solution& solution, const Ground& ground,
                                                  const Stage& stage, const BetweenTopic& topic,
                                                  bool rebuild) {
  const serve::JsonForm form = rebuild ? serve::JsonForm::kRebuild : serve::JsonForm::kSplice;
  if (topic.in_kafka) {
    const KafkaSource& source = solution.ingest.kafka;
    serve::KafkaSinkOptions options;
    options.connection = source.connection;
    options.abilities = stage.abilities;
    options.pipeline = stage.name;
    options.topic = topic.name;
    options.dead_topic = topic.dead_letters;
    options.source_topic = stage.input_topic;
    options.source_cluster = stage.source_cluster;
    options.source_partitions = source_partitions(solution, stage);
    options.partitions = topic.partitions;
    options.exact = true;
    options.rekey = topic.rekey;
    if (solution.serve.kind == SinkKind::kKafka) set_transactions(solution.serve.kafka, &options);
    options.replication = source.replication > 0 ? source.replication : -1;
    options.create = source.create;
    options.stateful = stage.plan.stateful;
    options.form = form;
    return std::make_unique<serve::KafkaSink>(std::move(options));
  }
  serve::LogSinkOptions options;
  options.pipeline = stage.name;
  options.topic = topic.name;
  options.dead_topic = topic.dead_letters;
  options.source_topic = stage.input_topic;
  if (stage.from_kafka) options.source_partitions = source_partitions(solution, stage);
  options.partitions = topic.partitions;
  options.rekey = topic.rekey;
  options.max_batch_bytes = solution.log.options.max_batch_bytes;
  options.stateful = stage.plan.stateful;
  options.form = form;
  return std::make_unique<serve::LogSink>(*ground.log, std::move(options));
}

pg::Options postgres_connection(const PostgresSink& sink) {
  pg::Options options;
  options.connection = sink.connection;
  options.password = sink.password;
  return options;
}

}  // namespace tidemill::solution
