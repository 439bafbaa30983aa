#include "base/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace tidemill {
namespace {

constexpr uint64_t kRoom = 4u << 20;

class RoomTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "tidemill-room-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = join_path(folder_, "f");
  }
  void TearDown() override { static_cast<void>(FileSystem::posix().remove_tree(folder_).ok()); }

  std::unique_ptr<File> open() { return FileSystem::posix().open(path_, OpenMode::kCreate).value(); }
  uint64_t bytes_on_disk() const {
    struct stat info {};
    EXPECT_EQ(::stat(path_.c_str(), &info), 0);
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }
  // Appends a megabyte and syncs it, so that its blocks are counted.
  static void append(File& file) {
    ASSERT_TRUE(file.write_at(file.size().value(), std::string(1u << 20, 'x')).ok());
    ASSERT_TRUE(file.sync().ok());
  }

  std::string folder_;
  std::string path_;
};

TEST_F(RoomTest, IsAsMuchAsTheFileHoldsUpToALimitAndNoneOnceItIsClosed) {
  auto file = open();
  file->keep_room(kRoom);
  ASSERT_TRUE(file->write_at(0, "small").ok());
  ASSERT_TRUE(file->sync().ok());
  EXPECT_LT(bytes_on_disk(), 1u << 20);
  uint64_t most = 0;
  for (uint64_t megabytes = 1; megabytes <= 16; ++megabytes) {
    append(*file);
    const uint64_t size = file->size().value();
    ASSERT_EQ(size, megabytes * (1u << 20) + 5) << "room is no part of the file";
    const uint64_t room = bytes_on_disk() - std::min(bytes_on_disk(), size);
    EXPECT_LE(room, std::min(size, kRoom) + (1u << 16));
    most = std::max(most, room);
  }
  EXPECT_GT(most, kRoom / 2) << "of " << folder_ << ", whose file system has fallocate()";
  file.reset();
  EXPECT_LE(bytes_on_disk(), (17u << 20) + (1u << 16));
  EXPECT_EQ(read_file(FileSystem::posix(), path_)->size(), (16u << 20) + 5);
}

TEST_F(RoomTest, IsGivenBackByTruncating) {
  auto file = open();
  file->keep_room(kRoom);
  for (int i = 0; i < 5; ++i) append(*file);
  ASSERT_TRUE(file->truncate(1u << 20).ok());
  ASSERT_TRUE(file->sync().ok());
  EXPECT_LE(bytes_on_disk(), (1u << 20) + (1u << 16));
  append(*file);
  EXPECT_EQ(file->size().value(), 2u << 20);
}

}  // namespace
}  // namespace tidemill
