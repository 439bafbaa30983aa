// A store whose answers are lost: what was sent is there, or comes later.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "pipeline/testing/sink_session.h"
#include "serve/delta_sink.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;

// A folder, to which one put is on its way after it was given up.
class LateStore final : public ObjectStore {
 public:
  LateStore(Random& random, const std::string& folder) : folder_(FileSystem::posix(), random, folder) {}

  const std::string& place() const override { return folder_.place(); }
  Status prepare() override { return folder_.prepare(); }
  Status put_if_absent(const std::string& name, std::string_view content) override {
    if (late_) {
      auto [late_name, late_content] = *std::exchange(late_, std::nullopt);
      Status arrived = folder_.put_if_absent(late_name, late_content);
      EXPECT_TRUE(arrived.ok()) << arrived.error().message;
    }
    if (!std::exchange(lose_next, false)) return folder_.put_if_absent(name, content);
    late_.emplace(name, std::string(content));
    return external_error("no answer", Code::kUnknown);
  }
  Status settle(const std::string&) override { return {}; }
  Status put(const std::string& name, std::string_view content) override {
    return folder_.put(name, content);
  }
  Result<std::string> get(const std::string& name) override {
    if (name == broken) return external_error("the store does not answer", Code::kFailed, true);
    return folder_.get(name);
  }
  Result<std::vector<std::string>> list(const std::string& folder) override { return folder_.list(folder); }
  Result<std::vector<StoredObject>> list_all() override { return folder_.list_all(); }
  Status remove(const std::string& name) override { return folder_.remove(name); }
  const std::string& folder() const override { return folder_.folder(); }
  Status keep(const std::vector<std::string>& names) override { return folder_.keep(names); }
  Status keep_as(const std::string& written, const std::string& name) override {
    return folder_.keep_as(written, name);
  }
  Result<LocalFiles> fetch(const std::vector<std::string>& names) override { return folder_.fetch(names); }

  bool lose_next = false;
  std::string broken;  // what cannot be read

 private:
  FolderStore folder_;
  std::optional<std::pair<std::string, std::string>> late_;
};

struct LateTable {
  LateTable() : scratch("delta-late") {
    options.folder = scratch.path("events");
    options.dead_folder = scratch.path("letters");
    options.pipeline = "pipe";
    options.source = "the log of a test";
    options.merge = false;
    options.open_store = [this](const std::string& folder) -> Result<std::shared_ptr<ObjectStore>> {
      auto store = std::make_shared<LateStore>(Random::system(), folder);
      if (folder == options.folder) events = store;
      return std::shared_ptr<ObjectStore>(store);
    };
    sink.emplace(FileSystem::posix(), Clock::system(), Random::system(), options);
    EXPECT_TRUE(sink->prepare(harness_schema()).ok());
  }
  Scratch scratch;
  DeltaSinkOptions options;
  std::shared_ptr<LateStore> events;
  std::optional<DeltaSink> sink;
};

TEST(DeltaLate, ACommitThatArrivesAfterItWasLookedForIsTheSameCommit) {
  LateTable table;
  StoreModel model;
  SinkSession session = SinkSession::open(*table.sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1, 2}, model).ok());
  FilledEpoch epoch = session.fill({0, 1, 2}, 50, model).value();
  table.events->lose_next = true;
  Status lost = session.writer().commit(*epoch.output, epoch.request);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().code, Code::kUnknown);
  const TopicPartition first = harness_partition(0);
  EXPECT_NE(session.writer().committed({&first, 1}).value().front().position,
            epoch.request.partitions[0].next);
  Status again = session.commit_to(epoch, &model);
  EXPECT_TRUE(again.ok()) << again.error().message;
  Status held = session.check(model);
  EXPECT_TRUE(held.ok()) << held.error().message;
  DeltaLog log(table.events, duck::Database::open(":memory:", {}).value(), Clock::system());
  EXPECT_EQ(log.at(-1, -1).value().files.size(), 1u);
  // Given again without such a doubt it is what another owner would do.
  epoch = session.fill({0, 1, 2}, 50, model).value();
  ASSERT_TRUE(session.commit_to(epoch, &model).ok());
}

TEST(DeltaLate, ATakeoverWhoseAnswerWasLostRaisesTheTokenAgain) {
  LateTable table;
  StoreModel model;
  SinkSession session = SinkSession::open(*table.sink, 0).value();
  table.events->lose_next = true;
  const TopicPartition first = harness_partition(0);
  auto taken = session.writer().acquire({&first, 1});
  ASSERT_FALSE(taken.ok());
  EXPECT_TRUE(taken.error().retryable);
  taken = session.writer().acquire({&first, 1});
  ASSERT_TRUE(taken.ok()) << taken.error().message;
  EXPECT_EQ(taken->front().owner.value(), 2);
}

TEST(DeltaLate, AVersionByTimeIsNotTakenFromALogThatCannotBeRead) {
  LateTable table;
  StoreModel model;
  SinkSession session = SinkSession::open(*table.sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1, 2}, model).ok());
  DeltaLog log(table.events, duck::Database::open(":memory:", {}).value(), Clock::system());
  const DeltaState newest = log.at(-1, -1).value();
  ASSERT_EQ(newest.version, 1);
  EXPECT_EQ(log.at(-1, newest.time_ms).value().version, 1);
  table.events->broken = delta_commit_name(1);
  auto unread = log.at(-1, newest.time_ms);
  ASSERT_FALSE(unread.ok());
  EXPECT_TRUE(unread.error().retryable) << unread.error().message;
  table.events->broken.clear();
  ASSERT_TRUE(table.events->remove(delta_commit_name(0)).ok());
  auto gone = log.at(-1, 1000);
  ASSERT_FALSE(gone.ok());
  EXPECT_NE(gone.error().message.find("keeps no version that old: the oldest commit that is there is 1"),
            std::string::npos)
      << gone.error().message;
}

}  // namespace
}  // namespace tidemill::serve
