#include "verify/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>
#include <set>

#include "verify/testing/planted_run.h"

namespace tidemill::verify {
namespace {

using ::testing::HasSubstr;

enum class StoreKind { kTopic, kDuck, kFiles };

struct Counts {
  uint64_t lost = 0, duplicated = 0, unexpected = 0, altered = 0, out_of_order = 0;
};

// Every test runs with a topic, with DuckDB and with files as the store.
class Verify : public ::testing::TestWithParam<StoreKind> {
 protected:
  VerifyRequest request(PlantedRun& run) {
    switch (GetParam()) {
      case StoreKind::kDuck:
        return run.with_duck_store();
      case StoreKind::kFiles:
        return run.with_files_store();
      case StoreKind::kTopic:
        break;
    }
    return run.with_topic_store();
  }
  Verdict judge(PlantedRun& run) { return verify(request(run)); }

  static void expect(const Verdict& verdict, const Counts& counts) {
    EXPECT_EQ(verdict.lost, counts.lost) << to_table(verdict);
    EXPECT_EQ(verdict.duplicated, counts.duplicated) << to_table(verdict);
    EXPECT_EQ(verdict.unexpected, counts.unexpected) << to_table(verdict);
    EXPECT_EQ(verdict.altered, counts.altered) << to_table(verdict);
    EXPECT_EQ(verdict.out_of_order, counts.out_of_order) << to_table(verdict);
    EXPECT_FALSE(verdict.pass);
  }
};

INSTANTIATE_TEST_SUITE_P(Stores, Verify,
                         ::testing::Values(StoreKind::kTopic, StoreKind::kDuck, StoreKind::kFiles),
                         [](const auto& each) {
                           return each.param == StoreKind::kTopic  ? "Topic"
                                  : each.param == StoreKind::kDuck ? "Duck"
                                                                   : "Files";
                         });

void replace_in(std::string* text, const std::string& from, const std::string& to) {
  size_t at = text->find(from);
  ASSERT_NE(at, std::string::npos);
  text->replace(at, from.size(), to);
}

// The number behind `"name":`.
std::string number_of(const std::string& json, const std::string& name) {
  size_t at = json.find("\"" + name + "\":") + name.size() + 3;
  return json.substr(at, json.find_first_of(",}", at) - at);
}

// Position among the rows of the n-th whose event was sent more than once.
size_t row_with_copy(const PlantedRun& run) {
  for (size_t a = 0; a < run.rows.size(); ++a) {
    for (size_t b = a + 1; b < run.rows.size(); ++b) {
      if (run.rows[a].name == run.rows[b].name) return b;
    }
  }
  return run.rows.size();
}

TEST_P(Verify, PassesWhatIsRightWithoutDedup) {
  PlantedRun run(planted_manifest(), false);
  Verdict verdict = judge(run);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.stored, run.rows.size());
  EXPECT_EQ(verdict.expected, run.rows.size());
  EXPECT_EQ(verdict.dead_letters, run.dead.size());
  EXPECT_EQ(verdict.dead_letters_expected, run.dead.size());
  EXPECT_EQ(verdict.copies_sent, run.events.size() - 400);
  EXPECT_GT(verdict.copies_sent, 10u);
  EXPECT_GT(verdict.dead_letters, 3u);
}

TEST_P(Verify, PassesWhatIsRightWithDedup) {
  PlantedRun run(planted_manifest(), true);
  Verdict verdict = judge(run);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.stored, run.rows.size());
  EXPECT_EQ(verdict.stored + verdict.dropped + verdict.dead_letters, run.events.size());
}

TEST_P(Verify, PassesWithoutPositionsInTheStore) {
  for (bool dedup : {false, true}) {
    PlantedRun run(planted_manifest(), dedup);
    run.with_positions = false;
    run.output_partitions = 2;
    Verdict verdict = judge(run);
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
  }
}

