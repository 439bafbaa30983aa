// A small run made by hand: manifests, input topic, store and dead letters, into which a test plants
// its faults before they are written.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "verify/expected.h"
#include "verify/verify.h"

namespace tidemill::verify {

// One record as a test builds it.
struct PlantedRecord {
  std::string key;
  bool has_key = true;
  std::string value;
  int64_t timestamp_ms = 0;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct PlantedBatch {
  std::vector<PlantedRecord> records;
  int codec = 0;
  bool append_time = true;
  int64_t producer_id = -1;
  bool transactional = false;
  int control = -1;  // 0 abort, 1 commit: a marker instead of records
};
// The bytes of one sealed RecordBatch v2.
std::string encode_batch(const PlantedBatch& batch, int64_t base_offset);

// An input record.
struct PlantedEvent {
  EventName name;
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t append_ms = 0;
  std::string key;
  bool has_key = true;
  std::string value;
  bool malformed = false;
};

// A row of the store.
struct PlantedRow {
  EventName name;
  std::string json;  // the event as it was sent
  int32_t partition = 0;
  int64_t offset = 0;
  int64_t enqueued_us = 0;
  int64_t stored_us = 0;
  std::string key = {};  // of a topic
  bool has_key = true;
};

struct PlantedDeadLetter {
  std::string topic = "in";
  int32_t partition = 0;
  int64_t offset = 0;
  std::string reason = "malformed JSON";
  std::string value;
  std::string cut = {};  // a topic's header, where not all of the value is there; empty: none
};

class PlantedRun {
 public:
  // Sends every event of the manifests (one per instance) into `manifest.partitions` partitions,
  // and processes them: dedup where asked for, malformed ones to the dead letters.
  PlantedRun(Manifest manifest, bool dedup);
  ~PlantedRun();

  Manifest base;
  bool dedup;
  bool finished = true;
  std::vector<PlantedEvent> events;  // in order of acceptance
  std::vector<PlantedRow> rows;      // in stored order
  std::vector<PlantedDeadLetter> dead;
  // Per instance and device: events taken from `acknowledged` into `in_doubt` or `not_sent`.
  std::function<void(int64_t instance, DeviceRange*)> ranges;
  // Which records the manifests count; unset: all of them.
  std::function<bool(const PlantedEvent&)> acknowledged;
  // Left as they are by default.
  bool with_positions = true;
  size_t output_partitions = 1;  // of an output topic; rows go to partition mod this
  int codec = 0;
  std::string content_sum;  // set: instead of the right one

  // Rows by the order in which they are stored, whose event is the n-th.
  PlantedRow& row(size_t n) { return rows.at(n); }

  VerifyRequest with_topic_store();
  VerifyRequest with_duck_store();
  // JSON Lines, of which the last file of each partition is still open.
  VerifyRequest with_files_store();
  std::string directory() const { return directory_; }
  // Input partitions' committed positions and counters, as a pipeline that did its work has them.
  bool with_counters = true;

 private:
  void send();
  void write_manifests(VerifyRequest* request);
  void write_input(VerifyRequest* request);
  void write_topic(const std::string& topic, const std::vector<std::vector<PlantedRecord>>& partitions);
  std::string output_json(const PlantedRow& row) const;
  // Writes a chain of files under `folder` and appends what the journal says of the newest to `state`.
  void write_chain(const std::string& folder, const std::vector<std::pair<int64_t, std::string>>& lines,
                   std::string* state) const;

  std::string directory_;
};

// Options whose runs are small and have every kind of event.
Manifest planted_manifest();

}  // namespace tidemill::verify
