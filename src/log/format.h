// Names and sizes of the embedded log's files. Normative page: docs/formats/log.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "event/position.h"

namespace tidemill::log {

inline constexpr std::string_view kLogSuffix = ".log";
inline constexpr std::string_view kIndexSuffix = ".index";
inline constexpr std::string_view kTimeIndexSuffix = ".timeindex";
inline constexpr std::string_view kTxnIndexSuffix = ".txnindex";
inline constexpr std::string_view kSnapshotSuffix = ".snapshot";
inline constexpr std::string_view kDeletedSuffix = ".deleted";
inline constexpr std::string_view kTemporarySuffix = ".tmp";

inline constexpr std::string_view kEpochCheckpointName = "leader-epoch-checkpoint";
inline constexpr std::string_view kRepairedName = "repaired-offsets";
inline constexpr std::string_view kPartitionMetadataName = "partition.metadata";
inline constexpr std::string_view kTopicsName = "topics";
inline constexpr std::string_view kCleanShutdownName = "clean-shutdown";
// There after a failed sync: the system may take pages for clean that the disk never got, so that they read
// as written and no sync keeps them. Recovery writes them again.
inline constexpr std::string_view kFailedSyncName = "sync-failed";
inline constexpr std::string_view kRecoveryPointName = "recovery-point-offset-checkpoint";
inline constexpr std::string_view kLogStartName = "log-start-offset-checkpoint";

inline constexpr std::string_view kTransactionsTopic = "__transactions";

// The unit in which a power cut persists or drops a write: what recovery calls torn.
inline constexpr uint64_t kSectorBytes = 512;
// A segment's offsets and positions are 32-bit in its indexes.
inline constexpr uint64_t kMaxSegmentBytes = (1ull << 31) - 1;

// "00000000000000000042": the name of a segment's files without their suffix.
std::string segment_stem(Offset base);
// The offset in "<20 digits><suffix>"; nullopt where `name` is not of that form.
std::optional<Offset> parse_segment_name(std::string_view name, std::string_view suffix);

inline bool internal_topic(std::string_view topic) {
  return topic.starts_with("__");
}
// Kafka's rule: 1 to 249 of [a-zA-Z0-9._-], neither "." nor "..". Errors: kInvalid.
Status check_topic_name(const std::string& name);

// Where `value` stands on a whole number's digits and nothing else; nullopt where not, or too large.
std::optional<int64_t> parse_integer(std::string_view text);

// The damage that a segment may have, said the same way by recovery, reads and repair.
Error corrupt_segment(const std::string& path, uint64_t position, const std::string& what);

}  // namespace tidemill::log