// Whatever the store keeps of them, and whoever sent them.
TEST_P(Verify, EventsThatAreTooLongAreDeadLetters) {
  for (const auto& [positions, manifests] :
       {std::pair{true, true}, {false, true}, {true, false}, {false, false}}) {
    PlantedRun run(planted_manifest(), false);
    run.with_positions = positions;
    size_t longest = 0;
    for (const PlantedEvent& event : run.events) {
      if (!event.malformed) longest = std::max(longest, event.value.size());
    }
    const size_t limit = longest - 1;
    for (PlantedDeadLetter& letter : run.dead) letter.value = letter.value.substr(0, limit);
    size_t too_long = 0;
    for (const PlantedEvent& event : run.events) {
      if (event.value.size() <= limit || event.malformed) continue;
      ++too_long;
      std::erase_if(run.rows, [&](const PlantedRow& row) {
        return row.partition == event.partition && row.offset == event.offset;
      });
      run.dead.push_back({.partition = event.partition,
                          .offset = event.offset,
                          .reason = "too long",
                          .value = event.value.substr(0, limit)});
    }
    ASSERT_GT(too_long, 0u);
    auto judged = [&, with_manifests = manifests](size_t event_limit) {
      VerifyRequest asked = request(run);
      if (!with_manifests) {
        asked.manifests.clear();
        asked.fields = telemetry_fields(23, 0);
      }
      asked.event_limit_bytes = event_limit;
      return verify(asked);
    };
    Verdict verdict = judged(limit);
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
    EXPECT_EQ(verdict.dead_letters, run.dead.size());
    EXPECT_EQ(verdict.dead_letters_expected, run.dead.size());
    EXPECT_FALSE(judged(longest).pass);  // then they were not too long
    run.dead.back().value.pop_back();
    EXPECT_FALSE(judged(limit).pass);
    run.dead.pop_back();
    EXPECT_EQ(judged(limit).lost, 1u);
  }
}

TEST_P(Verify, EndsWithoutAVerdictWhenItIsAskedTo) {
  PlantedRun run(planted_manifest(), true);
  VerifyRequest asked = request(run);
  int looks = 0;
  asked.stop = [&] {
    ++looks;
    return false;
  };
  EXPECT_TRUE(verify(asked).pass);
  for (const int last : {1, looks / 2, looks}) {
    int left = last;
    asked.stop = [&] { return --left <= 0; };
    const Verdict verdict = verify(asked);
    EXPECT_TRUE(verdict.stopped) << last << " of " << looks;
    EXPECT_FALSE(verdict.pass);
  }
}

