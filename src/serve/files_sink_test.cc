#include "serve/files_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "event/json_decoder.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/dead_letters.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;
using pipeline::Sink;

std::vector<std::string> lines_of(const std::string& content) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < content.size();) {
    size_t end = content.find('\n', at);
    EXPECT_NE(end, std::string::npos) << "a whole file ends with a whole line";
    if (end == std::string::npos) break;
    lines.push_back(content.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The lines of one chain as a reader sees them: files with final names, in order.
std::vector<std::string> read_chain(FileSystem& files, const std::string& directory) {
  std::vector<std::string> lines;
  if (!files.exists(directory)) return lines;
  std::vector<std::string> names = files.list(directory).value();
  for (const std::string& name : names) {
    if (name.starts_with('.')) continue;
    EXPECT_TRUE(name.ends_with(".jsonl")) << name;
    for (std::string& line : lines_of(read_file(files, join_path(directory, name)).value())) {
      lines.push_back(std::move(line));
    }
  }
  return lines;
}

Result<StoredContents> read_store(FileSystem& files, const std::string& directory) {
  StoredContents stored;
  DecodePlan plan;
  for (const char* name : {"partition", "offset", "reason", "valueBase64", "topic"}) {
    bool number = std::string_view(name) == "partition" || std::string_view(name) == "offset";
    plan.fields.push_back({name, {name}, number ? Type::kBigint : Type::kVarchar, false});
  }
  for (int32_t p = 0; p < kHarnessPartitions; ++p) {
    std::string name = folder_name(harness_partition(p));
    for (const std::string& line : read_chain(files, join_path(directory, name))) {
      EXPECT_TRUE(is_valid_json_object(line)) << line;
      stored.rows.push_back(*parse_harness_id(line));
    }
    for (const std::string& line : read_chain(files, directory + "/dead-letters/" + name)) {
      std::vector<Column> columns;
      for (const Field& field : plan.fields) columns.emplace_back(field.name, field.type);
      TM_TRY(decode_json_slowly(plan, line, &columns));
      EXPECT_EQ(columns[4].text_at(0), kHarnessTopic);
      HarnessId id{Partition(static_cast<int32_t>(columns[0].int64_at(0))), Offset(columns[1].int64_at(0))};
      // The value is not UTF-8, so it stands in base64.
      std::string expected;
      append_base64(harness_dead_value(id.offset), &expected);
      std::string value = columns[3].text_at(0) == expected ? harness_dead_value(id.offset) : "altered";
      stored.dead_letters.push_back({id, std::string(columns[2].text_at(0)), value});
    }
  }
  return stored;
}

// Gives every open file its final name, as the end of a run does.
Status close_files(FileSystem& files, Clock& clock, const FilesSinkOptions& options) {
  FilesSink sink(files, clock, options);
  TM_TRY(sink.prepare(harness_schema()));
  TM_ASSIGN(auto writer, sink.open_writer(0));
  std::vector<TopicPartition> all;
  for (int32_t p = 0; p < kHarnessPartitions; ++p) all.push_back(harness_partition(p));
  TM_TRY(writer->acquire(all));
  writer->release(all);
  return {};
}

struct FilesStore {
  explicit FilesStore(FileSystem& the_files, std::string directory) : files(the_files) {
    options.directory = std::move(directory);
    sut.clear = [this] { return files.remove_tree(options.directory); };
    sut.open = [this]() -> Result<std::unique_ptr<Sink>> {
      return std::unique_ptr<Sink>(std::make_unique<FilesSink>(files, clock, options));
    };
    sut.read = [this]() -> Result<StoredContents> {
      TM_TRY(close_files(files, clock, options));
      return read_store(files, options.directory);
    };
    sut.steps = {"files.record.written", "files.record.durable"};
    sut.steps_with_rows = {"files.rows.written", "files.roll.synced", "files.roll.renamed"};
  }
  FileSystem& files;
  ManualClock clock;
  FilesSinkOptions options;
  SinkUnderTest sut;
};

TEST(FilesSink, PassesTheHarness) {
  for (uint64_t roll_bytes : {1u, 100'000u, 128u << 20}) {
    MemoryFiles files;
    FilesStore store(files, "/files");
    store.options.roll_bytes = roll_bytes;
    store.options.journal.compact_bytes = 2000;
    if (roll_bytes > 1) store.sut.steps_with_rows.resize(1);  // not every commit rolls
    Status status = check_sink(store.sut, roll_bytes);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
}

TEST(FilesSink, StoresAllOrNothingWhereverItIsKilled) {
  Scratch scratch("files-kills");
  FilesStore store(FileSystem::posix(), scratch.path("files"));
  store.options.roll_bytes = 1;
  Status status = check_kills(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// A run of commits on a disk whose power fails at one change after another. After each failure the
// store must hold whole epochs, at least those whose commit returned ok.
TEST(FilesSink, StoresAllOrNothingWhereverThePowerFails) {
  for (uint64_t fail_at = 1;; ++fail_at) {
    MemoryFiles files;
    FilesStore store(files, "/files");
    store.options.roll_bytes = 3000;
    store.options.journal.compact_bytes = 800;
    StoreModel model;     // what is known to be stored
    StoreModel possible;  // with the commit that failed, which may be
    bool tried = false;
    files.fail_power_after(fail_at);
    auto run = [&]() -> Status {
      FilesSink sink(files, store.clock, store.options);
      TM_TRY(sink.prepare(harness_schema()));
      TM_ASSIGN(SinkSession session, SinkSession::open(sink, 0));
      TM_TRY(session.acquire({0, 1}, model));
      for (size_t i = 0; i < 6; ++i) {
        TM_ASSIGN(FilledEpoch epoch, session.fill({0, 1}, 1 + 3 * i, model));
        possible = model;
        possible.apply(epoch);
        tried = true;
        TM_TRY(session.commit(epoch));
        model = possible;
      }
      return {};
    };
    Status status = run();
    bool finished = status.ok() && !files.power_failed();
    files.crash(fail_at);
    files.fail_power_after(0);
    {
      FilesSink sink(files, store.clock, store.options);
      Status prepared = sink.prepare(harness_schema());
      ASSERT_TRUE(prepared.ok()) << fail_at << ": " << prepared.error().message;
      SinkSession session = SinkSession::open(sink, 0).value();
      if (!session.check(model).ok() && tried) model = possible;
      Status same = session.check(model);
      ASSERT_TRUE(same.ok()) << fail_at << ": " << same.error().message;
      Status acquired = session.acquire({0, 1}, model);
      ASSERT_TRUE(acquired.ok()) << fail_at << ": " << acquired.error().message;
      FilledEpoch next = session.fill({0, 1}, 5, model).value();
      Status committed = session.commit_to(next, &model);
      ASSERT_TRUE(committed.ok()) << fail_at << ": " << committed.error().message;
    }
    StoredContents stored = store.sut.read().value();
    Status same = model.compare(stored, true, false);
    ASSERT_TRUE(same.ok()) << fail_at << ": " << same.error().message;
    if (finished) break;
    ASSERT_LT(fail_at, 2000u);
  }
}

TEST(FilesSink, ReadersSeeWholeFilesOnly) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  store.options.roll_bytes = 1u << 20;
  store.options.roll_interval_us = 1'000'000;
  FilesSink sink(files, store.clock, store.options);
  ASSERT_TRUE(sink.prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1}, model).ok());
  auto commit = [&](const std::vector<int32_t>& partitions, size_t records) {
    FilledEpoch epoch = session.fill(partitions, records, model).value();
    ASSERT_TRUE(session.commit_to(epoch, &model).ok());
  };
  auto visible = [&] { return read_store(files, "/files").value().rows.size(); };
  commit({0, 1}, 100);
  EXPECT_EQ(visible(), 0u);
  // By age: also of a partition that the commit has nothing for.
  store.clock.advance_us(1'000'000);
  commit({0}, 100);
  size_t by_age = visible();
  EXPECT_GT(by_age, 200u);
  // By size.
  commit({0}, 10'000);
  EXPECT_GT(visible(), by_age + 8'000);
  // At the end.
  commit({1}, 10);
  session.writer().release(std::vector<TopicPartition>{harness_partition(0), harness_partition(1)});
  Status same = model.compare(read_store(files, "/files").value(), true, false);
  EXPECT_TRUE(same.ok()) << same.error().message;
}

TEST(FilesSink, FullDiskIsAnErrorUntilThereIsRoom) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  {
    FilesSink sink(files, store.clock, store.options);
    ASSERT_TRUE(sink.prepare(harness_schema()).ok());
    StoreModel model;
    SinkSession session = SinkSession::open(sink, 0).value();
    ASSERT_TRUE(session.acquire({0, 1}, model).ok());
    FilledEpoch epoch = session.fill({0, 1}, 50, model).value();
    ASSERT_TRUE(session.commit_to(epoch, &model).ok());
    // Room for more and more of what a commit writes, and at last for all of it.
    epoch = session.fill({0, 1}, 60, model).value();
    uint64_t used = files.used_bytes();
    for (uint64_t room = 0;; room += 700) {
      files.set_capacity(used + room);
      Status status = session.commit(epoch);
      if (status.ok()) break;
      ASSERT_EQ(status.error().code, Code::kDiskFull) << status.error().message;
      ASSERT_TRUE(status.error().retryable);
      ASSERT_TRUE(session.check(model).ok());
      ASSERT_EQ(files.used_bytes(), used) << "what was written is cut again";
    }
    model.apply(epoch);
    EXPECT_TRUE(session.check(model).ok());
    files.set_capacity(UINT64_MAX);
    epoch = session.fill({0, 1}, 10, model).value();
    EXPECT_TRUE(session.commit_to(epoch, &model).ok());
  }
}

TEST(FilesSink, AfterAFailedSyncNothingIsWrittenUntilItIsOpenedAnew) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  StoreModel model;
  for (bool journal : {false, true}) {
    {
      FilesSink sink(files, store.clock, store.options);
      ASSERT_TRUE(sink.prepare(harness_schema()).ok());
      SinkSession session = SinkSession::open(sink, 0).value();
      ASSERT_TRUE(session.acquire({0}, model).ok());
      FilledEpoch epoch = session.fill({0}, 50, model).value();
      ASSERT_TRUE(session.commit_to(epoch, &model).ok());
      epoch = session.fill({0}, 50, model).value();
      files.set_fault([&](MemoryFiles::Operation operation, const std::string& path) {
        return operation == MemoryFiles::Operation::kSync &&
               (path.find("/journal") != std::string::npos) == journal;
      });
      Status failed = session.commit(epoch);
      ASSERT_FALSE(failed.ok());
      EXPECT_FALSE(failed.error().retryable);
      EXPECT_EQ(failed.error().code == Code::kUnknown, journal);
      files.set_fault({});
      Status again = session.commit(epoch);
      ASSERT_FALSE(again.ok());
      EXPECT_EQ(again.error().code, Code::kFailed);
      EXPECT_EQ(session.writer().committed(std::vector{harness_partition(0)}).ok(), !journal);
    }
    FilesSink sink(files, store.clock, store.options);
    ASSERT_TRUE(sink.prepare(harness_schema()).ok());
    SinkSession session = SinkSession::open(sink, 0).value();
    if (!session.check(model).ok()) {
      ASSERT_TRUE(journal);
      session.assume_token(
          0, session.writer().committed(std::vector{harness_partition(0)}).value()[0].incarnation);
      model.apply(session.fill({0}, 50, model).value());
    }
    EXPECT_TRUE(session.check(model).ok());
  }
}

TEST(FilesSink, DamageIsReportedWithFileAndPlace) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  StoreModel model;
  auto open = [&]() -> Status {
    FilesSink sink(files, store.clock, store.options);
    TM_TRY(sink.prepare(harness_schema()));
    TM_ASSIGN(SinkSession session, SinkSession::open(sink, 0));
    return session.acquire({0}, model);
  };
  {
    FilesSink sink(files, store.clock, store.options);
    ASSERT_TRUE(sink.prepare(harness_schema()).ok());
    SinkSession session = SinkSession::open(sink, 0).value();
    ASSERT_TRUE(session.acquire({0}, model).ok());
    for (int i = 0; i < 3; ++i) {
      FilledEpoch epoch = session.fill({0}, 50, model).value();
      ASSERT_TRUE(session.commit_to(epoch, &model).ok());
    }
  }
  const std::string rows = "/files/harness-0/.00000000000000000100.jsonl.open";
  ASSERT_TRUE(files.exists(rows));
  files.flip(rows, 200, 4);
  Status damaged = open();
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code, Code::kCorrupt);
  EXPECT_NE(damaged.error().message.find(rows), std::string::npos) << damaged.error().message;
  files.flip(rows, 200, 4);
  ASSERT_TRUE(open().ok());

  const std::string journal = "/files/.tidemill/journal";
  files.flip(journal, 20, 1);
  damaged = open();
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().code, Code::kCorrupt);
  EXPECT_NE(damaged.error().message.find("record at byte 0"), std::string::npos) << damaged.error().message;
  files.flip(journal, 20, 1);

  std::string content = files.content(rows);
  ASSERT_TRUE(files.remove(rows).ok());
  damaged = open();
  ASSERT_FALSE(damaged.ok());
  EXPECT_NE(damaged.error().message.find("is missing"), std::string::npos) << damaged.error().message;
}

