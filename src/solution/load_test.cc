#include "solution/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "event/json_decoder.h"
#include "solution/settings.h"

namespace tidemill::solution {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kTestdata = std::string(TIDEMILL_SOURCE_DIR) + "/src/solution/testdata/";

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// TIDEMILL_UPDATE=1 writes what the code says now; the change is then to be read and committed.
void expect_same_as_file(const std::string& path, const std::string& text) {
  if (std::getenv("TIDEMILL_UPDATE") != nullptr) std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(read(path), text) << path << "\nTIDEMILL_UPDATE=1 writes it anew";
}

Environment environment(std::map<std::string, std::string> values) {
  return [values](const std::string& name) -> std::optional<std::string> {
    auto found = values.find(name);
    return found == values.end() ? std::nullopt : std::optional(found->second);
  };
}

LoadRequest request(const std::string& text) {
  return {"test.yaml", text, {}, {}, environment({})};
}
LoadRequest request_with(const std::string& text, const std::vector<std::string>& sets) {
  LoadRequest with = request(text);
  for (const std::string& set : sets) with.overrides.push_back(*parse_set(set));
  return with;
}

std::string error_of(const LoadRequest& wrong) {
  Result<Loaded> loaded = load_solution(wrong);
  return loaded.ok() ? "no error" : loaded.error().message;
}

const ShownSetting& shown(const Loaded& loaded, const std::string& path) {
  static const ShownSetting none;
  for (const ShownSetting& setting : loaded.settings) {
    if (setting.path == path) return setting;
  }
  ADD_FAILURE() << path << " is not shown";
  return none;
}

constexpr const char* kRelay = R"(
name: relay
event: telemetry
simulate: {rate: 1000, instances: 1}
ingest:
  log: {topic: relay-in, partitions: 2}
process:
  - enrich: [enqueuedAt, processedAt]
  - dedup
serve:
  log: {topic: relay-out}
sizes:
  1: {}
  10:
    simulate.rate: 10000
    process.dedup.last: 50
)";

TEST(Load, SaysEveryProblemOfEveryBadFile) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kTestdata + "bad")) {
    if (entry.path().extension() != ".yaml") continue;
    LoadRequest bad = request(read(entry.path()));
    bad.file = entry.path().filename();
    bad.environment = environment({{"RATE", "quick"}, {"SECRET_SEED", "hunter2"}, {"EMPTY", ""}});
    SCOPED_TRACE(bad.file);
    std::string message = error_of(bad);
    EXPECT_THAT(message, Not(HasSubstr("hunter2")));
    std::filesystem::path expected = entry.path();
    expect_same_as_file(expected.replace_extension(".txt"), message + "\n");
    ++files;
  }
  EXPECT_GE(files, 30u);
}

TEST(Load, EverySolutionOfTheCatalogueLoadsInEverySize) {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(TIDEMILL_SOURCE_DIR) + "/solutions")) {
    if (entry.path().extension() != ".yaml") continue;
    LoadRequest file = request(read(entry.path()));
    Result<Loaded> loaded = load_solution(file);
    ASSERT_TRUE(loaded.ok()) << entry.path() << loaded.error().message;
    EXPECT_EQ(loaded->solution.name + ".yaml", entry.path().filename());
    EXPECT_FALSE(loaded->solution.description.empty());
    std::vector<std::string> targets = {""}, variants = {""}, sizes = {""};
    for (const Preset& preset : loaded->targets) targets.push_back(preset.name);
    for (const Preset& preset : loaded->variants) variants.push_back(preset.name);
    for (const Preset& preset : loaded->sizes) sizes.push_back(preset.name);
    for (const std::string& target : targets) {
      for (const std::string& variant : variants) {
        for (const std::string& size : sizes) {
          file.target = target;
          file.variant = variant;
          file.size = size;
          Result<Loaded> one = load_solution(file);
          EXPECT_TRUE(one.ok()) << entry.path() << " " << target << " " << variant << " " << size << "\n"
                                << one.error().message;
        }
      }
    }
  }
}