TEST_P(Verify, NeedsNoMoreMemoryThanItMayHave) {
  for (bool positions : {false, true}) {
    Manifest manifest = planted_manifest();
    manifest.count = 30'000;
    manifest.devices = 100;
    manifest.complex_count = 1;
    PlantedRun run(manifest, false);
    run.with_positions = positions;
    run.rows.erase(run.rows.begin() + 5);
    run.rows.erase(run.rows.begin() + 25'000);
    if (GetParam() == StoreKind::kDuck) continue;  // inserting that many rows one by one takes long
    VerifyRequest asked = request(run);
    asked.memory_bytes = 64 << 10;
    Verdict verdict = verify(asked);
    EXPECT_GT(verdict.passes, 2);
    expect(verdict, {.lost = 2});
  }
}

TEST_P(Verify, FindsALostEvent) {
  PlantedRun run(planted_manifest(), true);
  run.rows.erase(run.rows.begin() + 77);
  expect(judge(run), {.lost = 1});
}

TEST_P(Verify, FindsADouble) {
  PlantedRun run(planted_manifest(), true);
  run.rows.push_back(run.rows[77]);
  expect(judge(run), {.duplicated = 1});
  run.rows.pop_back();
  run.rows.insert(run.rows.begin() + 78, run.rows[77]);
  expect(judge(run), {.duplicated = 1});
}

TEST_P(Verify, CountsRepeatsWithoutBlameWhereDeliveryIsAtLeastOnce) {
  for (bool positions : {true, false}) {
    PlantedRun run(planted_manifest(), true);
    run.with_positions = positions;
    run.rows.push_back(run.rows[77]);
    VerifyRequest asked = request(run);
    asked.topology.repeats = true;
    Verdict verdict = verify(asked);
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
    EXPECT_EQ(verdict.duplicated, 1u);
    run.rows[78] = run.rows[79];
    asked = request(run);
    asked.topology.repeats = true;
    verdict = verify(asked);
    EXPECT_FALSE(verdict.pass);
    EXPECT_EQ(verdict.lost, 1u) << to_table(verdict);
  }
}

TEST_P(Verify, FindsADoubleWithoutPositions) {
  PlantedRun run(planted_manifest(), true);
  run.with_positions = false;
  run.rows.push_back(run.rows[77]);
  expect(judge(run), {.duplicated = 1});
}

TEST_P(Verify, FindsOneLossAndOneDoubleOfEqualTotals) {
  PlantedRun run(planted_manifest(), true);
  run.rows[78] = run.rows[77];
  expect(judge(run), {.lost = 1, .duplicated = 1});
}

TEST_P(Verify, FindsAMissingCopyWithoutDedup) {
  PlantedRun run(planted_manifest(), false);
  size_t copy = row_with_copy(run);
  ASSERT_LT(copy, run.rows.size());
  run.rows.erase(run.rows.begin() + static_cast<std::ptrdiff_t>(copy));
  expect(judge(run), {.lost = 1});
}

TEST_P(Verify, FindsACopyStoredTwiceInPlaceOfAnother) {
  PlantedRun run(planted_manifest(), false);
  size_t copy = row_with_copy(run);
  ASSERT_LT(copy, run.rows.size());
  auto first = std::find_if(run.rows.begin(), run.rows.end(),
                            [&](const PlantedRow& row) { return row.name == run.rows[copy].name; });
  run.rows[copy] = *first;
  expect(judge(run), {.lost = 1, .duplicated = 1});
}

TEST_P(Verify, FindsAnUnexpectedRow) {
  PlantedRun run(planted_manifest(), true);
  PlantedRow stray = run.rows[50];
  replace_in(&stray.json, stray.json.substr(12, 36), "0c7a1f3e-3c4b-4ff2-a1b2-9d8e7f6a5b4c");
  run.rows.insert(run.rows.begin() + 51, stray);
  expect(judge(run), {.unexpected = 1});
}

TEST_P(Verify, FindsASwappedDoubleInMoreData17) {
  PlantedRun run(planted_manifest(), true);
  std::string a = number_of(run.rows[30].json, "moreData17"), b = number_of(run.rows[31].json, "moreData17");
  replace_in(&run.rows[30].json, "\"moreData17\":" + a, "\"moreData17\":" + b);
  Verdict verdict = judge(run);
  expect(verdict, {.altered = 1});
  EXPECT_THAT(verdict.why.back(), HasSubstr("moreData17"));
}

TEST_P(Verify, FindsOneUnitInTheLastPlace) {
  PlantedRun run(planted_manifest(), true);
  std::string text = number_of(run.rows[30].json, "value");
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  value = std::bit_cast<double>(std::bit_cast<uint64_t>(value) + 1);
  char buffer[40];
  std::string other(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  replace_in(&run.rows[30].json, "\"value\":" + text, "\"value\":" + other);
  expect(judge(run), {.altered = 1});
}

TEST_P(Verify, FindsATimestampThatIsOffByAMicrosecond) {
  PlantedRun run(planted_manifest(), true);
  std::string& json = run.rows[30].json;
  char& digit = json[json.size() - 4];
  digit = digit == '9' ? '8' : static_cast<char>(digit + 1);
  expect(judge(run), {.altered = 1});
  PlantedRun other(planted_manifest(), true);
  other.rows[30].enqueued_us += 1;
  expect(judge(other), {.altered = 1});
}

TEST_P(Verify, FindsTwoDevicesEventsExchanged) {
  PlantedRun run(planted_manifest(), true);
  size_t b = 31;
  while (number_of(run.rows[b].json, "deviceId") == number_of(run.rows[30].json, "deviceId")) ++b;
  std::string one = number_of(run.rows[30].json, "deviceId"), two = number_of(run.rows[b].json, "deviceId");
  replace_in(&run.rows[30].json, one, two);
  replace_in(&run.rows[b].json, two, one);
  expect(judge(run), {.altered = 2});
}

TEST_P(Verify, FindsTwoRowsUnderEachOthersPositions) {
  PlantedRun run(planted_manifest(), true);
  size_t b = 31;
  while (run.rows[b].partition == run.rows[30].partition) ++b;
  std::swap(run.rows[30].json, run.rows[b].json), std::swap(run.rows[30].key, run.rows[b].key);
  Verdict verdict = judge(run);
  EXPECT_EQ(verdict.lost + verdict.duplicated + verdict.unexpected + verdict.altered, 0u)
      << to_table(verdict);
  EXPECT_EQ(verdict.out_of_order, 2u);
  EXPECT_FALSE(verdict.pass);
}

TEST_P(Verify, FindsRowsOutOfOrder) {
  for (bool positions : {true, false}) {
    PlantedRun run(planted_manifest(), true);
    run.with_positions = positions;
    // Two events of one device, one after another in it.
    size_t a = 20, b = 21;
    while (number_of(run.rows[b].json, "deviceId") != number_of(run.rows[a].json, "deviceId")) ++b;
    PlantedRow late = run.rows[a];
    run.rows.erase(run.rows.begin() + static_cast<std::ptrdiff_t>(a));
    run.rows.insert(run.rows.begin() + static_cast<std::ptrdiff_t>(b), late);
    expect(judge(run), {.out_of_order = 1});
  }
}

TEST_P(Verify, FindsAMissingDeadLetter) {
  PlantedRun run(planted_manifest(), true);
  run.dead.erase(run.dead.begin() + 1);
  expect(judge(run), {.lost = 1});
}

TEST_P(Verify, FindsAnExtraDeadLetter) {
  PlantedRun run(planted_manifest(), true);
  const PlantedRow& row = run.rows[60];
  run.dead.push_back({"in", row.partition, row.offset, "I did not like it", row.json});
  Verdict verdict = judge(run);
  expect(verdict, {.unexpected = 1});
  run.rows.erase(run.rows.begin() + 60);
  verdict = judge(run);
  expect(verdict, {.lost = 1});
  EXPECT_THAT(verdict.why.front(), HasSubstr("I did not like it"));
}

TEST_P(Verify, FindsADeadLetterWithOtherBytes) {
  PlantedRun run(planted_manifest(), true);
  auto letter = std::find_if(run.dead.begin(), run.dead.end(),
                             [](const auto& each) { return each.value.size() > 100; });
  ASSERT_NE(letter, run.dead.end());
  letter->value[80] ^= 1;
  expect(judge(run), {.altered = 1});
}

TEST_P(Verify, FindsAMalformedEventInTheStore) {
  PlantedRun run(planted_manifest(), true);
  auto bad = std::find_if(run.events.begin(), run.events.end(), [](const PlantedEvent& each) {
    return each.malformed && each.value.find("[\"") != std::string::npos;
  });
  ASSERT_NE(bad, run.events.end());
  PlantedRow row{
      bad->name, bad->value, bad->partition, bad->offset, bad->append_ms * 1000, bad->append_ms * 1000 + 5000,
      bad->key};
  row.json.erase(row.json.find('['), 1);
  row.json.erase(row.json.find(']'), 1);
  auto at = std::find_if(run.rows.begin(), run.rows.end(), [&](const PlantedRow& each) {
    return each.partition == row.partition && each.offset > row.offset;
  });
  run.rows.insert(at, row);
  expect(judge(run), {.unexpected = 1});
}

TEST_P(Verify, EventsInDoubtMayBeMissingOrThere) {
  for (bool there : {true, false}) {
    PlantedRun run(planted_manifest(), true);
    std::vector<PlantedEvent> kept;
    // The last event of every device got no answer.
    run.ranges = [](int64_t, DeviceRange* range) {
      --range->acknowledged;
      ++range->in_doubt;
    };
    if (!there) {
      Manifest m = run.base;
      std::map<std::string, std::pair<std::pair<int64_t, int64_t>, EventName>> last;
      for (int64_t j = 0; j < m.instances; ++j) {
        m.instance = j;
        Schedule schedule(m);
        TelemetryEvents events(schedule);
        for (int64_t i = 0; i < schedule.events(); ++i) {
          auto& of = last[events.device_id(schedule.device_of(i))];
          of = std::max(of, {{schedule.send_us(i), i}, {j, i}});
        }
      }
      // Nothing of them reached the log: offsets move up.
      std::set<EventName> gone;
      for (const auto& [device, event] : last) gone.insert(event.second);
      std::map<int32_t, int64_t> ends;
      std::map<std::pair<int32_t, int64_t>, int64_t> moved;
      for (PlantedEvent& event : run.events) {
        if (gone.contains(event.name)) continue;
        moved[{event.partition, event.offset}] = ends[event.partition];
        event.offset = ends[event.partition]++;
        kept.push_back(event);
      }
      run.events = kept;
      std::erase_if(run.rows, [&](const PlantedRow& row) { return gone.contains(row.name); });
      for (PlantedRow& row : run.rows) row.offset = moved[{row.partition, row.offset}];
      std::erase_if(run.dead, [&](const auto& each) {
        return !moved.contains({each.partition, each.offset});
      });
      for (auto& letter : run.dead) letter.offset = moved[{letter.partition, letter.offset}];
    }
    Verdict verdict = judge(run);
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
    EXPECT_EQ(verdict.in_doubt, 9u);
    EXPECT_EQ(verdict.in_doubt_stored > 0, there);

    // What reached the log must be stored, doubt or not.
    run.rows.erase(run.rows.end() - 1);
    expect(judge(run), {.lost = 1});
  }
}

TEST_P(Verify, EventsThatTheManifestDoesNotSendAreUnexpected) {
  PlantedRun run(planted_manifest(), true);
  run.ranges = [](int64_t instance, DeviceRange* range) {
    if (instance != 0 || range->device != 0) return;
    range->not_sent = range->acknowledged;
    range->acknowledged = 0;
  };
  Verdict verdict = judge(run);
  EXPECT_FALSE(verdict.pass);
  EXPECT_GE(verdict.unexpected, 40u);
  EXPECT_EQ(verdict.lost, 0u);
}

TEST_P(Verify, AManifestThatIsNotFinishedMayBeBehind) {
  PlantedRun run(planted_manifest(), true);
  run.finished = false;
  run.ranges = [](int64_t, DeviceRange* range) {
    range->not_sent = range->acknowledged - 3;
    range->acknowledged = 3;
  };
  Verdict verdict = judge(run);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  run.rows.erase(run.rows.begin() + 300);
  expect(judge(run), {.lost = 1});
}

TEST_P(Verify, CountersMustAgree) {
  PlantedRun run(planted_manifest(), true);
  VerifyRequest asked = request(run);
  --asked.input.partitions[1].counters->dropped;
  Verdict verdict = verify(asked);
  expect(verdict, {});
  EXPECT_THAT(verdict.why.front(), HasSubstr("do not account for all"));

  asked = request(run);
  asked.input.partitions[1].committed = 5;
  verdict = verify(asked);
  EXPECT_FALSE(verdict.pass);
  EXPECT_THAT(verdict.why.front(), HasSubstr("committed up to offset 5"));
}

// A run that was stopped has the rest of its work before it: no pass, but nothing is lost either.
TEST_P(Verify, WhatIsStillToBeProcessedIsNotLost) {
  for (bool positions : {true, false}) {
    for (bool manifests : {true, false}) {
      PlantedRun run(planted_manifest(), true);
      run.with_positions = positions;
      const auto still_to_come = [](const auto& item) { return item.partition == 1 && item.offset >= 20; };
      std::erase_if(run.rows, still_to_come);
      std::erase_if(run.dead, still_to_come);
      run.with_counters = false;
      VerifyRequest asked = request(run);
      asked.input.partitions[1].committed = 20;
      if (!manifests) {
        asked.manifests.clear();
        asked.fields = telemetry_fields(23, 0);
      }
      Verdict verdict = verify(asked);
      expect(verdict, {});
      EXPECT_EQ(verdict.expected, run.rows.size());
      EXPECT_EQ(verdict.dead_letters_expected, run.dead.size());
      EXPECT_THAT(verdict.why, ::testing::ElementsAre(HasSubstr("committed up to offset 20")));

      asked.input.partitions[1].committed = 21;
      EXPECT_LE(verify(asked).lost, 1u);
      asked.input.partitions[1].committed.reset();
      EXPECT_GT(verify(asked).lost, 1u);
    }
  }
}

TEST_P(Verify, AFilterMayDropWhatItsCountersSay) {
  PlantedRun run(planted_manifest(), true);
  size_t before = run.rows.size();
  std::erase_if(run.rows,
                [](const PlantedRow& row) { return row.json.find("\"CO2\"") != std::string::npos; });
  ASSERT_LT(run.rows.size(), before);
  VerifyRequest asked = request(run);
  asked.topology.filter = true;
  Verdict verdict = verify(asked);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.expected, run.rows.size());

  --asked.input.partitions[0].counters->dropped;
  ++asked.input.partitions[0].counters->stored;
  verdict = verify(asked);
  EXPECT_EQ(verdict.lost, 1u);
  EXPECT_FALSE(verdict.pass);
}

TEST_P(Verify, AStoreThatReplacesRowsByIdHoldsEachEventOnce) {
  PlantedRun run(planted_manifest(), false);
  // The last copy's position in the first one's place.
  for (size_t at = 0; at < run.rows.size(); ++at) {
    for (size_t copy = at + 1; copy < run.rows.size();) {
      if (run.rows[copy].name != run.rows[at].name) {
        ++copy;
        continue;
      }
      run.rows[at] = run.rows[copy];
      run.rows.erase(run.rows.begin() + static_cast<std::ptrdiff_t>(copy));
    }
  }
  run.with_counters = false;
  VerifyRequest asked = request(run);
  EXPECT_FALSE(verify(asked).pass);
  asked.topology.upsert = true;
  Verdict verdict = verify(asked);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.expected, run.rows.size());
  run.rows.pop_back();
  asked = request(run);
  asked.topology.upsert = true;
  expect(verify(asked), {.lost = 1});
}