TEST(FilesSink, WholeFilesMayBeTakenAway) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  store.options.roll_bytes = 1;
  StoreModel model;
  for (int i = 0; i < 3; ++i) {
    FilesSink sink(files, store.clock, store.options);
    ASSERT_TRUE(sink.prepare(harness_schema()).ok());
    SinkSession session = SinkSession::open(sink, 0).value();
    Status acquired = session.acquire({0}, model);
    ASSERT_TRUE(acquired.ok()) << acquired.error().message;
    FilledEpoch epoch = session.fill({0}, 50, model).value();
    ASSERT_TRUE(session.commit_to(epoch, &model).ok());
    for (const std::string& path : files.paths()) {
      if (path.ends_with(".jsonl")) {
        ASSERT_TRUE(files.remove(path).ok());
      }
    }
  }
}

TEST(FilesSink, NeverReplacesAFile) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  StoreModel model;
  FilesSink sink(files, store.clock, store.options);
  ASSERT_TRUE(sink.prepare(harness_schema()).ok());
  SinkSession session = SinkSession::open(sink, 0).value();
  ASSERT_TRUE(session.acquire({0}, model).ok());
  files.set_content("/files/harness-0/00000000000000000100.jsonl", "somebody's\n");
  FilledEpoch epoch = session.fill({0}, 50, model).value();
  Status committed = session.commit(epoch);
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, Code::kCorrupt);
  EXPECT_THAT(committed.error().message, testing::HasSubstr("not in the journal"));
  EXPECT_EQ(files.content("/files/harness-0/00000000000000000100.jsonl"), "somebody's\n");
}

