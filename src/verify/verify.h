// The verifier: given a description of a run, accounts for every event of it (docs/verify.md).
//
// It shares no code with what it verifies (design point 15): own reader of segment files, own
// regeneration of each event from the manifest, SQL through DuckDB.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "azure/place.h"
#include "base/file_system.h"
#include "duck/duck.h"
#include "pg/connection.h"
#include "verify/fields.h"

namespace tidemill::verify {

// What became of the input records of one partition, as the sink committed it, counted since the
// run's start. read = stored + dead + dropped.
struct PartitionCounters {
  int64_t read = 0;
  int64_t stored = 0;
  int64_t dead = 0;
  int64_t dropped = 0;
};

// The part of a partition that belongs to the run.
struct PartitionSpan {
  int32_t partition = 0;
  int64_t start = 0;         // first offset that is kept
  int64_t visible_end = -1;  // what readers see is below it; -1: as far as the files show
  // Where a pipeline that reads it committed positions: the next offset to read, and its counters.
  std::optional<int64_t> committed;
  std::optional<PartitionCounters> counters;
};

// A topic's segment files: `<directory>/<topic>-<partition>/`.
struct TopicFiles {
  std::string directory;
  std::string topic;
  std::vector<PartitionSpan> partitions;
};

// Names of columns (DuckDB) or top-level members (topic, files) beside the event's own fields. A name that
// is empty, or that the store does not have, is not used.
struct StoreColumns {
  std::string partition = "partition";  // of the input; leave empty where there are ways
  std::string offset = "offset";
  std::string enqueued_at = "enqueuedAt";
  std::string processed_at = "processedAt";  // not compared
  std::string stored_at = "storedAt";  // a topic's own: the record's timestamp, where it has no such member
};

// Columns by which rows are divided into folders, `column=value`. An empty text in them is stored as NULL,
// and an event with a text that names no folder is a dead letter.
struct FolderColumns {
  std::vector<std::string> names;
  bool name_is_value = false;  // and none that readers of a folder's name take for NULL
};

struct DuckTable {
  std::shared_ptr<duck::Database> database;  // borrowed connection by connection; or
  std::string path;                          // opened read-only
  std::string table;
  std::string where;       // SQL condition for the rows of this run; empty: all. Rows whose position lies
                           // before the run's start are never counted
  bool unordered = false;  // rows do not come in the order in which they were stored
  FolderColumns folders;
  std::vector<std::string> wrong = {};  // with the table as a whole: reasons for FAIL
};

// In PostgreSQL.
struct PostgresTable {
  pg::Options connection;
  std::string table;         // "rawdata", "app.rawdata"
  std::string dead_letters;  // in the same schema; empty: none are kept
};

// A Delta Lake table in a folder, or in Azure storage.
struct DeltaTable {
  std::string folder;
  std::string dead_letters;  // the folder of another one; missing where there never was one
  // Where both are in Azure: how they are reached. What is read of them is first copied into the two folders,
  // which whoever asks for the verification has made for that, and removes.
  struct Remote {
    azure::Access table, dead_letters;
  };
  std::optional<Remote> remote;
};

// Parquet files in Hive-style folders (docs/connectors/parquet.md).
struct ParquetFolder {
  std::string directory;
};

// JSON Lines in folders, one for each partition (docs/formats/files.md).
struct FilesFolder {
  std::string directory;
  std::string topic;  // whose partitions the folders are named after
  std::vector<int32_t> partitions;
  std::string dead_folder = "dead-letters";  // in `directory`
  std::string journal;                       // its path; empty: that in `directory`
};

struct Store {
  // Exactly one of the six.
  std::optional<DuckTable> duck;
  std::optional<DeltaTable> delta;
  std::optional<ParquetFolder> parquet;
  std::optional<PostgresTable> postgres;
  std::optional<TopicFiles> topic;
  std::optional<FilesFolder> files;
  StoreColumns columns;
  // Further top-level members that the pipeline adds to the JSON of a topic or of files.
  std::vector<std::string> added_members;
};

struct DeadLetters {
  // PostgreSQL and Delta: as its table says. DuckDB: a table of (topic, partition, "offset", timestamp,
  // reason, key, value BLOB) in the store's database, missing where there never was one; or a topic whose
  // records' values are the events' bytes and whose headers are `reason`, `topic`, `partition`, `offset`; or
  // files of JSON Lines. None of them: none are kept.
  std::string duck_table;
  std::optional<TopicFiles> topic;
  std::optional<FilesFolder> files;
};

// A topic between the input and the store: one pipeline writes it with other keys, the next one reads it.
struct Way {
  TopicFiles topic;
  std::string by;  // the field that the keys are: FieldSpec::name; empty: as they were
  std::optional<TopicFiles> dead_letters;  // of the pipeline that writes it
};

enum class DedupKind { kNone, kLastN, kHorizon };
struct Dedup {
  DedupKind kind = DedupKind::kNone;
  size_t last_n = 100;
  int64_t horizon_us = 0;
  size_t ways =
      0;  // that records have taken before they come to it: its pipeline reads that way, 0: the input
  // Members of the event; needed where it is not the telemetry event.
  std::vector<std::string> id_path;
  std::vector<std::string> key_path;
  // Given: where it reads the input itself, a record under another key than the member is a dead letter.
  std::optional<FieldType> key_type;
};

// Rows that are no events, but count some.
struct Counts {
  std::string column;
  bool dropped_apart = false;  // nothing is dropped by the pipeline that has the query: its counters count
                               // as dropped what the rows count
  bool replaced = false;       // rows may be gone behind others of the same key
};

struct Topology {
  Dedup dedup;
  std::optional<Counts> counts;
  bool filter = false;         // events may be dropped on purpose: as many as the counters say
  bool upsert = false;         // the store replaces rows of the same id: each event is stored once
  bool repeats = false;        // at least once: an event may be stored again
  bool input_repeats = false;  // the input may hold a record more often than it was sent
};

enum class Rules { kStrict, kReference };

// Limits of the reference's rules; nullopt disables an assertion. (`missing` is always 0.)
struct ReferenceLimits {
  std::optional<double> events_per_second = 900;
  std::optional<double> latency_ms = 15'000;
  std::optional<double> duplicates = 0;
  std::optional<double> out_of_sequence = 0;
};
// Of the strict rules, beside which nothing may be lost, doubled or changed.
struct StrictLimits {
  std::optional<double> events_per_second;         // over the whole run
  std::optional<double> lowest_minute_per_second;  // where the run has a whole minute
  std::optional<double> latency_p99_ms;            // created → stored
};

struct VerifyRequest {
  // One manifest per simulator instance; none for data that a stranger sent.
  std::vector<std::string> manifests;
  TopicFiles input;
  std::vector<Way> ways;  // in the order in which records take them
  Store store;
  DeadLetters dead_letters;
  Topology topology;
  // The event's fields. Empty: those of the manifest's profile. Where the pipeline stores only
  // some (project), those that are stored: `projected` then names them by FieldSpec::name.
  std::vector<FieldSpec> fields;
  std::vector<std::string> projected;
  // The fields that the pipeline reads, by FieldSpec::name: an event with anything else in another one is no
  // dead letter where JSON is stored. nullopt: all of them.
  std::optional<std::vector<std::string>> decoded;
  // The field with the time of the event, for latency; empty: createdAt where the event has it.
  std::string time_field;
  Rules rules = Rules::kStrict;
  ReferenceLimits reference;
  StrictLimits limits;
  uint64_t event_limit_bytes = 1u << 20;  // a longer event is a dead letter
  uint64_t memory_bytes = 512u << 20;     // for what is counted per event; beyond it: more passes
  size_t examples = 5;                    // of each kind of fault in the text
  FileSystem* files = nullptr;            // nullptr: the system's
  // Asked all the time from verify()'s thread: whether to end without a verdict.
  std::function<bool()> stop;
  // Called now and then from verify()'s thread: what it does, and how far it is (0 to 1).
  std::function<void(std::string_view phase, double done)> progress;

