#include "solution/connect.h"

#include <algorithm>
#include <filesystem>

#include "base/file_system.h"
#include "kafka/connection.h"
#include "pg/connection.h"
#include "solution/delta_store.h"
#include "solution/sinks.h"
#include "solution/wire.h"

namespace tidemill::solution {
namespace {

// One word of a shell.
std::string shell_word(const std::string& text) {
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:,=@%+").find(c) != std::string_view::npos;
  });
  if (plain) return text;
  if (text.find_first_of("\"$`\\!") == std::string::npos) return '"' + text + '"';
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string absolute(const std::string& directory, const std::string& path) {
  std::error_code ignored;
  std::filesystem::path whole =
      std::filesystem::absolute(path.starts_with("/") ? path : join_path(directory, path), ignored);
  return whole.lexically_normal().string();
}

std::string duckdb_text(const DuckDbSink& sink, const ConnectRequest& request) {
  const std::string open = "duckdb -readonly " + shell_word(absolute(request.directory, sink.database));
  if (!request.live) return open + "\n";
  return "# The run goes on, and DuckDB lets nobody else open its file meanwhile; ask the run:\n"
         "# after tidemill stop " +
         request.run + ": " + open + "\n" + "tidemill query " + request.run + " " +
         shell_word("FROM " + sink.table + " LIMIT 10") + "\n";
}

Result<std::string> postgres_text(const PostgresSink& sink) {
  TM_ASSIGN(std::string connection, pg::connection_without_secrets(postgres_connection(sink)));
  return "# the password: PGPASSWORD, ~/.pgpass, or psql asks for it\npsql " + shell_word(connection) + "\n";
}

// What the console consumer of Kafka calls otherwise than librdkafka; secrets are left to the reader.
std::string client_file(const kafka::Properties& properties) {
  std::string protocol, mechanism;
  for (const auto& [name, value] : properties) {
    if (name == "security.protocol") protocol = value;
    if (name == "sasl.mechanism" || name == "sasl.mechanisms") mechanism = value;
  }
  if (protocol.empty() || protocol == "plaintext") return {};
  for (char& c : protocol) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  std::string text = "# client.properties must hold:\n#   security.protocol=" + protocol + "\n";
  if (!mechanism.empty()) {
    const char* module = mechanism == "PLAIN"         ? "plain.PlainLoginModule"
                         : mechanism == "OAUTHBEARER" ? "oauthbearer.OAuthBearerLoginModule"
                                                      : "scram.ScramLoginModule";
    text += "#   sasl.mechanism=" + mechanism + "\n#   sasl.jaas.config=org.apache.kafka.common.security." +
            module + " required username=\"…\" password=\"…\";\n";
  }
  for (const auto& [name, value] : properties) {
    if (name == "ssl.ca.location")
      text += "#   ssl.truststore.type=PEM\n#   ssl.truststore.location=" + value + "\n";
    if (name == "ssl.certificate.location")
      text += "#   ssl.keystore.type=PEM\n#   ssl.keystore.location=<a file of " + value + " and its key>\n";
  }
  return text;
}

Result<std::string> kafka_text(const KafkaSink& sink) {
  TM_ASSIGN(kafka::Properties properties, kafka::connection_properties(sink.connection));
  std::string brokers;
  for (const auto& [name, value] : properties) {
    if (name == "bootstrap.servers" || name == "metadata.broker.list") brokers = value;
  }
  const std::string file = client_file(properties);
  return file + "kafka-console-consumer.sh --bootstrap-server " + shell_word(brokers) + " --topic " +
         shell_word(sink.topic) + " --from-beginning --isolation-level read_committed" +
         (file.empty() ? "" : " --consumer.config client.properties") + "\n";
}

std::string files_text(const FilesSink& sink, const ConnectRequest& request) {
  const std::string folder = absolute(request.directory, sink.directory);
  return "# JSON Lines; duckdb -c \"FROM read_json_auto('" + folder + "/*-[0-9]*/*.jsonl')\"\n" +
         shell_word(folder) + "\n";
}

std::string parquet_text(const ParquetSink& sink, const ConnectRequest& request) {
  const std::string folder = absolute(request.directory, sink.directory);
  return "# Parquet; duckdb -c \"FROM read_parquet('" + folder +
         "/**/*.parquet', hive_partitioning = true)\", in Spark spark.read.parquet(\"" + folder + "\")\n" +
         shell_word(folder) + "\n";
}

// delta-rs and Spark take the same addresses, and each its own settings for the account's key or SAS.
std::string azure_text(const DeltaSink& sink) {
  const std::string url = table_url(sink.table);
  return "# a Delta table in Azure storage; the key: AZURE_STORAGE_ACCOUNT_KEY for delta-rs,\n"
         "# fs.azure.account.key.<account>.dfs.core.windows.net for Spark\n"
         "# in Spark spark.read.format(\"delta\").load(\"" +
         url + "\"), in Python deltalake.DeltaTable(\"" + url + "\")\n" + shell_word(url) + "\n";
}

std::string delta_text(const DeltaSink& sink, const ConnectRequest& request) {
  if (is_in_azure(sink)) return azure_text(sink);
  const std::string folder = absolute(request.directory, sink.table);
  return "# a Delta table: in Spark spark.read.format(\"delta\").load(\"" + folder +
         "\"), in Python deltalake.DeltaTable(\"" + folder + "\")\n" + shell_word(folder) + "\n";
}

}  // namespace

Result<std::string> connect_text(const Solution& solution, const ConnectRequest& request) {
  const ServeConfig& serve = solution.serve;
  switch (serve.kind) {
    case SinkKind::kDuckDb:
      return duckdb_text(serve.duckdb, request);
    case SinkKind::kPostgres:
      return postgres_text(serve.postgres);
    case SinkKind::kKafka:
      return kafka_text(serve.kafka);
    case SinkKind::kFiles:
      return files_text(serve.files, request);
    case SinkKind::kDelta:
      return delta_text(serve.delta, request);
    case SinkKind::kParquet:
      return parquet_text(serve.parquet, request);
    case SinkKind::kLog:
      return "tidemill log read " + request.run + " " + shell_word(serve.log.topic) + "\n";
    case SinkKind::kNull:
      break;
  }
  return user_error(solution.name + " serves nothing; there is no store to connect to");
}

}  // namespace tidemill::solution