// What was cut again is not part of a whole file, also after a power cut.
TEST(FilesSink, AFileIsClosedWithoutWhatWasCutFromIt) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    MemoryFiles files;
    ASSERT_TRUE(files.create_directories("/out").ok());
    FilesChain chain(files, "/out/t-0");
    ASSERT_TRUE(chain.recover(std::nullopt).ok());
    ChainFile held = chain.write(Offset(0), 1, {"first\n"}).value();
    chain.accept(held);
    ASSERT_TRUE(chain.write(Offset(1), 2, {"refused\n"}).ok());
    ASSERT_TRUE(chain.cut().ok());
    held.closed = true;
    chain.accept(held);
    ASSERT_TRUE(chain.roll().ok());
    files.crash(seed);
    EXPECT_EQ(read_chain(files, "/out/t-0"), std::vector<std::string>{"first"});
  }
}

// A start that failed half-way leaves names that the disk need not keep.
TEST(FilesSink, FoldersOfAnEarlierStartAreMadeDurable) {
  for (int fails = 1; fails < 12; ++fails) {
    MemoryFiles files;
    ManualClock clock;
    ASSERT_TRUE(files.create_directories("/run").ok());
    ASSERT_TRUE(files.sync_directory("/").ok());
    FilesSinkOptions options;
    options.directory = "/run/files";
    int changes = 0;
    files.set_fault([&](MemoryFiles::Operation, const std::string&) { return ++changes == fails; });
    for (int tries = 0; tries < 2; ++tries) {
      Status closed = close_files(files, clock, options);
      if (tries == 1) {
        EXPECT_TRUE(closed.ok()) << closed.error().message;
      }
    }
    files.crash(0);
    EXPECT_TRUE(files.exists("/run/files/.tidemill/journal")) << fails;
    for (int32_t p = 0; p < kHarnessPartitions; ++p) {
      std::string name = folder_name(harness_partition(p));
      EXPECT_TRUE(files.exists("/run/files/" + name)) << fails;
      EXPECT_TRUE(files.exists("/run/files/dead-letters/" + name)) << fails;
    }
  }
}

