#include "process/lru_store.h"

#include <gtest/gtest.h>

#include <memory>

#include "pipeline/changelog.h"
#include "process/dedup_model.h"

namespace tidemill::process {
namespace {

Touch touch_of(const std::string& key, const std::string& id) {
  return Touch{key, hash_key(key), Id(id), 0};
}

std::vector<std::string> pieces_of(const LruStore& store, size_t piece_bytes = 1 << 20) {
  std::vector<std::string> pieces;
  store.snapshot("", piece_bytes, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

std::unique_ptr<LruStore> reload(const LruStore& store, uint32_t last, size_t piece_bytes = 1 << 20) {
  auto copy = std::make_unique<LruStore>(last);
  for (const std::string& piece : pieces_of(store, piece_bytes)) EXPECT_TRUE(copy->load(piece).ok());
  return copy;
}

// However many ids are kept of a key, every changelog takes each piece.
TEST(LruStore, NoPieceOfASnapshotIsLargerThanADeltaMayBe) {
  LruStore store(LruStore::kMaxLast);
  auto id_of = [&](int i) { return std::to_string(10'000'000'000'000 + i); };
  for (int i = 0; i < 65'535; ++i) store.touch(touch_of("one key", id_of(i)));
  const std::vector<std::string> pieces = pieces_of(store, TouchWriter::kDeltaBytes);
  EXPECT_GT(pieces.size(), 1u);
  for (const std::string& piece : pieces) EXPECT_LT(piece.size(), pipeline::kMostDeltaBytes);
  auto copy = reload(store, LruStore::kMaxLast, TouchWriter::kDeltaBytes);
  EXPECT_EQ(pieces_of(*copy), pieces_of(store));
  // The oldest goes first, in both.
  EXPECT_EQ(copy->touch(touch_of("one key", "another")), Touched::kNew);
  EXPECT_EQ(copy->touch(touch_of("one key", id_of(1))), Touched::kRefreshed);
  EXPECT_EQ(copy->touch(touch_of("one key", id_of(0))), Touched::kNew);
}

struct Params {
  uint32_t last;
  uint64_t keys;
  uint64_t ids;
  size_t piece_bytes;
};

class LruStoreAgainstModel : public testing::TestWithParam<Params> {};

TEST_P(LruStoreAgainstModel, PassesTheSameWithReloadsAndReplicas) {
  const Params& params = GetParam();
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SeededRandom random(seed);
    LruModel model(params.last);
    auto store = std::make_unique<LruStore>(params.last);
    auto replica = std::make_unique<LruStore>(params.last);
    TouchWriter writer(false);
    std::string deltas;
    pipeline::DeltaWriter delta_writer(&deltas, 0);
    for (int step = 0; step < 6'000; ++step) {
      std::string key = model_key(random.below(params.keys));
      std::string id = model_id(random.below(params.ids));
      Touch touch = touch_of(key, id);
      Touched touched = store->touch(touch);
      ASSERT_EQ(touched == Touched::kNew, model.pass(key, id, 0)) << "seed " << seed << " step " << step;
      if (touched != Touched::kUnchanged) writer.add(touch, delta_writer);
      if (random.below(100) != 0) continue;
      writer.finish(delta_writer);
      Status applied = pipeline::for_each_delta(deltas, [&](uint32_t, std::string_view delta) {
        return read_touches(delta.substr(1), false, [&](const Touch& again) { replica->touch(again); });
      });
      ASSERT_TRUE(applied.ok());
      deltas.clear();
      ASSERT_EQ(pieces_of(*replica), pieces_of(*store));
      auto reloaded = reload(*store, params.last, params.piece_bytes);
      ASSERT_EQ(pieces_of(*reloaded), pieces_of(*store));
      ASSERT_EQ(reloaded->keys(), store->keys());
      store = std::move(reloaded);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, LruStoreAgainstModel,
                         testing::Values(Params{1, 3, 4, 1 << 20}, Params{2, 1, 4, 100}, Params{5, 8, 12, 1},
                                         Params{16, 3, 24, 5000}, Params{17, 4, 24, 1 << 20},
                                         Params{100, 5, 130, 1 << 16}, Params{1000, 2, 1500, 1 << 20}));

TEST(LruStore, ASmallerLastKeepsTheMostRecent) {
  LruStore store(10);
  for (uint64_t i = 0; i < 10; ++i) store.touch(touch_of("k", model_id(i)));
  auto smaller = reload(store, 3);
  for (uint64_t i = 7; i < 10; ++i) EXPECT_NE(smaller->touch(touch_of("k", model_id(i))), Touched::kNew);
  EXPECT_EQ(smaller->touch(touch_of("k", model_id(6))), Touched::kNew);
}

TEST(LruStore, RefreshMovesAnIdPastTheOnesAfterIt) {
  LruStore store(3);
  for (const char* id : {"a", "b", "c", "a", "d"}) store.touch(touch_of("k", id));
  EXPECT_EQ(store.touch(touch_of("k", "d")), Touched::kUnchanged);
  EXPECT_EQ(store.touch(touch_of("k", "a")), Touched::kRefreshed);
  EXPECT_EQ(store.touch(touch_of("k", "b")), Touched::kNew);
}

TEST(LruStore, MemoryIsWhatTheDocumentPromises) {
  constexpr uint64_t kKeys = 200'000;
  SeededRandom random(3);
  auto uuid = [&] { return Id(Uuid{random.next(), random.next()}); };
  char key[32];
  auto touch_key = [&](LruStore& store, uint64_t number) {
    auto size = static_cast<size_t>(
        snprintf(key, sizeof key, "contoso-device-id-%07llu", static_cast<unsigned long long>(number)));
    ASSERT_EQ(size, 25u);
    std::string_view view(key, size);
    store.touch(Touch{view, hash_key(view), uuid(), 0});
  };
  LruStore many(100);
  for (uint64_t i = 0; i < kKeys; ++i) touch_key(many, i);
  EXPECT_EQ(many.keys(), kKeys);
  EXPECT_LE(many.memory_bytes() / kKeys, 75u);
  LruStore deep(100);
  for (uint64_t i = 0; i < 2'000u * 120; ++i) touch_key(deep, i % 2'000);
  EXPECT_LE(deep.memory_bytes() / 2'000, 2'200u);
}

TEST(LruStore, MalformedPiecesAreRefused) {
  LruStore store(5);
  EXPECT_FALSE(store.load(std::string_view("\x05", 1)).ok());
  EXPECT_FALSE(store.load(std::string_view("\x00\x01k\x00", 4)).ok());                  // no ids
  EXPECT_FALSE(store.load(std::string_view("\x00\x01k\xff\xff\xff\xff\x7f", 8)).ok());  // more than there are
  EXPECT_FALSE(store.load(std::string_view("\x03\x01k\x02\x02x", 6)).ok());             // shared with nothing
}

}  // namespace
}  // namespace tidemill::process
