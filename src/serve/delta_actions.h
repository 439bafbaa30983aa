// The actions of Delta Lake's transaction log, as lines of JSON: those that a writer of rows needs.
// Format: the Delta Transaction Log Protocol, https://github.com/delta-io/delta/blob/master/PROTOCOL.md.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::serve {

// Column to value; nullopt: NULL.
using DeltaPartition = std::map<std::string, std::optional<std::string>>;

struct DeltaProtocol {
  int64_t reader = 1;
  int64_t writer = 2;
  std::string json;  // the whole action, here and below: {"protocol":{…}}
};
struct DeltaMetaData {
  std::string id;
  std::string schema;  // JSON
  std::vector<std::string> partition_columns;
  std::map<std::string, std::string> configuration;
  std::string json;
};
struct DeltaTxn {
  std::string app;
  int64_t version = 0;
  std::string json;
};
struct DeltaAdd {
  std::string path;  // as the log has it: a URI, relative to the table
  DeltaPartition partition;
  int64_t size_bytes = 0;
  int64_t modified_ms = 0;  // since 1970 UTC, by the clock of whoever wrote it
  bool data_change = true;
  bool deletion_vector = false;
  std::string json;
};
struct DeltaRemove {
  std::string path;
  int64_t deleted_ms = 0;
  std::string json;
};

struct DeltaActions {
  std::optional<DeltaProtocol> protocol;
  std::optional<DeltaMetaData> meta_data;
  std::vector<DeltaTxn> txns;
  std::vector<DeltaAdd> adds;
  std::vector<DeltaRemove> removes;
  int64_t time_ms = -1;   // of commitInfo; -1: it has none
  std::string commit_id;  // its txnId
};

// Of lines that each hold one action, others null or missing (a commit; rows of a checkpoint as JSON).
// Unknown actions are passed over. Errors (kCorrupt): what is no JSON, or lacks what it must have; a file
// that is not below the table.
Status parse_delta_actions(std::string_view lines, DeltaActions* into);

// A line each, with its line break.
std::string delta_protocol_line(int reader, int writer);
std::string delta_meta_data_line(const std::string& id, const std::string& schema,
                                 const std::vector<std::string>& partition_columns,
                                 const std::map<std::string, std::string>& configuration, int64_t created_ms);
std::string delta_txn_line(const std::string& app, int64_t version, int64_t now_ms);
// `stats`: JSON; empty: none.
std::string delta_add_line(const std::string& path, const DeltaPartition& partition, int64_t size_bytes,
                           int64_t now_ms, bool data_change, const std::string& stats);
std::string delta_remove_line(const DeltaAdd& file, int64_t now_ms, bool data_change);
// `operation`: "WRITE", "OPTIMIZE" …; `parameters`: JSON members, without braces; `id`: no other commit has
// it.
std::string delta_commit_info_line(const std::string& operation, const std::string& parameters,
                                   int64_t now_ms, const std::string& id);

// A path below the table as a URI, and back.
std::string delta_uri(std::string_view path);
std::string delta_path(std::string_view uri);

}  // namespace tidemill::serve