  bool rekeyed() const { return !ways.empty(); }
};

struct Quantiles {
  uint64_t count = 0;
  double p50 = 0, p99 = 0, p99_9 = 0, max = 0;  // milliseconds, to three significant digits
};

struct ReferenceResult {
  std::optional<double> events_per_second;  // of the best minute
  std::optional<double> latency_ms;         // of the best minute
  uint64_t duplicates = 0;                  // distinct ids that occur more than once
  uint64_t out_of_sequence = 0;
  uint64_t missing = 0;
  std::vector<std::string> failures;  // one line per failed assertion
};

struct Verdict {
  bool pass = false;
  bool stopped = false;  // before it was reached: nothing of it means anything
  Rules rules = Rules::kStrict;
  uint64_t expected = 0;  // rows that the store must hold
  uint64_t stored = 0;    // rows that it holds
  uint64_t lost = 0;      // events (or copies) that are neither stored nor where they belong
  // Stored (or dead-lettered) more often than expected; no reason for FAIL where the topology repeats.
  uint64_t duplicated = 0;
  uint64_t unexpected = 0;    // not of this run, never sent, or stored although malformed
  uint64_t altered = 0;       // rows with a field that is not what was sent
  uint64_t out_of_order = 0;  // stored after one of the same partition (or device) that was accepted
                              // later, or under a position that is another event's
  std::optional<double> events_per_second;
  std::optional<Quantiles> created_to_stored;
  std::optional<Quantiles> enqueued_to_stored;

  std::optional<double> lowest_minute_per_second;
  uint64_t dead_letters = 0;
  uint64_t dead_letters_expected = 0;
  uint64_t copies_sent = 0;      // on purpose, beyond the first of each event
  uint64_t in_doubt = 0;         // events sent without an answer
  uint64_t in_doubt_stored = 0;  // of those, found in the store
  uint64_t dropped = 0;          // by operators, on purpose
  int passes = 1;
  std::optional<ReferenceResult> reference;
  std::vector<std::string> why;    // each reason for FAIL, with examples
  std::vector<std::string> notes;  // what was not compared
};

// Never fails otherwise than by its verdict: what cannot be read is a reason for FAIL. One thread.
// Memory: `memory_bytes`, the manifests, the dedup model (the last ids of every key of one
// partition) and some MB.
Verdict verify(const VerifyRequest& request);

std::string to_table(const Verdict& verdict);
// One line without its end: {"verdict":"PASS","expected":…,…}.
std::string to_json(const Verdict& verdict);

}  // namespace tidemill::verify
