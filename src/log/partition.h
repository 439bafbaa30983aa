// One partition: its segments, its producers, its ends. Thread-safe; one lock orders its writes,
// reads copy what they need under it and read the disk without it.
//
// Invariant: offsets rise along the segments without overlap, and
//   log start ≤ last stable ≤ high watermark ≤ log end;
// under Durability::kSync the high watermark is at most the durable end.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "log/epochs.h"
#include "log/log.h"
#include "log/producer_state.h"
#include "log/repaired.h"
#include "log/segment.h"
#include "log/segment_scan.h"
#include "log/shared.h"
#include "log/topics_file.h"

namespace tidemill::log {

// What recovery of a partition starts from.
struct RecoveryInput {
  Offset log_start;          // from its checkpoint
  Offset recovery_point;     // below it everything is known to be durable
  bool synced_rolls = true;  // the last process synced each segment before it began the next
  // Found at opening: the first segment's name is there, but a power cut took all that was in it.
  std::optional<Offset> first_lost;
  bool failed_sync = false;  // what is not known to be durable is to be written again
  std::optional<CleanShutdown::End> clean;
};

class PartitionLog final : public Syncable, public std::enable_shared_from_this<PartitionLog> {
 public:
  PartitionLog(Shared& shared, TopicPartition tp, const TopicConfig& config);

  // Creates the directory with an empty first segment; what an interrupted creation left is reused.
  // Errors: kExists where the directory holds data.
  static Result<std::shared_ptr<PartitionLog>> create(Shared& shared, const TopicPartition& tp,
                                                      const TopicConfig& config, const TopicId& id);
  // Opens what is there and recovers it; open transactions stay open (the coordinator decides them).
  static Result<std::shared_ptr<PartitionLog>> recover(Shared& shared, const TopicPartition& tp,
                                                       const TopicConfig& config, const RecoveryInput& input);

  // ---- writing (partition_append.cc)
  Result<Appended> append(std::string& batch, bool sealed);
  // A batch of the log's own (internal topics): no producer rules.
  Result<Appended> append_own(std::string& batch);
  // Ends the producer's transaction here; nothing where none is open (the ticket is then 0).
  Result<uint64_t> append_marker(Producer producer, bool commit);
  Status roll();
  Status sync_written() override;
  // Only the segments that were rolled without a sync (kNone: off the way of appends).
  Status sync_sealed();

  // ---- reading (partition_read.cc)
  Result<Fetched> read(Offset from, size_t max_bytes, Isolation isolation);
  Result<Offset> offset_for_time(int64_t timestamp_ms);
  // Every whole batch from the log start on, in order, whatever is visible. For the coordinator at
  // opening, when nobody else uses the partition.
  Status replay(const std::function<Status(const BatchHeader&, std::string_view)>& visit);

  // ---- state
  PartitionInfo info() const;
  Result<Offset> leader_epoch_end(LeaderEpoch epoch) const;
  std::optional<int32_t> last_sequence(Producer producer) const;
  // Calls `each(id, epoch)` for the producers that it knows, under its lock.
  void for_each_producer(const std::function<void(int64_t, int16_t)>& each) const;
  // The producer's open transaction here, and the ticket that covers it.
  struct Extent {
    ProducerStates::Open open;
    uint64_t ticket = 0;
  };
  std::optional<Extent> open_transaction(int64_t producer_id) const;
  std::vector<ProducerStates::Open> open_transactions() const;
  // At opening: readers may have seen what stands from here on otherwise than it is now, so that no position
  // of theirs beyond it holds. This opening's leader epoch begins here.
  Status doubt_from(Offset first);
  const TopicPartition& id() const { return tp_; }
  uint64_t size_bytes() const;
  void set_retention(const TopicConfig& config);

  // ---- keeping (partition_retention.cc)
  // Deletes what retention no longer keeps, never at or above `hold`. Returns whether log_start rose.
  Result<bool> retain(std::optional<Offset> hold);
  // Raises log_start. Errors: kOutOfRange above the high watermark.
  Status delete_records(Offset before);
  // Removes the files of segments below log_start, after the caller tried to make that durable.
  Status remove_deleted();
  Status roll_if_old();
  Offset log_start() const;
  void expire_producers(int64_t before_ms, const std::function<bool(int64_t)>& keep);
  Offset durable_end() const;
  // Everything synced, with a producer snapshot: for the clean shutdown file.
  Result<CleanShutdown::End> close();
  void mark_deleted();

 private:
  static constexpr uint64_t kRoomAhead = 16u << 20;  // that the active segment keeps on the disk

  struct ReadHint {  // a read that begins at `offset` finds its batch at `position`
    Offset offset{-1};
    Offset base;
    uint64_t position = 0;
  };
  // Where a read begins: a file and how much of it is whole.
  struct Cursor {
    std::shared_ptr<File> file;
    Offset base;
    uint64_t position = 0;
    uint64_t limit = 0;
    Offset next;       // the batch at `position` begins here, or behind a gap that may be
    Offset end;        // every batch of the segment begins below
    Offset log_start;  // for the gaps
  };
  // A segment that was rolled without a sync (kInterval, kNone).
  struct Unsynced {
    std::shared_ptr<File> file;
    std::shared_ptr<SegmentIndexes> indexes;
    Offset end;  // of its offsets
  };
  Status sync_segments(const std::vector<Unsynced>& segments);