TEST_P(Verify, CopiesBeyondTheHorizonAreStoredAgain) {
  PlantedRun run(planted_manifest(), true);
  run.with_counters = false;
  VerifyRequest asked = request(run);
  asked.topology.dedup.last_n = 1;  // copies stand directly behind one another
  EXPECT_TRUE(verify(asked).pass) << to_table(verify(asked));
  asked.topology.dedup.kind = DedupKind::kHorizon;
  asked.topology.dedup.horizon_us = 1000;
  EXPECT_TRUE(verify(asked).pass) << to_table(verify(asked));
  // A copy that comes again much later.
  PlantedEvent again = run.events[0];
  ASSERT_FALSE(again.malformed);
  for (const PlantedEvent& event : run.events) {
    if (event.partition == again.partition) again.offset = event.offset + 1;
  }
  again.append_ms += 10'000;
  run.events.push_back(again);
  asked = request(run);
  EXPECT_EQ(verify(asked).lost, 0u);
  asked.topology.dedup.last_n = 1;
  EXPECT_EQ(verify(asked).lost, 1u) << to_table(verify(asked));
  asked.topology.dedup.kind = DedupKind::kHorizon;
  asked.topology.dedup.horizon_us = 9'000'000;
  EXPECT_EQ(verify(asked).lost, 1u) << to_table(verify(asked));
  asked.topology.dedup.horizon_us = 11'000'000;
  EXPECT_EQ(verify(asked).lost, 0u) << to_table(verify(asked));
}

