// The segment reader must survive any bytes: it answers with records or an error, never otherwise.
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/testing/fuzzing.h"
#include "base/testing/memory_files.h"
#include "verify/segment_reader.h"
#include "verify/testing/planted_run.h"

namespace tidemill::verify {
namespace {

std::string sample_segment(SeededRandom& random) {
  std::string out;
  int64_t offset = 0;
  for (uint64_t n = random.below(6) + 1; n > 0; --n) {
    PlantedBatch batch;
    batch.producer_id = static_cast<int64_t>(random.below(3)) - 1;
    batch.codec = static_cast<int>(random.below(5));
    batch.append_time = random.below(2) == 0;
    if (batch.producer_id >= 0 && random.below(3) == 0) {
      batch.control = static_cast<int>(random.below(2));
      batch.codec = 0;
    } else {
      batch.transactional = batch.producer_id >= 0;
      for (uint64_t r = random.below(4) + 1; r > 0; --r) {
        batch.records.push_back({"key",
                                 random.below(2) == 0,
                                 std::string(random.below(200), 'v'),
                                 static_cast<int64_t>(random.below(1000)),
                                 {{"reason", "r"}}});
      }
    }
    out += encode_batch(batch, offset);
    offset += std::max<int64_t>(1, static_cast<int64_t>(batch.records.size()));
  }
  return out;
}

// Right magics, lengths and checksums, as far as lengths lead.
void seal(std::string& segment) {
  for (size_t at = 0; at + kBatchHeaderSize <= segment.size();) {
    auto length = load_be<int32_t>(segment.data() + at + 8);
    size_t size = static_cast<size_t>(length) + 12;
    if (length < 49 || at + size > segment.size()) {
      size = segment.size() - at;
      store_be(segment.data() + at + 8, static_cast<int32_t>(size - 12));
    }
    segment[at + 16] = 2;
    store_be(segment.data() + at + 17, crc32c(std::string_view(segment).substr(at + 21, size - 21)));
    at += size;
  }
}

std::string read_all(const PartitionFiles& partition, SeededRandom& random) {
  RecordReader reader(partition);
  int64_t last = -1;
  for (;;) {
    auto record = reader.next();
    if (!record.ok() || *record == nullptr) break;
    if ((*record)->offset <= last || (*record)->offset >= partition.end()) return "an offset out of order";
    last = (*record)->offset;
    std::string_view value;
    (void)find_header((*record)->headers, "reason", &value);
  }
  for (int n = 0; n < 5; ++n) {
    auto offset = static_cast<int64_t>(random.below(30));
    auto record = reader.at(offset);
    if (record.ok() && *record != nullptr && (*record)->offset != offset) return "at() found another offset";
  }
  return "";
}

std::string run(std::string_view input, SeededRandom& random) {
  MemoryFiles files;
  if (!files.create_directories("d").ok()) return "create_directories";
  // In one segment, or cut in two at any byte.
  size_t cut = random.below(4) == 0 ? random.below(input.size() + 1) : input.size();
  files.set_content("d/00000000000000000000.log", std::string(input.substr(0, cut)));
  if (cut < input.size()) files.set_content("d/00000000000000000007.log", std::string(input.substr(cut)));
  int64_t visible_end = random.below(3) == 0 ? static_cast<int64_t>(random.below(20)) : -1;
  auto partition = PartitionFiles::open(files, "d", visible_end);
  return partition.ok() ? read_all(**partition, random) : "";
}

}  // namespace
}  // namespace tidemill::verify

int main(int argc, char** argv) {
  using namespace std::string_view_literals;
  tidemill::testing::FuzzTarget target;
  tidemill::SeededRandom random(1);
  for (int n = 0; n < 20; ++n) target.corpus.push_back(tidemill::verify::sample_segment(random));
  target.dictionary = {"\xff\xff\xff\xff\x0f"sv, "\0\0\0\0"sv,         "\x7f\xff\xff\xff"sv, "\x82SNAPPY\0"sv,
                       "\x1f\x8b\x08"sv,         "\x28\xb5\x2f\xfd"sv, "\x04\x22\x4d\x18"sv};
  target.seal = tidemill::verify::seal;
  target.run = tidemill::verify::run;
  return tidemill::testing::fuzz(argc, argv, std::move(target));
}
