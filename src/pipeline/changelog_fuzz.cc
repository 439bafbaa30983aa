// Changelog records of any bytes: refused as corrupt, or the same after writing them again.
#include "base/testing/fuzzing.h"
#include "pipeline/changelog.h"
#include "pipeline/operator.h"

using namespace tidemill;
using namespace tidemill::pipeline;

namespace {

bool same(const ChangelogRecord& a, const ChangelogRecord& b) {
  return a.kind == b.kind && a.epoch == b.epoch && a.incarnation == b.incarnation && a.end == b.end &&
         a.counters.read == b.counters.read && a.counters.stored == b.counters.stored &&
         a.counters.dead == b.counters.dead && a.counters.dropped == b.counters.dropped;
}

std::string run(std::string_view input, SeededRandom& random) {
  auto record = decode_changelog(input);
  if (!record.ok()) return record.error().code == Code::kCorrupt ? "" : record.error().message;
  size_t bytes = 0;
  Status walked = for_each_delta(record->deltas, [&](uint32_t, std::string_view delta) {
    bytes += delta.size();
    return Status();
  });
  if (bytes > record->deltas.size()) return "deltas larger than what holds them";
  if (!walked.ok()) return walked.error().code == Code::kCorrupt ? "" : walked.error().message;
  // In parts of any size, since deltas that are whole can be cut between one another.
  std::string together;
  auto encoded = encode_changelog(*record, record->deltas, 1 + random.below(100));
  if (!encoded.ok()) encoded = encode_changelog(*record, record->deltas, record->deltas.size());
  auto parts = std::move(encoded).value();
  for (size_t i = 0; i < parts.size(); ++i) {
    auto again = decode_changelog(parts[i]);
    if (!again.ok()) return "its own record is refused: " + again.error().message;
    if (!same(*again, *record) || again->part != i || again->last_part != (i + 1 == parts.size()))
      return "another record after writing it again";
    together += again->deltas;
  }
  return together == record->deltas ? "" : "other deltas after writing them again";
}

}  // namespace

int main(int argc, char** argv) {
  testing::FuzzTarget target;
  SeededRandom random(1);
  for (int i = 0; i < 20; ++i) {
    std::string deltas;
    DeltaWriter writer(&deltas, static_cast<uint32_t>(random.below(3)));
    for (uint64_t left = random.below(6); left > 0; --left) writer.add(std::string(random.below(200), 'd'));
    ChangelogRecord record;
    record.kind = random.below(2) == 0 ? ChangelogRecord::kFrame : ChangelogRecord::kSnapshot;
    record.epoch = Epoch(static_cast<int64_t>(random.below(1000)));
    record.end = {Offset(static_cast<int64_t>(random.next() >> 1)), LeaderEpoch(3)};
    record.counters.read = random.below(1000);
    std::vector<std::string> parts = encode_changelog(record, deltas, 210).value();
    for (std::string& part : parts) target.corpus.push_back(std::move(part));
  }
  using namespace std::string_view_literals;
  target.dictionary = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv, "\xff\xff\xff\xff\x0f"sv, "\x01\x01"sv,
                       "\0"sv};
  target.run = run;
  return testing::fuzz(argc, argv, std::move(target));
}