TEST_P(Verify, NothingExpectedIsNoPass) {
  Manifest manifest = planted_manifest();
  manifest.count = 0;
  PlantedRun run(manifest, true);
  run.with_positions = GetParam() == StoreKind::kDuck;
  expect(judge(run), {});
}

TEST_P(Verify, AnInputThatCannotBeReadIsNoPass) {
  PlantedRun run(planted_manifest(), true);
  VerifyRequest asked = request(run);
  std::string path = join_path(run.directory(), "in-1/00000000000000000000.log");
  std::string bytes = *read_file(FileSystem::posix(), path);
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(write_file_atomically(FileSystem::posix(), path, bytes).ok());
  Verdict verdict = verify(asked);
  EXPECT_FALSE(verdict.pass);
  ASSERT_FALSE(verdict.why.empty());
  EXPECT_THAT(verdict.why.front(), HasSubstr(path));

  asked.input.directory = "/nonexistent";
  EXPECT_FALSE(verify(asked).pass);
  asked = request(run);
  asked.manifests.pop_back();
  verdict = verify(asked);
  EXPECT_FALSE(verdict.pass);
  EXPECT_THAT(verdict.why.front(), HasSubstr("manifest of instance 1 of 2 is missing"));
}

TEST_P(Verify, WhatRetentionDeletedIsNeitherLostNorPassed) {
  PlantedRun run(planted_manifest(), true);
  VerifyRequest asked = request(run);
  asked.input.partitions[1].start = 7;
  Verdict verdict = verify(asked);
  expect(verdict, {});
  ASSERT_EQ(verdict.why.size(), 1u);
  EXPECT_THAT(verdict.why.front(), HasSubstr("in-1: offsets 0 to 6 were deleted by retention"));

  if (GetParam() != StoreKind::kTopic) return;
  asked = request(run);
  asked.store.topic->partitions[0].start = 3;
  verdict = verify(asked);
  expect(verdict, {});
  EXPECT_THAT(verdict.why.front(), HasSubstr("offsets 0 to 2 were deleted by retention"));
}

