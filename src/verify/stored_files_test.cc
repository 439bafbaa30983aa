#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "verify/testing/planted_run.h"

namespace tidemill::verify {
namespace {

using ::testing::HasSubstr;

// A run whose files a test damages, after they were written.
class StoredFiles : public ::testing::Test {
 protected:
  StoredFiles() : run(planted_manifest(), true), request(run.with_files_store()) {}

  std::string folder(const std::string& name) const {
    return join_path(request.store.files->directory, name);
  }
  // The whole files, or the open one, of partition 0.
  std::string file_of(bool open) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder("in-0"))) {
      if (entry.path().string().ends_with(".open") == open) return entry.path().string();
    }
    return {};
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const std::string& path, const std::string& bytes) {
    ASSERT_TRUE(std::ofstream(path, std::ios::binary) << bytes);
  }
  void expect_reason(const std::string& reason) {
    Verdict verdict = verify(request);
    EXPECT_FALSE(verdict.pass);
    EXPECT_THAT(to_table(verdict), HasSubstr(reason));
  }

  PlantedRun run;
  VerifyRequest request;
};

TEST_F(StoredFiles, WholeFilesAndWhatIsCommittedOfTheOpenOneAreRead) {
  Verdict verdict = verify(request);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.stored, run.rows.size());
  EXPECT_EQ(verdict.dead_letters, run.dead.size());
}

TEST_F(StoredFiles, AnOpenFileThatGotItsFinalNameIsTheSame) {
  std::string open = file_of(true);
  std::string name = std::filesystem::path(open).filename().string();
  std::filesystem::rename(open,
                          folder("in-0/" + name.substr(1, name.size() - 1 - std::string(".open").size())));
  EXPECT_TRUE(verify(request).pass);
}

TEST_F(StoredFiles, AWholeFileThatIsGoneIsALoss) {
  std::filesystem::remove(file_of(false));
  Verdict verdict = verify(request);
  EXPECT_EQ(verdict.lost, 60u) << to_table(verdict);
}

TEST_F(StoredFiles, ACommittedOpenFileThatIsGoneIsSaid) {
  std::filesystem::remove(file_of(true));
  expect_reason("it is committed, but not there");
}

TEST_F(StoredFiles, FewerBytesThanAreCommittedAreSaid) {
  std::string open = file_of(true);
  std::filesystem::resize_file(open, 100);
  expect_reason("it has 100 bytes");
}

TEST_F(StoredFiles, OtherBytesThanWereCommittedAreSaid) {
  std::string open = file_of(true), bytes = content(open);
  bytes[bytes.find("TEMP") + 1] = 'A';
  write(open, bytes);
  expect_reason("it holds other bytes than were committed");
}

TEST_F(StoredFiles, AWholeFileWithATornLineIsSaid) {
  std::string whole = file_of(false);
  write(whole, content(whole) + "{\"half\":");
  expect_reason("its last line has no end");
}

TEST_F(StoredFiles, ALineThatIsNoEventIsUnexpected) {
  std::string whole = file_of(false);
  write(whole, content(whole) + "null\n");
  Verdict verdict = verify(request);
  EXPECT_EQ(verdict.unexpected, 1u) << to_table(verdict);
  EXPECT_THAT(to_table(verdict), HasSubstr(whole + ":61"));
}

TEST_F(StoredFiles, ADamagedJournalIsSaid) {
  std::string journal = folder(".tidemill/journal"), bytes = content(journal);
  std::string record = bytes.substr(0, bytes.rfind("TMJ1"));
  std::string damaged = record;
  damaged[20] = static_cast<char>(damaged[20] + 1);
  write(journal, damaged + record);
  expect_reason("the record at byte 0 is damaged");
}

TEST_F(StoredFiles, AFolderOfNoPartitionIsSaid) {
  std::filesystem::create_directory(folder("in-7"));
  expect_reason("it belongs to no partition of the input");
}

TEST_F(StoredFiles, DeadLettersAreReadAsTextOrBase64) {
  // The planted ones are Base64; the first of partition 0 as text now, where it is text.
  PlantedDeadLetter* letter = nullptr;
  for (PlantedDeadLetter& each : run.dead) {
    if (each.partition == 0 && letter == nullptr) letter = &each;
  }
  ASSERT_NE(letter, nullptr);
  letter->reason = "malformed \\\"JSON\\\"";
  EXPECT_TRUE(verify(run.with_files_store()).pass);
  run.dead.erase(run.dead.begin());
  EXPECT_EQ(verify(run.with_files_store()).lost, 1u);
}

}  // namespace
}  // namespace tidemill::verify