  std::string path(std::string_view name) const { return join_path(directory_, name); }
  Segment& active() { return segments_.back(); }
  const Segment& active() const { return segments_.back(); }
  Status check_usable() const;

  Result<Appended> write_locked(std::string& batch, BatchHeader& header, bool sealed);
  Status write_bytes(std::string_view batch);
  Status begin_epoch();
  Status roll_locked();
  Result<Segment> create_segment(Offset base, std::shared_ptr<SegmentIndexes>* indexes);
  void discard_segment_files(Offset base);
  Offset last_stable() const;
  void advance_visible();
  void advance_visible_if_weak();

  // Where to look for `from`: at its batch or a little before. The `_locked` ones need the lock.
  Result<Cursor> locate_locked(Offset from);
  Result<Cursor> cursor_locked(size_t number, uint64_t position, Offset next);
  // The start of the first segment behind `base`; nullopt where there is none.
  Result<std::optional<Cursor>> next_segment(Offset base);
  // Moves a cursor from its segment's start as far as the index leads towards the offset.
  Status seek_locked(Offset offset, Cursor* cursor);
  // The segment's batch that begins (or ends) at the offset, and its place; nullopt: there is none.
  struct Found {
    BatchHeader header;
    uint64_t position = 0;
    std::shared_ptr<File> file;
  };
  enum class At { kFirst, kLast };
  Result<std::optional<Found>> find_batch_locked(size_t number, At at, Offset offset);
  size_t segment_of_locked(Offset offset) const;
  std::optional<LeaderEpoch> epoch_before(Offset offset) const;
  void note_hint_locked(Offset offset, const Cursor& cursor);
  bool aborted_locked(int64_t producer_id, Offset offset) const;
  // What one read of the disk brought: the places of its whole batches in `bytes`.
  struct Span {
    size_t start = 0;
    size_t size = 0;
    int64_t producer_id = -1;
    Offset base;
    LeaderEpoch leader_epoch;
    bool transactional = false;
    bool skip = false;
  };
  struct Gathered {
    std::vector<Span> spans;
    Position end;
    bool stopped = false;  // at the visible end
  };
  Status gather(Cursor& cursor, Offset from, Offset visible, size_t max_bytes, std::string& bytes,
                Gathered* out);

  // partition_recovery.cc
  Status recover_files(RecoveryInput input);
  Status list_segments(RecoveryInput& input);
  Result<bool> open_clean(const CleanShutdown::End& end);
  Status scan_from(size_t number, const RecoveryInput& input);
  struct Scanned {
    IndexRebuild indexes;
    std::shared_ptr<File> file;
  };
  Result<Scanned> scan_segment(size_t number, const RecoveryInput& input);
  Result<bool> lost_before(size_t number, const RecoveryInput& input) const;
  Status remove_from(size_t number);
  Status judge(const Damage& damage, size_t number, const RecoveryInput& input) const;
  Status check_sealed(size_t end);
  Result<bool> sealed_indexes_whole(size_t number, Offset end);
  Result<bool> time_entry_holds(size_t number, const TimeEntry& entry);
  Result<bool> aborted_entry_holds(size_t number, const AbortedTransaction& entry);
  Status check_seam(const Segment& segment, Offset end, Offset next_base) const;
  Result<bool> ends_at(const Segment& segment, const std::optional<OffsetEntry>& from,
                       Offset next_base) const;
  Status note_batch(const BatchHeader& header, std::string_view batch, Segment& segment,
                    IndexRebuild& indexes);
  Result<std::optional<ProducerStates>> read_producers(Offset at) const;
  Result<bool> load_producers(Offset at);
  Status remove_segment_files(Offset base);
  Status remove_stale_snapshots();

  void raise_log_start_locked(Offset to);
  Status remove_files(const Segment& segment);

  Shared& shared_;
  const TopicPartition tp_;
  const std::string directory_;

  mutable std::mutex mutex_;
  TopicConfig config_;
  bool deleted_ = false;
  std::vector<Segment> segments_;  // by base; never empty once open; the last is active
  std::shared_ptr<SegmentIndexes> indexes_;
  std::vector<Unsynced> unsynced_;
  RepairedOffsets repaired_;
  LeaderEpochs epochs_;
  bool epoch_begun_ = false;  // this opening's epoch is in epochs_, durably
  ProducerStates producers_;
  std::unordered_map<int64_t, std::vector<std::pair<Offset, Offset>>> aborted_;  // by producer: first, last
  Offset log_start_;
  Offset log_end_;
  Offset durable_end_;
  Offset high_watermark_;
  int64_t last_append_ms_ = -1;
  int64_t active_since_us_ = 0;
  uint64_t last_ticket_ = 0;
  std::vector<Segment> to_remove_;  // below log_start_, files still there
  std::array<ReadHint, 8> hints_{};
  size_t next_hint_ = 0;
};

}  // namespace tidemill::log
