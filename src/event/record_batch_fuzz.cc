// Record batches of any bytes, with every compression: nothing crashes, nothing reads outside, and
// what is accepted is written and read back unchanged.
#include "base/bytes.h"
#include "base/testing/fuzzing.h"
#include "event/record_batch.h"

using namespace tidemill;

namespace {

constexpr size_t kLimit = size_t{1} << 20;
constexpr Compression kCodecs[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy,
                                   Compression::kLz4, Compression::kZstd};

std::string sample(Compression compression, SeededRandom& random) {
  RecordBatchBuilder builder(
      {.compression = compression, .transactional = random.below(2) == 0, .producer_id = 7});
  std::string headers = encode_headers({{"h", "v"}, {"n", std::nullopt}});
  for (uint64_t left = 1 + random.below(6); left > 0; --left) {
    std::optional<std::string_view> key =
        random.below(3) == 0 ? std::nullopt : std::optional<std::string_view>("key");
    std::string value(random.below(40), 'v');
    builder.add(static_cast<int64_t>(random.below(1000)), key, value, random.below(3) == 0 ? headers : "");
  }
  return builder.finish().value();
}

bool same(const Record& a, const Record& b) {
  return a.offset == b.offset && a.timestamp_ms == b.timestamp_ms && a.key == b.key && a.value == b.value &&
         a.has_key == b.has_key && a.has_value == b.has_value && a.headers == b.headers;
}

// Builds a batch of the same records; offsets are numbered again.
std::string check_round_trip(std::vector<Record> records, Compression compression) {
  if (records.empty()) return "";
  RecordBatchBuilder builder({.compression = compression});
  for (size_t i = 0; i < records.size(); ++i) {
    Record& record = records[i];
    record.offset = Offset(static_cast<int64_t>(i));
    builder.add(record.timestamp_ms, record.has_key ? std::optional(record.key) : std::nullopt,
                record.has_value ? std::optional(record.value) : std::nullopt, record.headers);
    if (!decode_headers(record.headers).ok()) return "a record with malformed headers was accepted";
  }
  std::string built = builder.finish().value();
  auto header = parse_batch_header(built);
  if (!header.ok() || !header.value() || !check_batch(**header, built).ok())
    return "a built batch is refused";
  std::string scratch;
  std::vector<Record> again;
  Status decoded = decode_records(**header, built, SIZE_MAX, &scratch, &again);
  if (!decoded.ok()) return "a built batch has no records: " + decoded.error().message;
  if (again.size() != records.size()) return "a record is lost";
  for (size_t i = 0; i < records.size(); ++i) {
    if (!same(records[i], again[i])) return "record " + std::to_string(i) + " changed";
  }
  return "";
}

void seal(std::string& batch) {
  if (batch.size() < record_batch_layout::kRecords) return;
  store_be<int32_t>(batch.data() + record_batch_layout::kLength,
                    static_cast<int32_t>(batch.size() - record_batch_layout::kLogOverhead));
  seal_batch(batch.data(), batch.size());
}

std::string run(std::string_view batch, SeededRandom& random) {
  for (Compression codec : kCodecs) {
    std::string out;
    if (decompress(codec, batch, kLimit, &out).ok() && out.size() > kLimit) return "the limit was passed";
  }
  auto header = parse_batch_header(batch);
  if (!header.ok() || !header.value()) return "";
  bool checked = check_batch(**header, batch).ok();
  std::string scratch;
  std::vector<Record> records(1);
  Status decoded = decode_records(**header, batch, kLimit, &scratch, &records);
  if (!decoded.ok()) return records.size() == 1 ? "" : "records were left behind by an error";
  (void)transaction_marker_commits(**header, batch).ok();
  records.erase(records.begin());
  if (!checked) return "";
  return check_round_trip(std::move(records), kCodecs[random.below(std::size(kCodecs))]);
}

}  // namespace

int main(int argc, char** argv) {
  SeededRandom random(1);
  testing::FuzzTarget target;
  for (Compression codec : kCodecs) {
    for (int i = 0; i < 12; ++i) target.corpus.push_back(sample(codec, random));
  }
  target.corpus.push_back(make_transaction_marker(true, 1, 2, 3, 4));
  std::string framed(
      "\x82SNAPPY\0\0\0\0\1\0\0\0\1\0\0\0\5\3\x08"
      "abc",
      25);
  target.corpus.push_back(framed);
  using namespace std::string_view_literals;
  target.dictionary = {"\xff\xff\xff\xff\x0f"sv,
                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,
                       "\0\0\0\0"sv,
                       "\x7f\xff\xff\xff"sv,
                       "\x80\0\0\0"sv,
                       "\x01"sv,
                       "\x82SNAPPY\0"sv,
                       "\x1f\x8b\x08"sv,
                       "\x28\xb5\x2f\xfd"sv,
                       "\x04\x22\x4d\x18"sv};
  target.seal = seal;
  target.run = run;
  return testing::fuzz(argc, argv, std::move(target));
}