TEST(Load, AVariantIsStrongerThanTheFileAndWeakerThanASize) {
  const std::string text = std::string(kRelay) + R"(
variants:
  keep:
    simulate.rate: 20
    ingest.log.partitions: 3
    process:
      - enrich: [enqueuedAt]
  narrow: {process.dedup.last: 5}
)";
  LoadRequest asked = request(text);
  asked.variant = "narrow";
  Result<Loaded> loaded = load_solution(asked);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->solution.process[1].dedup.last, 5);
  ASSERT_EQ(loaded->variants.size(), 2u);
  EXPECT_EQ(loaded->variants[1].name, "narrow");
  EXPECT_EQ(loaded->variants[1].settings, "process.dedup.last 5");
  EXPECT_THAT(shown(*loaded, "process.2.dedup.last").origin, HasSubstr(", variant narrow"));
  asked.size = "10";
  EXPECT_EQ(load_solution(asked)->solution.process[1].dedup.last, 50);
  asked.size = "1";
  asked.variant = "keep";
  loaded = load_solution(asked);
  EXPECT_FALSE(loaded.ok()) << "size 10 has a setting of the dedup, which this variant lacks";
  asked.text.replace(asked.text.find("    process.dedup.last: 50\n"), 27, "");
  asked.text.replace(asked.text.find("  narrow: {process.dedup.last: 5}\n"), 34, "");
  loaded = load_solution(asked);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->solution.process.size(), 1u);
  EXPECT_EQ(loaded->solution.ingest.log.partitions, 3);
  EXPECT_EQ(loaded->solution.simulate.options.rate, 20);
  asked.variant = "other";
  EXPECT_EQ(error_of(asked), "--variant other: variants: no such variant; give one of keep");
}

constexpr const char* kTargets = R"(
name: two
event: telemetry
simulate: {rate: 1000}
ingest: {kafka: {brokers: "b:9092", topic: in}}
serve: {postgres: {connection: "postgresql://h/d", mode: upsert, key: eventId}}
replaces: {serve: Azure SQL Database}
targets:
  embedded: {ingest: log, ingest.log.topic: here, serve: duckdb}
  local: {}
variants:
  other: {serve.postgres.table: t2, serve.duckdb.table: t3}
sizes:
  1: {ingest.kafka.partitions: 3, ingest.log.partitions: 5}
)";

TEST(Load, ATargetGivesSourceAndSinkAndEmbeddedIsTheDefault) {
  LoadRequest asked = request(kTargets);
  Result<Loaded> loaded = load_solution(asked);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->target, "embedded");
  EXPECT_EQ(loaded->solution.ingest.kind, SourceKind::kLog);
  EXPECT_EQ(loaded->solution.ingest.log.topic, "here");
  EXPECT_EQ(loaded->solution.ingest.log.partitions, 5);
  EXPECT_TRUE(is_embedded(loaded->solution));
  EXPECT_THAT(replacements(*loaded),
              ::testing::ElementsAre("log here in place of Kafka",
                                     "DuckDB table rawdata in place of Azure SQL Database"));
  asked.target = "local";
  asked.variant = "other";
  loaded = load_solution(asked);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->solution.ingest.kafka.partitions, 3);
  EXPECT_EQ(loaded->solution.serve.postgres.table, "t2");
  EXPECT_THAT(replacements(*loaded),
              ::testing::ElementsAre("PostgreSQL table t2 in place of Azure SQL Database"));
  asked.target = "";
  EXPECT_EQ(load_solution(asked)->target, "");
  EXPECT_EQ(load_solution(asked)->solution.ingest.kind, SourceKind::kKafka);
}