TEST(FilesSink, OneProcessOwnsTheDirectory) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  FilesSink one(files, store.clock, store.options);
  FilesSink two(files, store.clock, store.options);
  ASSERT_TRUE(one.prepare(harness_schema()).ok());
  EXPECT_EQ(two.prepare(harness_schema()).error().code, Code::kExists);
  for (const char* bad : {".hidden", "a/b", "harness-0"}) {
    store.options.dead_folder = bad;
    FilesSink refused(files, store.clock, store.options);
    EXPECT_EQ(refused.prepare(harness_schema()).error().domain, Domain::kUser);
  }
}

TEST(FilesSink, FolderNamesHoldAnyTopic) {
  auto name = [](const std::string& topic) { return folder_name({topic, Partition(3)}); };
  EXPECT_EQ(name("telemetry.in_1-x"), "telemetry.in_1-x-3");
  EXPECT_EQ(name("../../etc"), "%2E.%2F..%2Fetc-3");
  EXPECT_EQ(name(std::string("a\0b", 3)), "a%00b-3");
  EXPECT_EQ(name("Grüße"), "Gr%C3%BC%C3%9Fe-3");
  EXPECT_EQ(name(""), "-3");
  EXPECT_NE(name("a%2Fb"), name("a/b"));
}

TEST(FilesSink, LinesHoldEventsThatHadLineBreaks) {
  MemoryFiles files;
  FilesStore store(files, "/files");
  StoreModel model;
  FilesSink sink(files, store.clock, store.options);
  ASSERT_TRUE(sink.prepare(harness_schema()).ok());
  SinkSession session = SinkSession::open(sink, 0).value();
  ASSERT_TRUE(session.acquire({0}, model).ok());
  FilledEpoch epoch = session.fill({0}, 0, model).value();
  auto batch = std::make_unique<Batch>();
  batch->source = harness_partition(0);
  static const std::string kEvent = "{\r\n \"a\": \"x\\ny\",\n \"b\": 1\r}\n";
  Record record;
  record.value = kEvent;
  record.has_value = true;
  Record tombstone;
  tombstone.offset = Offset(1);
  batch->set_records({record, tombstone}, nullptr);
  batch->select_all();
  ASSERT_TRUE(epoch.output->write(batch).ok());
  epoch.request.partitions[0].next.offset = Offset(2);
  ASSERT_TRUE(session.commit(epoch).ok());
  session.writer().release(std::vector{harness_partition(0)});
  EXPECT_EQ(read_chain(files, "/files/harness-0"),
            (std::vector<std::string>{"{   \"a\": \"x\\ny\",  \"b\": 1 } ", "null"}));
}

