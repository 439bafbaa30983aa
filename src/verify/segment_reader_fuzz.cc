// The segment reader must survive any bytes: it answers with records or an error, never otherwise.
//
// segment_reader_fuzz [--seconds N] [--seed S] [segment files…]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "verify/segment_reader.h"
#include "verify/testing/planted_run.h"

namespace tidemill::verify {
namespace {

// One file in memory.
class BytesFile final : public File {
 public:
  explicit BytesFile(const std::string& bytes) : bytes_(bytes) {}
  Result<size_t> read_at(uint64_t offset, char* to, size_t size) override {
    if (offset >= bytes_.size()) return size_t{0};
    size_t got = std::min<size_t>(size, bytes_.size() - offset);
    std::memcpy(to, bytes_.data() + offset, got);
    return got;
  }
  Status write_at(uint64_t, std::string_view) override { return internal_error("read only"); }
  Status write_at(uint64_t, const std::vector<std::string_view>&) override {
    return internal_error("read only");
  }
  Status sync() override { return ok_status(); }
  Status truncate(uint64_t) override { return internal_error("read only"); }
  Result<uint64_t> size() override { return static_cast<uint64_t>(bytes_.size()); }
  const std::string& path() const override { return path_; }

 private:
  const std::string& bytes_;
  std::string path_ = "fuzz";
};

class BytesFiles final : public FileSystem {
 public:
  std::map<std::string, std::string> content;
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode) override {
    return std::unique_ptr<File>(std::make_unique<BytesFile>(content.at(path)));
  }
  bool exists(const std::string&) override { return true; }
  Result<std::vector<std::string>> list(const std::string&) override {
    std::vector<std::string> names;
    for (const auto& [path, bytes] : content) names.push_back(path.substr(path.rfind('/') + 1));
    return names;
  }
  Status create_directories(const std::string&) override { return ok_status(); }
  Status rename(const std::string&, const std::string&) override { return ok_status(); }
  Status link(const std::string&, const std::string&) override { return ok_status(); }
  Status remove(const std::string&) override { return ok_status(); }
  Status remove_tree(const std::string&) override { return ok_status(); }
  Status sync_directory(const std::string&) override { return ok_status(); }
  Result<uint64_t> free_bytes(const std::string&) override { return uint64_t{0}; }
  Result<std::unique_ptr<FileLock>> lock(const std::string&) override { return internal_error("no locks"); }
};

std::string seed_segment(SeededRandom& random) {
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

void mutate(std::string* bytes, SeededRandom& random) {
  for (uint64_t n = random.below(8); n > 0 && !bytes->empty(); --n) {
    size_t at = random.below(bytes->size());
    switch (random.below(5)) {
      case 0:
        (*bytes)[at] = static_cast<char>(random.next());
        break;
      case 1:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << random.below(8)));
        break;
      case 2:
        bytes->resize(at);
        break;
      case 3:
        bytes->insert(at, random.below(16), static_cast<char>(random.next()));
        break;
      default:
        bytes->erase(at, random.below(16));
    }
  }
  if (random.below(2) == 0) return;
  // With right lengths and checksums, so that what lies behind them is reached.
  for (size_t at = 0; at + kBatchHeaderSize <= bytes->size();) {
    auto length = load_be<int32_t>(bytes->data() + at + 8);
    size_t size = static_cast<size_t>(length) + 12;
    if (length < 49 || at + size > bytes->size()) {
      size = bytes->size() - at;
      store_be(bytes->data() + at + 8, static_cast<int32_t>(size - 12));
    }
    (*bytes)[at + 16] = 2;
    store_be(bytes->data() + at + 17, crc32c(std::string_view(*bytes).substr(at + 21, size - 21)));
    at += size;
  }
}

void try_out(const std::string& bytes, SeededRandom& random) {
  BytesFiles files;
  files.content["d/00000000000000000000.log"] = bytes;
  auto opened =
      PartitionFiles::open(files, "d", random.below(3) == 0 ? static_cast<int64_t>(random.below(20)) : -1);
  if (!opened.ok()) return;
  RecordReader reader(**opened);
  int64_t last = -1;
  for (;;) {
    auto record = reader.next();
    if (!record.ok() || *record == nullptr) break;
    TM_CHECK((*record)->offset > last && (*record)->offset < (*opened)->end());
    last = (*record)->offset;
    std::string_view value;
    static_cast<void>(find_header((*record)->headers, "reason", &value));
  }
  for (int n = 0; n < 5; ++n) {
    auto offset = static_cast<int64_t>(random.below(30));
    auto record = reader.at(offset);
    if (record.ok() && *record != nullptr) TM_CHECK((*record)->offset == offset);
  }
}

int run(int argc, char** argv) {
  double seconds = 10;
  uint64_t seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  std::vector<std::string> corpus;
  for (int n = 1; n < argc; ++n) {
    std::string argument = argv[n];
    if (argument == "--seconds" && n + 1 < argc)
      seconds = std::atof(argv[++n]);
    else if (argument == "--seed" && n + 1 < argc)
      seed = std::strtoull(argv[++n], nullptr, 10);
    else {
      std::ostringstream bytes;
      bytes << std::ifstream(argument, std::ios::binary).rdbuf();
      corpus.push_back(bytes.str());
    }
  }
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  SeededRandom random(seed);
  for (int n = 0; n < 20; ++n) corpus.push_back(seed_segment(random));
  auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  uint64_t runs = 0;
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    std::string bytes = corpus[random.below(corpus.size())];
    if (runs >= corpus.size()) mutate(&bytes, random);
    try_out(bytes, random);
  }
  std::printf("%llu runs\n", static_cast<unsigned long long>(runs));
  return 0;
}

}  // namespace
}  // namespace tidemill::verify

int main(int argc, char** argv) {
  return tidemill::verify::run(argc, argv);
}
