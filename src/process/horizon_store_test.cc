#include "process/horizon_store.h"

#include <gtest/gtest.h>

#include <memory>

#include "pipeline/changelog.h"
#include "process/dedup_model.h"

namespace tidemill::process {
namespace {

Touch touch_of(const std::string& key, const std::string& id, int64_t time_ms) {
  return Touch{key, hash_key(key), Id(id), time_ms};
}

std::string snapshot_of(const HorizonStore& store) {
  std::string deltas;
  pipeline::DeltaWriter writer(&deltas, 0);
  store.snapshot(writer);
  return deltas;
}

void apply_deltas(HorizonStore& store, std::string_view deltas) {
  Status applied = pipeline::for_each_delta(deltas, [&](uint32_t, std::string_view delta) {
    return read_touches(delta.substr(1), true, [&](const Touch& touch) { store.touch(touch); });
  });
  EXPECT_TRUE(applied.ok());
}

TEST(HorizonStore, PassesTheSameAsTheModelWithReloadsAndReplicas) {
  for (int64_t horizon_ms : {1, 20, 500, 100'000}) {
    for (uint64_t seed = 1; seed <= 4; ++seed) {
      SeededRandom random(seed);
      HorizonModel model(horizon_ms);
      auto limit = static_cast<uint64_t>(horizon_ms);
      auto store = std::make_unique<HorizonStore>(limit);
      HorizonStore replica(limit);
      TouchWriter writer(true);
      std::string deltas;
      pipeline::DeltaWriter delta_writer(&deltas, 0);
      int64_t now_ms = 1'000'000;
      for (int step = 0; step < 5'000; ++step) {
        now_ms += static_cast<int64_t>(random.below(4));
        int64_t time_ms = random.below(20) == 0 ? now_ms - static_cast<int64_t>(random.below(300)) : now_ms;
        std::string key = model_key(random.below(6));
        std::string id = model_id(random.below(40));
        Touch touch = touch_of(key, id, time_ms);
        Touched touched = store->touch(touch);
        ASSERT_EQ(touched == Touched::kNew, model.pass(key, id, time_ms))
            << "seed " << seed << " step " << step;
        if (touched != Touched::kUnchanged) writer.add(touch, delta_writer);
        if (random.below(100) != 0) continue;
        writer.finish(delta_writer);
        apply_deltas(replica, deltas);
        deltas.clear();
        std::string snapshot = snapshot_of(*store);
        ASSERT_EQ(snapshot_of(replica), snapshot);
        auto reloaded = std::make_unique<HorizonStore>(limit);
        apply_deltas(*reloaded, snapshot);
        ASSERT_EQ(snapshot_of(*reloaded), snapshot);
        store = std::move(reloaded);
      }
    }
  }
}

TEST(HorizonStore, MemoryIsBoundedByTheHorizon) {
  HorizonStore store(1'000);
  SeededRandom random(5);
  size_t most = 0;
  for (int64_t i = 0; i < 300'000; ++i) {
    std::string key = "contoso-device-id-" + std::to_string(1'000'000 + i);
    store.touch(Touch{key, hash_key(key), Id(Uuid{random.next(), random.next()}), i / 10});
    if (i > 30'000) most = std::max(most, store.memory_bytes());
    ASSERT_LE(store.ids(), 10'010u);
  }
  EXPECT_LE(most, 2'000'000u);
}

TEST(HorizonStore, TheWholeRangeOfTimesIsWithoutOverflow) {
  HorizonStore store(1'000);
  EXPECT_EQ(store.touch(touch_of("k", "a", INT64_MIN)), Touched::kNew);
  EXPECT_EQ(store.touch(touch_of("k", "a", INT64_MIN + 1'000)), Touched::kRefreshed);
  EXPECT_EQ(store.touch(touch_of("k", "a", INT64_MAX)), Touched::kNew);
  EXPECT_EQ(store.touch(touch_of("k", "a", 0)), Touched::kUnchanged);
  HorizonStore copy(1'000);
  apply_deltas(copy, snapshot_of(store));
  EXPECT_EQ(snapshot_of(copy), snapshot_of(store));
}

TEST(HorizonStore, HugeIdsFit) {
  HorizonStore store(10);
  std::string huge(1 << 20, 'i');
  EXPECT_EQ(store.touch(touch_of("k", huge, 1)), Touched::kNew);
  EXPECT_EQ(store.touch(touch_of("k", huge + "x", 1)), Touched::kNew);
  EXPECT_EQ(store.touch(touch_of("k", huge, 2)), Touched::kRefreshed);
  EXPECT_EQ(store.touch(touch_of("k", "small", 30)), Touched::kNew);
  EXPECT_LT(store.memory_bytes(), 1u << 18);
}

}  // namespace
}  // namespace tidemill::process