TEST_P(Verify, TheInputMustHoldWhatWasSent) {
  PlantedRun run(planted_manifest(), true);
  // The same change in log and store: only the manifest knows.
  PlantedRow& row = run.rows[30];
  auto event = std::find_if(run.events.begin(), run.events.end(), [&](const PlantedEvent& each) {
    return each.partition == row.partition && each.offset == row.offset;
  });
  std::string a = number_of(row.json, "value");
  replace_in(&row.json, "\"value\":" + a, "\"value\":11.5");
  event->value = row.json;
  Verdict verdict = judge(run);
  expect(verdict, {.altered = 1});
  EXPECT_THAT(verdict.why.front(), HasSubstr("other bytes than were sent"));

  PlantedRun other(planted_manifest(), true);
  other.content_sum = "00000000000000000000000000000001";
  verdict = judge(other);
  expect(verdict, {});
  EXPECT_THAT(verdict.why.front(), HasSubstr("content sum"));
}

TEST_P(Verify, LimitsOfRateAndLatencyAreHeld) {
  PlantedRun run(planted_manifest(), true);
  VerifyRequest asked = request(run);
  asked.limits.events_per_second = 10;
  asked.limits.latency_p99_ms = 60;
  Verdict verdict = verify(asked);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  asked.limits.events_per_second = 1e6;
  expect(verify(asked), {});
  asked.limits.events_per_second.reset();
  asked.limits.latency_p99_ms = 1;
  expect(verify(asked), {});
}

