#include "solution/missing.h"

#include <algorithm>

#include "solution/settings.h"

namespace tidemill::solution {
namespace {

constexpr Need kCosmosDb{"serve.cosmosdb", "a Cosmos DB sink"};
constexpr Need kAzureSql{"serve.sqlserver", "an Azure SQL sink"};
constexpr Need kSynapse{"serve.synapse", "an Azure Synapse sink"};
constexpr Need kDelta{"serve.delta", "a Delta Lake sink"};
constexpr Need kDataExplorer{"serve.dataexplorer", "a Data Explorer sink"};
constexpr Need kParquet{"serve.parquet", "a Parquet sink"};
constexpr Need kJsonFiles{"ingest.files", "a source of JSON Lines files"};
constexpr Need kAvroFiles{"ingest.avro", "a source of Avro files"};
constexpr Need kIotHub{"simulate.iothub", "simulated devices of IoT Hub"};
constexpr Need kTwins{"process.twins", "an operator that keeps device twins"};
constexpr Need kLate{"process.late", "an operator that drops late events"};
constexpr Need kArrays{"serve.kafka.events_per_message", "several events in one output message"};
constexpr Need kAnomaly{"process.anomaly", "an operator that detects anomalies"};
constexpr Need kRules{"process.rules", "an operator that applies rules in SQL"};

constexpr std::string_view kUpsertDuckDb = "kafka-duckdb --set serve.duckdb.key=eventId";
constexpr std::string_view kUpsertDifference = "the same upsert by eventId, into a DuckDB table";
constexpr std::string_view kKeepDuckDb = "kafka-duckdb --variant keep-duplicates";
constexpr std::string_view kDeltaTable = "eventhubs-databricks-delta";
constexpr std::string_view kInsertOnce = "eventhubs-databricks-azuresql --set simulate.duplicate_every=never";

const std::vector<ReferenceSolution>& reference() {
  static const std::vector<ReferenceSolution> solutions = {
      {"akskafka-databricks-cosmosdb", "Kafka", "Cosmos DB", {kCosmosDb}, kUpsertDuckDb, kUpsertDifference},
      {"eventhubs-capture",
       "Avro files of Event Hubs Capture",
       "queries of the files",
       {kAvroFiles},
       "archive",
       "events into JSON Lines files, which tidemill query reads"},
      {"eventhubs-capture-databricks-delta",
       "Avro files of Event Hubs Capture",
       "Delta Lake",
       {kAvroFiles, kDelta},
       kDeltaTable,
       "straight from the topic, without files in between"},
      {"eventhubs-dataaccelerator-cosmosdb",
       "Event Hubs, IoT Hub or Kafka",
       "Cosmos DB",
       {kRules, kCosmosDb},
       kUpsertDuckDb,
       "the reference has a page but no scripts; events of your own and filters stand in a solution file"},
      {"eventhubs-databricks-azuresql", "Event Hubs", "Azure SQL", {}, "telemetry-postgres", "from the log"},
      {"eventhubs-databricks-cosmosdb",
       "Event Hubs",
       "Cosmos DB",
       {kCosmosDb},
       kUpsertDuckDb,
       kUpsertDifference},
      {"eventhubs-databricks-delta", "Event Hubs", "Delta Lake", {}, kKeepDuckDb, "into a DuckDB table"},
      {"eventhubs-dataexplorer",
       "Event Hubs",
       "Data Explorer",
       {kDataExplorer},
       kKeepDuckDb,
       "duplicates kept, into a DuckDB table with the same columns and SQL"},
      {"eventhubs-functions-azuresql",
       "Event Hubs",
       "Azure SQL",
       {kAzureSql},
       kInsertOnce,
       "by key into DuckDB or PostgreSQL"},
      {"eventhubs-functions-cosmosdb",
       "Event Hubs",
       "Cosmos DB",
       {kCosmosDb},
       kUpsertDuckDb,
       kUpsertDifference},
      {"eventhubs-streamanalytics-azuresql",
       "Event Hubs",
       "Azure SQL",
       {kAzureSql, kLate},
       kInsertOnce,
       "by key into DuckDB or PostgreSQL, late events kept"},
      {"eventhubs-streamanalytics-cosmosdb",
       "Event Hubs",
       "Cosmos DB",
       {kCosmosDb, kLate},
       kUpsertDuckDb,
       "the same upsert by eventId, late events kept, into a DuckDB table"},
      {"eventhubs-streamanalytics-eventhubs",
       "Event Hubs",
       "Event Hubs",
       {kArrays, kLate, kAnomaly},
       "eventhubskafka-flink-eventhubskafka --variant keep-duplicates",
       "one event a message, late events kept, no anomaly detection"},
      {"eventhubs-timeseriesinsights",
       "Event Hubs",
       "Time Series Insights",
       {kParquet},
       kKeepDuckDb,
       "duplicates kept, into a DuckDB table"},
      {"eventhubskafka-databricks-cosmosdb",
       "Event Hubs by Kafka's protocol",
       "Cosmos DB",
       {kCosmosDb},
       kUpsertDuckDb,
       kUpsertDifference},
      {"eventhubskafka-flink-eventhubskafka",
       "Event Hubs by Kafka's protocol",
       "Event Hubs by Kafka's protocol",
       {},
       "relay-kafka",
       "one cluster"},
      {"eventhubskafka-functions-cosmosdb",
       "Event Hubs by Kafka's protocol",
       "Cosmos DB",
       {kCosmosDb},
       kUpsertDuckDb,
       kUpsertDifference},
      {"hdinsightkafka-databricks-sqldw",
       "Kafka",
       "Azure Synapse",
       {kSynapse},
       kKeepDuckDb,
       "duplicates kept, into a DuckDB table, which is columnar, too"},
      {"hdinsightkafka-flink-hdinsightkafka", "Kafka", "Kafka", {}, "relay-kafka", "the same"},
      {"iothub-digitaltwins-timeseriesinsights",
       "IoT Hub",
       "Digital Twins and Time Series Insights",
       {kIotHub, kTwins, kParquet},
       "kafka-duckdb --set simulate.rate=50 --set serve.duckdb.key=deviceId",
       "the last event of each device, in a DuckDB table"},
      {"iothub-functions-azuresql",
       "IoT Hub",
       "Azure SQL",
       {kIotHub, kAzureSql},
       kInsertOnce,
       "from the log or Kafka by key into DuckDB or PostgreSQL"},
      {"sql-server-bdc-sensor", "Kafka", "Parquet tables", {}, "sensor", "into a DuckDB table"},
      {"storage-databricks-delta",
       "JSON Lines files that a function wrote",
       "Delta Lake",
       {kJsonFiles, kDelta},
       kDeltaTable,
       "straight from the topic, without files in between"},
  };
  return solutions;
}

}  // namespace

std::span<const ReferenceSolution> reference_solutions() {
  return reference();
}

const ReferenceSolution* find_reference_solution(std::string_view name) {
  auto found = std::find_if(reference().begin(), reference().end(),
                            [&](const ReferenceSolution& one) { return one.name == name; });
  return found == reference().end() ? nullptr : &*found;
}

std::string missing_parts(const ReferenceSolution& solution) {
  std::vector<std::string_view> words;
  for (const Need& need : solution.needs) {
    if (!is_section(need.part) && find_setting(need.part) == nullptr) words.push_back(need.words);
  }
  if (words.empty()) return "a solution file";
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

std::string why_missing(const ReferenceSolution& solution) {
  return std::string(solution.name) + " needs " + missing_parts(solution) +
         ", which Tidemill does not have yet; closest today: tidemill run " + std::string(solution.closest) +
         ": " + std::string(solution.difference);
}

}  // namespace tidemill::solution
