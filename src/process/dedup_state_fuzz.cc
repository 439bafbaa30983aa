// Deltas and snapshots of dedup of any bytes: refused as corrupt, or a state whose own snapshot rebuilds it.
#include "base/bytes.h"
#include "base/testing/fuzzing.h"
#include "pipeline/changelog.h"
#include "process/dedup.h"
#include "process/touch.h"

using namespace tidemill;
using namespace tidemill::process;

namespace {

std::unique_ptr<pipeline::Operator> make(bool timed) {
  DedupOptions options;
  if (timed)
    options.horizon_us = 50'000;
  else
    options.last = 5;
  auto made = make_dedup(std::move(options)).value();
  Schema schema = telemetry_schema();
  TM_CHECK(made->bind(&schema).ok());
  return made;
}

std::string snapshot_of(pipeline::OperatorInstance& instance) {
  std::string deltas;
  pipeline::DeltaWriter writer(&deltas, 0);
  instance.snapshot(writer);
  return deltas;
}

Status apply_all(pipeline::OperatorInstance& instance, std::string_view deltas) {
  return pipeline::for_each_delta(deltas,
                                  [&](uint32_t, std::string_view delta) { return instance.apply(delta); });
}

// Touches of a few keys and ids of every form, and the snapshot of the state that they make.
void add_samples(bool timed, SeededRandom& random, std::vector<std::string>* corpus) {
  std::string deltas;
  pipeline::DeltaWriter writer(&deltas, 0);
  TouchWriter touches(timed);
  int64_t now_ms = 1'700'000'000'000;
  for (int i = 0; i < 40; ++i) {
    std::string key = "device-" + std::to_string(random.below(4));
    std::string id = random.below(2) == 0
                         ? "0f8fad5b-d9cb-469f-a165-7086772895" + std::to_string(10 + random.below(20))
                         : std::string(random.below(30), 'x');
    now_ms += static_cast<int64_t>(random.below(10));
    touches.add(Touch{key, hash_key(key), Id(id), now_ms}, writer);
    if (i % 10 == 9) touches.finish(writer);
  }
  corpus->push_back(deltas);
  auto op = make(timed);
  auto instance = op->open({"t", Partition(0)});
  TM_CHECK(apply_all(*instance, deltas).ok());
  corpus->push_back(snapshot_of(*instance));
}

}  // namespace

int main(int argc, char** argv) {
  auto by_count = make(false);
  auto by_time = make(true);
  testing::FuzzTarget target;
  SeededRandom random(1);
  for (int i = 0; i < 5; ++i) {
    add_samples(false, random, &target.corpus);
    add_samples(true, random, &target.corpus);
  }
  using namespace std::string_view_literals;
  target.dictionary = {"\x01"sv,
                       "\x02"sv,
                       "\x03"sv,
                       "\0"sv,
                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,
                       "\xff\xff\xff\xff\x0f"sv};
  target.run = [&](std::string_view input, SeededRandom&) -> std::string {
    for (pipeline::Operator* op : {by_count.get(), by_time.get()}) {
      auto instance = op->open({"t", Partition(0)});
      if (!apply_all(*instance, input).ok()) continue;
      std::string snapshot = snapshot_of(*instance);
      auto again = op->open({"t", Partition(0)});
      if (!apply_all(*again, snapshot).ok()) return op->describe() + ": its own snapshot is refused";
      if (snapshot_of(*again) != snapshot) return op->describe() + ": its own snapshot makes another state";
    }
    return "";
  };
  return testing::fuzz(argc, argv, std::move(target));
}