TEST(DeadLetters, Base64AndUtf8FollowTheirStandards) {
  auto encoded = [](std::string_view bytes) {
    std::string text;
    append_base64(bytes, &text);
    return text;
  };
  // RFC 4648, section 10.
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encoded("\xff\xfe"), "//4=");
  for (const char* good : {"", "a", "\u00e4", "\u6c34", "\U0001F30A", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe6\xb0", "a\xff"}) {
    EXPECT_FALSE(is_utf8(bad)) << encoded(bad);
  }
  EXPECT_EQ(as_utf8("a\xff\u00e4"), "a???");
  EXPECT_EQ(as_utf8("\u00e4"), "\u00e4");
}

TEST(FilesJournal, SurvivesAnyBytes) {
  PartitionState state;
  state.committed.position = {Offset(5), LeaderEpoch(2)};
  state.committed.owner = pipeline::Incarnation(7);
  state.rows = ChainFile{Offset(1), 100, 5, false, 9};
  std::string one = encode_journal_record({{{"t", Partition(1)}, state}});
  std::string journal = one + one + one;
  for (size_t size = 0; size <= journal.size(); ++size) {
    PartitionStates states;
    auto whole = replay_journal(journal.substr(0, size), &states);
    ASSERT_TRUE(whole.ok());
    EXPECT_EQ(*whole, size / one.size() * one.size());
  }
  SeededRandom random(1);
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = journal;
    damaged[random.below(damaged.size())] ^= static_cast<char>(1u << random.below(8));
    PartitionStates states;
    auto whole = replay_journal(damaged, &states);
    // Only damage in the last record can be taken for a torn tail.
    if (whole.ok()) {
      EXPECT_EQ(*whole, 2 * one.size());
    }
  }
}

}  // namespace
}  // namespace tidemill::serve
