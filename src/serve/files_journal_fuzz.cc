// A files sink's journal of any bytes: refused as damaged, or written anew as far as it is whole, and what
// it then says is the same after writing it again.
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/testing/fuzzing.h"
#include "base/testing/memory_files.h"
#include "serve/files_journal.h"

using namespace tidemill;
using namespace tidemill::serve;

namespace {

constexpr size_t kHeaderBytes = 12;  // magic, length, checksum

std::string sample(SeededRandom& random) {
  std::string journal;
  for (uint64_t left = 1 + random.below(5); left > 0; --left) {
    PartitionStates states;
    for (uint64_t p = 1 + random.below(3); p > 0; --p) {
      PartitionState& state = states[{"topic", Partition(static_cast<int32_t>(p))}];
      state.committed.owner = pipeline::Incarnation(3);
      if (random.below(2) == 0)
        state.committed.position = {Offset(static_cast<int64_t>(random.next() >> 1)), LeaderEpoch(1)};
      state.committed.counters.read = random.below(100'000);
      if (random.below(2) == 0) {
        state.rows = ChainFile{Offset(7), random.next(), 1, random.below(2) == 0, 12345};
      } else if (random.below(2) == 0) {
        state.files = {{"type=TEMP/topic-1-7.parquet", random.next()}, {"topic-1-7-1.parquet", 5}};
      }
      if (random.below(2) == 0) state.dead = ChainFile{Offset(9), 1, 2, false, -1};
    }
    journal += encode_journal_record(states);
  }
  return journal;
}

// Lengths that lead too far end with the journal; magics and checksums are made right.
void seal(std::string& journal) {
  for (size_t at = 0; journal.size() - at >= kHeaderBytes;) {
    size_t left = journal.size() - at - kHeaderBytes;
    size_t length = load_le<uint32_t>(journal.data() + at + 4);
    if (length > left) length = left;
    std::memcpy(journal.data() + at, "TMJ1", 4);
    store_le(journal.data() + at + 4, static_cast<uint32_t>(length));
    store_le(journal.data() + at + 8, crc32c(std::string_view(journal).substr(at + kHeaderBytes, length)));
    at += kHeaderBytes + length;
  }
}

std::string run(std::string_view input, SeededRandom&) {
  MemoryFiles files;
  if (!files.create_directories("d").ok()) return "create_directories";
  files.set_content("d/journal", std::string(input));
  PartitionStates states;
  auto journal = FilesJournal::open(files, "d/journal", {}, &states);
  if (!journal.ok()) return journal.error().code == Code::kCorrupt ? "" : journal.error().message;
  std::string whole = files.content("d/journal");
  if (whole != encode_journal_record(states) && !(whole.empty() && states.empty()))
    return "written anew as something else";
  if (Status appended = (*journal)->append(states); !appended.ok()) return appended.error().message;
  journal->reset();
  PartitionStates again;
  if (!FilesJournal::open(files, "d/journal", {}, &again).ok())
    return "what was cut and appended to is refused";
  return encode_journal_record(again) == encode_journal_record(states)
             ? ""
             : "other states after writing them again";
}

}  // namespace

int main(int argc, char** argv) {
  testing::FuzzTarget target;
  SeededRandom random(1);
  for (int i = 0; i < 20; ++i) target.corpus.push_back(sample(random));
  using namespace std::string_view_literals;
  target.dictionary = {"TMJ1"sv, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv, "\xff\xff\xff\xff\x0f"sv,
                       "\0\0\0\0"sv};
  target.seal = seal;
  target.run = run;
  return testing::fuzz(argc, argv, std::move(target));
}
