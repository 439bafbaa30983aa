// Telemetry events, each by its identity: the state of that accounting, and its steps.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "verify/expected.h"
#include "verify/row_beside.h"

namespace tidemill::verify {

struct Cell {
  uint8_t input = 0;    // records of the input topic
  uint8_t kept = 0;     // of those, what is left of them behind the dedup
  uint8_t pending = 0;  // records that no pipeline has committed yet
  uint8_t stored = 0;
  uint8_t dead = 0;
  bool too_long = false;
  bool judged = false;
};

// What the input says of a position.
enum class Due : uint8_t { kNothing, kStored, kDropped, kDead, kForeign };
struct Place {
  Due due = Due::kNothing;
  bool pending = false;
  uint8_t stored = 0;
};

enum class Sent { kAcknowledged, kInDoubt, kNotSent };

// One simulator instance.
struct Instance {
  explicit Instance(const Manifest& m) : manifest(&m), schedule(m), events(schedule) {}
  const Manifest* manifest;
  Schedule schedule;
  TelemetryEvents events;
  std::vector<DeviceRange> ranges;  // by position in the device order
  int64_t extent = 0;               // events i below it can have been sent
  int64_t stride = 1;               // places per device: events of one device stand together
  int64_t base = 0;

  int64_t slot(int64_t i) const {
    return base + static_cast<int64_t>(schedule.position_of(i)) * stride + schedule.sequence_of(i);
  }
};

class ById {
 public:
  explicit ById(Run& run)
      : run_(run),
        ids_(run.manifests.front().seed),
        keys_(run),
        positions_(run.rows->shape().positions),
        dedup_(run.request.topology.dedup.kind != DedupKind::kNone) {
    for (const Way& way : run.request.ways) {
      auto by = std::find_if(run.fields.begin(), run.fields.end(),
                             [&](const FieldSpec& field) { return field.name == way.by; });
      if (by != run.fields.end()) {
        rekeyed_by_.push_back(static_cast<size_t>(by - run.fields.begin()));
        continue;
      }
      ordered_ = false;
      run.faults.note("order is not compared behind a rekey by " + way.by +
                      ", which the simulated event has not");
    }
  }

  Status go();

 private:
  Status find_extents();
  Status extend_to_input();
  void plan_windows();
  Status pass(int number);
  Status read_input(bool first);
  Status read_ways(bool first);
  void check_input_record(const LogRecord& record, size_t partition, Instance& of, int64_t i);
  Status read_rows(bool first);
  Result<bool> check_row(const StoredRow& row, Instance& of, int64_t i);
  Status check_time(const StoredRow& row, Instance& of, int64_t i);
  const std::string& further_of(Instance& of, int64_t i);
  void check_order(const StoredRow& row, size_t partition, Instance& of, int64_t i, bool again);
  Status read_dead_letters(bool first);
  void judge_window();
  void judge(Instance& of, int64_t i, Sent status);
  void judge_places();
  void finish();

  Instance* find(std::string_view id, int64_t* i);
  static std::string name_of(int64_t slot) { return {reinterpret_cast<const char*>(&slot), sizeof slot}; }
  std::string wrong_time(const StoredRow& row, int64_t due_us) const;
  std::string say(const Instance& of, int64_t i) const;
  Cell* cell(int64_t slot) { return slots_.holds(slot) ? &cells_[slots_.index(slot)] : nullptr; }

  Run& run_;
  EventIds ids_;
  KeyRule keys_;
  bool positions_;
  bool dedup_;
  std::vector<size_t> rekeyed_by_;  // fields
  bool ordered_ = true;
  std::vector<std::unique_ptr<Instance>> instances_;  // by number
  int64_t slots_total_ = 0;
  int64_t stride_ = 1;
  int passes_ = 1;
  Window slots_, places_;
  std::vector<Cell> cells_;
  std::optional<std::string> further_;  // what every event has beside its fields
  std::vector<int64_t> first_places_;   // without positions in the store: where the input has it first
  std::vector<Place> place_cells_;
  std::vector<int64_t> highest_;  // stored so far, per input partition
  // The same per way that a device's events take: by input partition and the fields of new keys.
  std::unordered_map<uint64_t, int64_t> highest_of_way_;
  std::vector<std::string> dead_reasons_;
  Found found_;
  uint64_t dropped_by_dedup_ = 0;
  int64_t missing_behind_filter_ = 0;
  uint64_t missing_places_ = 0, doubled_places_ = 0, misplaced_ = 0;
  Sum128 input_sum_ = 0;
  bool foreign_input_ = false;
};

}  // namespace tidemill::verify
