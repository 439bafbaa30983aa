#include "solution/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <tuple>

#include "base/testing/memory_files.h"
#include "solution/derive.h"
#include "solution/load.h"
#include "solution/missing.h"

namespace tidemill::solution {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kMine =
    "name: mine\ndescription: my own\nevent: sensor\nserve: {files: {directory: out}}\n";

Environment environment(const std::string& solutions) {
  return [solutions](const std::string& name) -> std::optional<std::string> {
    return name == "TIDEMILL_SOLUTIONS" && !solutions.empty() ? std::optional(solutions) : std::nullopt;
  };
}

class CatalogueTest : public ::testing::Test {
 protected:
  void put(const std::string& path, std::string_view text) {
    ASSERT_TRUE(files_.create_directories(parent_path(path)).ok());
    ASSERT_TRUE(write_file_atomically(files_, path, text).ok());
  }
  MemoryFiles files_;
};

TEST_F(CatalogueTest, FoldersAreSearchedInTheirOrder) {
  EXPECT_THAT(
      catalogue_folders(environment("/a:/b"), "/opt/tidemill/bin"),
      ::testing::ElementsAre("solutions", "/a", "/b", "/opt/tidemill/bin/../share/tidemill/solutions"));
  EXPECT_THAT(catalogue_folders(environment(""), ""), ::testing::ElementsAre("solutions"));
  EXPECT_NE(program_directory(), "");
}

TEST_F(CatalogueTest, TheStrongestOfANameIsFoundAndBuiltInOnesAreLast) {
  put("/a/relay.yaml", "first");
  put("/b/relay.yaml", "second");
  put("/b/mine.yml", kMine);
  put("/b/notes.txt", "not a solution");
  Catalogue catalogue(files_, {"/a", "/b", "/missing"});
  EXPECT_EQ(catalogue.find("relay")->text, "first");
  EXPECT_EQ(catalogue.find("relay")->file, "/a/relay.yaml");
  EXPECT_EQ(catalogue.find("mine")->file, "/b/mine.yml");
  EXPECT_EQ(catalogue.find("telemetry")->file, "built-in telemetry.yaml");
  EXPECT_THAT(catalogue.find("telemetry")->text, HasSubstr("name: telemetry"));
  std::vector<std::string> names;
  for (const SolutionFile& file : catalogue.list()) names.push_back(file.name);
  EXPECT_THAT(names, ::testing::IsSupersetOf({"mine", "relay", "sensor", "telemetry"}));
  EXPECT_THAT(names, ::testing::Not(::testing::Contains("notes")));
}

TEST_F(CatalogueTest, PathsAreReadAsTheyAre) {
  put("/x/weather.yaml", kMine);
  Catalogue catalogue(files_, {});
  EXPECT_EQ(catalogue.find("/x/weather.yaml")->name, "weather");
  EXPECT_EQ(catalogue.find("/x/wether.yaml").error().message,
            "/x/wether.yaml: no such file; did you mean weather.yaml?");
  EXPECT_EQ(catalogue.find("/x/orders.yaml").error().message,
            "/x/orders.yaml: no such file; `tidemill solutions` lists what can be run by name");
}

TEST_F(CatalogueTest, AnUnknownNameGetsTheNearest) {
  Catalogue catalogue(files_, {});
  Error error = catalogue.find("telemetri").error();
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_THAT(error.message, HasSubstr("no solution is called telemetri; did you mean telemetry?"));
}

TEST_F(CatalogueTest, EveryNameOfTheReferenceIsFoundOrSaysWhatItLacks) {
  Catalogue catalogue(files_, {});
  for (const ReferenceSolution& one : reference_solutions()) {
    const std::string name(one.name);
    Result<SolutionFile> found = catalogue.find(name);
    if (found.ok()) continue;
    EXPECT_EQ(found.error().domain, Domain::kUser);
    EXPECT_EQ(found.error().message, why_missing(one));
    EXPECT_THAT(found.error().message,
                HasSubstr("which Tidemill does not have yet; closest today: tidemill run "));
    EXPECT_FALSE(one.needs.empty()) << name;
  }
  EXPECT_EQ(catalogue.find("eventhubs-functions-cosmosdb").error().message,
            "eventhubs-functions-cosmosdb needs a Cosmos DB sink, which Tidemill does not have yet; closest "
            "today: tidemill run kafka-duckdb --set serve.duckdb.key=eventId: the same upsert by eventId, "
            "into a DuckDB table");
  EXPECT_THAT(catalogue.find("eventhubs-function-cosmosdb").error().message,
              HasSubstr("did you mean eventhubs-functions-cosmosdb?"));
}

// Section 3.24 of the reference's facts: rate, latency, share of duplicates.
TEST_F(CatalogueTest, TheReferencesSizesAndLimitsAreAsItsRunnersPassThem) {
  Catalogue catalogue(files_, {});
  for (const char* name : {"eventhubs-databricks-azuresql", "eventhubskafka-flink-eventhubskafka",
                           "hdinsightkafka-flink-hdinsightkafka"}) {
    Result<SolutionFile> file = catalogue.find(name);
    ASSERT_TRUE(file.ok());
    LoadRequest request{file->file, file->text, {}, {}, environment("")};
    for (const auto& [size, rate, instances] :
         {std::tuple<const char*, double, int>{"1", 1000, 1}, {"5", 5000, 3}, {"10", 10'000, 5}}) {
      SCOPED_TRACE(std::string(name) + " " + size);
      request.size = size;
      Result<Loaded> loaded = load_solution(request);
      ASSERT_TRUE(loaded.ok()) << loaded.error().message;
      EXPECT_EQ(loaded->solution.simulate.options.rate, rate);
      EXPECT_EQ(loaded->solution.simulate.options.instances, instances);
      const ReferenceLimits limits = reference_limits(loaded->solution);
      EXPECT_EQ(limits.min_rate, rate * 0.9);
      EXPECT_EQ(limits.max_latency_us, 15'000'000);
      EXPECT_EQ(limits.max_duplicates, 0.0);
      EXPECT_EQ(limits.max_out_of_sequence, 1.0);
    }
  }
}

TEST_F(CatalogueTest, ExplainsOneSolution) {
  Catalogue catalogue(files_, {});
  Result<std::string> text = overview_text(*catalogue.find("eventhubs-databricks-azuresql"), environment(""));
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_THAT(*text, HasSubstr("DuckDB table rawdata in place of Azure SQL Database\n"));
  EXPECT_THAT(*text, HasSubstr("PostgreSQL table rawdata in place of Azure SQL Database\n"));
  EXPECT_THAT(*text, ::testing::ContainsRegex("\n  columnstore +serve.postgres.table rawdata_cs"));
  EXPECT_THAT(*text, ::testing::ContainsRegex("\n  20 +event.complex_count 10, simulate.rate 20000"));
  EXPECT_THAT(*text, HasSubstr("at least 900 events/s, latency at most 15s, duplicates at most 0"));
}

TEST_F(CatalogueTest, WhatComesClosestCanBeRun) {
  Catalogue catalogue(files_, {});
  for (const ReferenceSolution& one : reference_solutions()) {
    SCOPED_TRACE(one.name);
    std::istringstream words{std::string(one.closest)};
    std::string word, value;
    words >> word;
    Result<SolutionFile> file = catalogue.find(word);
    ASSERT_TRUE(file.ok()) << file.error().message;
    LoadRequest request{file->file, file->text, {}, {}, environment("")};
    while (words >> word >> value) {
      if (word == "--variant") request.variant = value;
      if (word == "--set") request.overrides.push_back(*parse_set(value));
    }
    Result<Loaded> loaded = load_solution(request);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
  }
}

TEST(Missing, APartThatIsThereIsNoLongerMissing) {
  ReferenceSolution one{"x", "", "", {{"serve.duckdb", "a DuckDB sink"}, {"serve.y", "a y"}}, "", ""};
  EXPECT_EQ(missing_parts(one), "a y");
  one.needs.push_back({"serve.z", "a z"});
  EXPECT_EQ(missing_parts(one), "a y and a z");
  one.needs.erase(one.needs.begin() + 1, one.needs.end());
  EXPECT_EQ(missing_parts(one), "a solution file");
}

TEST_F(CatalogueTest, ListsWhatEachDoesAndBadFilesWithTheirFault) {
  put("/a/mine.yaml", kMine);
  put("/a/broken.yaml", "event: sensor\n");
  Catalogue catalogue(files_, {"/a"});
  std::string text = catalogue_text(catalogue.list(), environment(""));
  EXPECT_THAT(text, HasSubstr("log telemetry → DuckDB table rawdata"));
  EXPECT_THAT(text, HasSubstr("1 5 10 max"));
  EXPECT_THAT(text, HasSubstr("exactly-once"));
  EXPECT_THAT(text, HasSubstr("log mine → files in out"));
  EXPECT_THAT(text, HasSubstr("/a/broken.yaml:1: serve: is missing"));
  EXPECT_THAT(text, ::testing::ContainsRegex("\nnot available yet +needs\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("eventhubs-dataexplorer +a Data Explorer sink\n"));
  EXPECT_THAT(catalogue_json(catalogue.list(), environment("")),
              HasSubstr(R"({"name":"eventhubs-dataexplorer","available":false,)"));
  EXPECT_THAT(catalogue_json(catalogue.list(), environment("")),
              HasSubstr(R"("name":"mine","available":true,"file":"/a/mine.yaml")"));
}

}  // namespace
}  // namespace tidemill::solution