TEST(Load, SaysWhichTargetsThereAre) {
  LoadRequest asked = request(kTargets);
  asked.target = "cloud";
  EXPECT_EQ(error_of(asked), "--target cloud: targets: no such target; give one of embedded, local");
  asked.target.reset();
  asked.overrides.push_back(*parse_set("serve.postgres.table=x"));
  EXPECT_EQ(
      error_of(asked),
      "--set serve.postgres.table=x: serve.postgres.table: this target of the solution serves to duckdb; "
      "give another --target: embedded, local");
  asked = request(kRelay);
  asked.target = "embedded";
  EXPECT_EQ(error_of(asked), "no error");
  asked.target = "local";
  EXPECT_EQ(
      error_of(asked),
      "--target local: targets: this solution uses no server and has no other target; leave --target away");
  asked = request("event: sensor\ningest: {kafka: {brokers: b}}\nserve: duckdb\n");
  asked.target = "embedded";
  EXPECT_THAT(error_of(asked), HasSubstr("this solution uses a server, and its file says no target"));
}

TEST(Load, WhatASizeSaysOfAnotherTargetIsCheckedToo) {
  LoadRequest asked = request(kTargets);
  asked.text.replace(asked.text.find("ingest.kafka.partitions: 3"), 26, "ingest.kafka.partitions: x");
  EXPECT_THAT(error_of(asked), HasSubstr("ingest.kafka.partitions: \"x\" is not a whole number"));
  asked = request(kTargets);
  asked.text.replace(asked.text.find("ingest.kafka.partitions: 3"), 26, "serve.files.roll_bytes: 1MB");
  EXPECT_THAT(error_of(asked), HasSubstr("this solution serves to duckdb; set serve=files first"));
}

TEST(Load, AStrangersFileIsTenLines) {
  std::string text = read(std::string(TIDEMILL_SOURCE_DIR) + "/examples/weather/weather.yaml");
  EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 10);
  Result<Loaded> loaded = load_solution(request(text));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_THAT(read(std::string(TIDEMILL_SOURCE_DIR) + "/docs/your-own-data.md"),
              HasSubstr("```yaml\n" + text + "```\n"));
}

TEST(Load, DefaultsAreThoseOfTheModulesAndFollowOtherSettings) {
  Result<Loaded> loaded = load_solution(request("event: telemetry\nserve: duckdb\nprocess: [dedup]\n"));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Solution& solution = loaded->solution;
  EXPECT_EQ(solution.name, "test");
  EXPECT_EQ(solution.ingest.log.topic, "test");
  EXPECT_FALSE(solution.simulate.enabled);
  EXPECT_EQ(solution.event.schema.find("complexData.moreData22") >= 0, true);
  EXPECT_EQ(solution.process[0].dedup.id, "eventId");
  EXPECT_EQ(solution.process[0].dedup.key, "deviceId");
  EXPECT_EQ(solution.process[0].dedup.last, 100);
  EXPECT_EQ(solution.dead_letters.name, "dead_letters");
  EXPECT_EQ(solution.pipeline.limits.interval_us, pipeline::EpochLimits().interval_us);
  EXPECT_EQ(solution.log.options.durability, log::Durability::kSync);
  EXPECT_EQ(shown(*loaded, "ingest.log.topic").origin, "as name");
  EXPECT_EQ(shown(*loaded, "pipeline.tasks").value, "auto");
}

TEST(Load, EveryDefaultCanBeWrittenIntoAFileAndReadsBackTheSame) {
  for (const Setting& setting : all_settings()) {
    Solution solution;
    OperatorConfig step;
    Target target{&solution, &step};
    std::string text = setting.get(target);
    bool list = setting.type == ValueType::kList || setting.type == ValueType::kPairs ||
                setting.type == ValueType::kFields;
    if (list || text.empty()) continue;
    EXPECT_EQ(setting.set(target, {{text}, {}}), std::nullopt) << setting.path << " " << text;
    EXPECT_EQ(setting.get(target), text) << setting.path;
    EXPECT_FALSE(setting.help.empty()) << setting.path;
  }
}