TEST_P(Verify, SensorEventsAreAccountedForByPosition) {
  Manifest manifest = planted_manifest();
  manifest.profile = Profile::kSensor;
  manifest.devices = 0;
  manifest.out_of_order_ppm = 0;
  for (bool positions : {true, false}) {
    auto made = [&] {
      auto run = std::make_unique<PlantedRun>(manifest, false);
      run->with_positions = positions;
      run->output_partitions = 2;
      return run;
    };
    auto run = made();
    Verdict verdict = judge(*run);
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
    EXPECT_EQ(verdict.dead_letters, run->dead.size());
    EXPECT_GT(verdict.dead_letters, 3u);

    run = made();
    run->rows.erase(run->rows.begin() + 100);
    expect(judge(*run), {.lost = 1});
    run = made();
    run->rows.insert(run->rows.begin() + 101, run->rows[100]);
    expect(judge(*run), {.duplicated = 1});
    run = made();
    replace_in(&run->rows[100].json, "\"measure2\": 0.", "\"measure2\": 0.1");
    expect(judge(*run), {.altered = 1});
    run = made();
    run->dead.pop_back();
    expect(judge(*run), {.lost = 1});
    run = made();
    PlantedRow& row = run->rows[100];
    run->dead.push_back({"in", row.partition, row.offset, "why not", row.json});
    expect(judge(*run), {.unexpected = 1});
    if (!positions && GetParam() == StoreKind::kDuck) continue;
    run = made();
    size_t b = 101;
    while (run->rows[b].partition != run->rows[100].partition) ++b;
    std::swap(run->rows[100], run->rows[b]);
    verdict = judge(*run);
    EXPECT_GE(verdict.out_of_order, 1u) << to_table(verdict);
    EXPECT_EQ(verdict.lost + verdict.duplicated + verdict.unexpected + verdict.altered, 0u)
        << to_table(verdict);
  }
}

TEST_P(Verify, SensorRecordsMustBeInTheInputAsTheManifestSays) {
  Manifest manifest = planted_manifest();
  manifest.profile = Profile::kSensor;
  manifest.devices = 0;
  manifest.out_of_order_ppm = 0;
  PlantedRun run(manifest, false);
  run.content_sum = "00000000000000000000000000000001";
  Verdict verdict = judge(run);
  expect(verdict, {});
  EXPECT_THAT(verdict.why.front(), HasSubstr("content sum"));

  // The same change in log and store: only the manifest knows.
  PlantedRun other(manifest, false);
  PlantedRow& row = other.rows[30];
  auto event = std::find_if(other.events.begin(), other.events.end(), [&](const PlantedEvent& each) {
    return each.partition == row.partition && each.offset == row.offset;
  });
  replace_in(&row.json, "\"measure2\": 0.", "\"measure2\": 0.1");
  event->value = row.json;
  verdict = judge(other);
  expect(verdict, {});
}

TEST_P(Verify, AStrangersDataIsAccountedForByPosition) {
  Manifest manifest = planted_manifest();
  PlantedRun run(manifest, true);
  VerifyRequest asked = request(run);
  asked.manifests.clear();
  EXPECT_FALSE(verify(asked).pass);  // nobody said what the fields are
  asked.fields = telemetry_fields(23, 0);
  Verdict verdict = verify(asked);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.stored, run.rows.size());

  run.rows.erase(run.rows.begin() + 9);
  asked = request(run);
  asked.manifests.clear();
  asked.fields = telemetry_fields(23, 0);
  expect(verify(asked), {.lost = 1});
}

TEST_P(Verify, ReferenceRulesAreTheReferences) {
  Manifest manifest = planted_manifest();
  manifest.out_of_order_ppm = manifest.late_ppm = manifest.malformed_ppm = 0;
  PlantedRun run(manifest, true);
  auto by_reference = [&] {
    VerifyRequest asked = request(run);
    asked.rules = Rules::kReference;
    asked.reference.events_per_second = 3;
    asked.reference.latency_ms = 5;
    return verify(asked);
  };
  Verdict verdict = by_reference();
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  ASSERT_TRUE(verdict.reference.has_value());
  EXPECT_NEAR(*verdict.reference->events_per_second, 400 / 60.0, 1e-9);
  EXPECT_NEAR(*verdict.reference->latency_ms, 5, 1e-6);
  EXPECT_EQ(verdict.reference->missing, 0u);

  run.rows.push_back(run.rows[100]);
  verdict = by_reference();
  EXPECT_EQ(verdict.reference->duplicates, 1u);
  EXPECT_EQ(verdict.why.size(), 1u) << to_table(verdict);
  run.rows.pop_back();

  run.rows.erase(run.rows.begin() + 200);
  verdict = by_reference();
  EXPECT_EQ(verdict.reference->missing, 1u);
  EXPECT_EQ(verdict.reference->out_of_sequence, 1u);
  EXPECT_EQ(verdict.why.size(), 2u) << to_table(verdict);

  run.rows.clear();
  verdict = by_reference();
  EXPECT_EQ(verdict.why.size(), 2u) << to_table(verdict);  // rate and latency; 0/0 passes
}

TEST_P(Verify, TheVerdictIsOneLineOfJson) {
  PlantedRun run(planted_manifest(), true);
  Verdict verdict = judge(run);
  std::string json = to_json(verdict);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_THAT(json,
              ::testing::StartsWith("{\"verdict\":\"PASS\",\"expected\":" + std::to_string(run.rows.size()) +
                                    ",\"stored\":" + std::to_string(run.rows.size()) +
                                    ",\"lost\":0,\"duplicated\":0,\"unexpected\":0,\"altered\":0,"
                                    "\"out_of_order\":0,\"events_per_second\":"));
  EXPECT_THAT(json, HasSubstr("\"latency_ms\":{\"p50\":"));
  EXPECT_THAT(json, HasSubstr("\"p99_9\":"));
  EXPECT_THAT(to_table(verdict), HasSubstr("Verdict: PASS"));
}

}  // namespace
}  // namespace tidemill::verify