TEST(Load, TheStrongerSettingWins) {
  LoadRequest relay = request(kRelay);
  auto rate = [&] { return *load_solution(relay); };
  EXPECT_EQ(rate().size, "1");
  EXPECT_EQ(rate().solution.simulate.options.rate, 1000);
  EXPECT_EQ(shown(rate(), "simulate.rate").origin, "test.yaml:4");
  relay.size = "10";
  EXPECT_EQ(rate().solution.simulate.options.rate, 10000);
  EXPECT_EQ(rate().solution.process[1].dedup.last, 50);
  EXPECT_EQ(shown(rate(), "simulate.rate").origin, "test.yaml:15, size 10");
  EXPECT_EQ(shown(rate(), "process.2.dedup.last").origin, "test.yaml:16, size 10");
  relay.overrides.push_back({"simulate.rate", "max", "--rate"});
  EXPECT_EQ(rate().solution.simulate.options.rate, 0);
  EXPECT_EQ(shown(rate(), "simulate.rate").origin, "--rate");
  relay.overrides.push_back(*parse_set("simulate.rate = 2.5k"));
  EXPECT_EQ(rate().solution.simulate.options.rate, 2500);
  EXPECT_EQ(shown(rate(), "simulate.rate").value, "2500");
  EXPECT_EQ(shown(rate(), "simulate.rate").origin, "--set");
}

TEST(Load, SetReachesEveryKindOfSetting) {
  LoadRequest relay =
      request_with(kRelay, {"process.1.enrich=[offset, partition]", "process.2.dedup.last=off",
                            "process.dedup.horizon=10m", "serve=duckdb", "serve.duckdb.key=eventId,deviceId",
                            "log.durability=none", "duration=30m", "ingest.log.start=2026-11-21T09:00:00Z",
                            "simulate.seed=7", "observe.prometheus=9400"});
  Result<Loaded> loaded = load_solution(relay);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Solution& solution = loaded->solution;
  EXPECT_THAT(solution.process[0].enrich.fields, ::testing::ElementsAre("offset", "partition"));
  EXPECT_EQ(solution.process[1].dedup.horizon_us, 600'000'000);
  EXPECT_EQ(solution.process[1].dedup.last, 0);
  EXPECT_EQ(solution.serve.kind, SinkKind::kDuckDb);
  EXPECT_THAT(solution.serve.duckdb.key, ::testing::ElementsAre("eventId", "deviceId"));
  EXPECT_EQ(solution.log.options.durability, log::Durability::kNone);
  EXPECT_EQ(solution.duration_us, 1'800'000'000);
  EXPECT_EQ(solution.simulate.options.duration_us, 1'800'000'000);
  EXPECT_EQ(solution.ingest.log.start.kind, StartAt::kTime);
  EXPECT_EQ(shown(*loaded, "ingest.log.start").value, "2026-11-21T09:00:00Z");
  EXPECT_EQ(solution.simulate.options.seed, 7u);
  EXPECT_EQ(solution.observe.prometheus_port, 9400);
  EXPECT_EQ(guarantee_summary(solution), "exactly-once, but for a power cut");
}

TEST(Load, WrongOptionsAreCitedAsTheyWereGiven) {
  LoadRequest relay =
      request_with(kRelay, {"simulate.rtae=1", "simulate.rate=fast", "serve.duckdb.table=x",
                            "process.3.dedup.last=1", "process.filter.where=true", "simulate=wave",
                            "pipeline=3", "event.fields=x", "serve.log.topic=relay-in"});
  relay.overrides.push_back({"ingest.log.partitions", "0", "--partitions"});
  relay.size = "100";
  expect_same_as_file(kTestdata + "options.txt", error_of(relay) + "\n");
  EXPECT_EQ(parse_set("simulate.rate").error().message,
            "--set simulate.rate: give a setting and its value, as --set simulate.rate=5000");
  EXPECT_FALSE(parse_set("=5").ok());
  EXPECT_EQ(parse_set("process.filter.where=a = b")->value, "a = b");
}

TEST(Load, NoSizesIsSaidToWhoAsksForOne) {
  LoadRequest plain = request("event: sensor\nserve: duckdb\n");
  plain.size = "10";
  EXPECT_EQ(error_of(plain), "--size 10: sizes: this solution has no sizes; leave --size away");
}

TEST(Load, TheEnvironmentFillsInAndSecretsStayHidden) {
  LoadRequest file = request(R"(
event: telemetry
description: "${WHO:-nobody} of $${HOME}"
simulate: {profile: template, template: '{"eventId":"${guid}"}', rate: "${RATE}"}
ingest: {log: {topic: "in-${STAGE}-${STAGE}", partitions: "${PARTITIONS:-3}"}}
serve: {duckdb: {table: "${DB_PASSWORD}"}}
)");
  file.environment =
      environment({{"RATE", "5k"}, {"STAGE", "test"}, {"PARTITIONS", ""}, {"DB_PASSWORD", "hunter2"}});
  Result<Loaded> loaded = load_solution(file);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->solution.description, "nobody of ${HOME}");
  EXPECT_EQ(loaded->solution.simulate.options.rate, 5000);
  EXPECT_EQ(loaded->solution.simulate.options.template_text, R"({"eventId":"${guid}"})");
  EXPECT_EQ(loaded->solution.ingest.log.topic, "in-test-test");
  EXPECT_EQ(loaded->solution.ingest.log.partitions, 3);
  EXPECT_EQ(loaded->solution.serve.duckdb.table, "hunter2");
  EXPECT_EQ(shown(*loaded, "simulate.rate").origin, "test.yaml:4, ${RATE}");
  EXPECT_EQ(shown(*loaded, "serve.duckdb.table").value, "***");
  EXPECT_THAT(show_text(*loaded), Not(HasSubstr("hunter2")));
  EXPECT_THAT(show_json(*loaded), Not(HasSubstr("hunter2")));
}

TEST(Load, ShowsEveryValueAndWhereItCameFrom) {
  LoadRequest relay = request(kRelay);
  relay.size = "10";
  Result<Loaded> loaded = load_solution(relay);
  ASSERT_TRUE(loaded.ok());
  expect_same_as_file(kTestdata + "show.txt", show_text(*loaded));
  EXPECT_TRUE(is_valid_json_object(show_json(*loaded)));
}

TEST(Load, DeadLettersAreApartFromTheEvents) {
  const auto error = [](const std::string& serve, const std::string& letters) {
    return error_of(request("event: telemetry\nserve: {" + serve + "}\ndead_letters: " + letters + "\n"));
  };
  const std::string azure = "abfss://data@acme.dfs.core.windows.net/tables/lake/";
  for (const char* table : {"lake", "a/lake", "./a//lake/", "/data/lake", azure.c_str(),
                            "https://acme.blob.core.windows.net/data/tables/lake"}) {
    const std::string delta = "delta: {table: '" + std::string(table) + "', azure.key: c2VjcmV0}";
    const std::string parquet = "parquet: {directory: '" + std::string(table) + "'}";
    EXPECT_THAT(error(delta, "lake/dead"),
                HasSubstr("dead_letters.name: lake/dead is in the table of the events; give another"));
    EXPECT_THAT(error(delta, "./lake"),
                HasSubstr("dead_letters.name: ./lake is the table of the events; give another"));
    EXPECT_EQ(error(delta, "lake-dead"), "no error");
    if (azure::is_azure_url(table)) continue;
    EXPECT_THAT(error(parquet, "lake/dead"), HasSubstr("lake/dead is in the folder of the events"));
    EXPECT_EQ(error(parquet, "lake-dead"), "no error");
  }
  EXPECT_THAT(error("files: {directory: a/b}", "a"), HasSubstr("a has in it the folder of the events"));
  EXPECT_EQ(error("files: {directory: a/b}", "a/c"), "no error");
}

TEST(Load, OwnFieldsMakeASchema) {
  Result<Loaded> loaded = load_solution(request(R"(
event:
  fields:
    station: text required
    temp: {type: double, path: reading.temp}
    reading.wind: float not null
    at: timestamp
  key: station
  time: at
serve: duckdb
)"));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Schema& schema = loaded->solution.event.schema;
  ASSERT_EQ(schema.fields.size(), 4u);
  EXPECT_FALSE(schema.fields[0].nullable);
  EXPECT_THAT(schema.fields[1].path, ::testing::ElementsAre("reading", "temp"));
  EXPECT_EQ(schema.fields[1].type, Type::kDouble);
  EXPECT_TRUE(schema.fields[1].nullable);
  EXPECT_THAT(schema.fields[2].path, ::testing::ElementsAre("reading", "wind"));
  EXPECT_FALSE(schema.fields[2].nullable);
  EXPECT_EQ(schema.key_field, "station");
  EXPECT_EQ(schema.time_field, "at");
  EXPECT_EQ(schema.id_field, "");
  EXPECT_EQ(shown(*loaded, "event.fields").value,
            "{station: text required, temp: double, reading.wind: double required, at: timestamp}");
}

TEST(Load, ReadsWhatYamlWouldTakeForSomethingElse) {
  Result<Loaded> loaded = load_solution(request(R"(
name: "007"
description: on
event: {fields: {no: text, y: double}}
ingest: {log: {topic: 1e3, partitions: "4", create: off}}
process: [{filter: no = 'on' and y > 1}]
serve: null
)"));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->solution.name, "007");
  EXPECT_EQ(loaded->solution.description, "on");
  EXPECT_EQ(loaded->solution.ingest.log.topic, "1e3");
  EXPECT_EQ(loaded->solution.ingest.log.partitions, 4);
  EXPECT_FALSE(loaded->solution.ingest.log.create);
  EXPECT_EQ(loaded->solution.serve.kind, SinkKind::kNull);
  EXPECT_EQ(guarantee_summary(loaded->solution), "none");
}

TEST(Load, ACountEndsARunUnlessADurationIsAskedFor) {
  EXPECT_EQ(load_solution(request_with(kRelay, {"simulate.count=100"}))->solution.duration_us, -1);
  EXPECT_EQ(load_solution(request_with(kRelay, {"simulate.count=100", "duration=5s"}))->solution.duration_us,
            5'000'000);
  EXPECT_EQ(load_solution(request(kRelay))->solution.simulate.options.duration_us, 60'000'000);
}

TEST(Load, ReferenceRulesBringTheReferenceLimits) {
  const Solution relay = load_solution(request_with(kRelay, {"verify.rules=reference"}))->solution;
  EXPECT_EQ(relay.verify.min_rate, 900);
  EXPECT_EQ(relay.verify.max_latency_us, 15'000'000);
  EXPECT_EQ(relay.verify.max_duplicates, 0);
  EXPECT_EQ(relay.verify.max_out_of_sequence, 1);
  const Solution plain =
      load_solution(request("event: telemetry\nserve: duckdb\nverify: {rules: reference, max_latency: 1s}\n"))
          ->solution;
  EXPECT_EQ(plain.verify.min_rate, 0);
  EXPECT_EQ(plain.verify.max_latency_us, 1'000'000);
  EXPECT_EQ(plain.verify.max_duplicates, 0.0011);
}

TEST(Load, TasksAreOnePerCoreAndNeverMoreThanPartitions) {
  Solution solution = load_solution(request(kRelay))->solution;
  EXPECT_EQ(task_count(solution, 8), 2);
  EXPECT_EQ(task_count(solution, 1), 1);
  solution.ingest.log.partitions = 16;
  EXPECT_EQ(task_count(solution, 8), 8);
  solution.pipeline.tasks = 3;
  EXPECT_EQ(task_count(solution, 8), 3);
}

}  // namespace
}  // namespace tidemill::solution
