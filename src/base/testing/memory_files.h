// A disk in memory that fails on purpose: a file system for tests and simulation.
//
// What was not synced may vanish. crash() keeps of every file what its last sync covered, and of
// the writes since then, per sector, the state after a random number of them: a sector may be old,
// new, or in between, whatever its neighbours are; the size likewise. Of the changes to a directory
// since its last sync_directory a random first part survives. Bytes never written read as zero.
//
// Everything is drawn from the seed given to crash(): the same calls and seeds give the same disk.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"

namespace tidemill {

// Thread-safe.
class MemoryFiles final : public FileSystem {
 public:
  static constexpr size_t kSectorBytes = 512;

  MemoryFiles();
  ~MemoryFiles() override;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  bool exists(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status create_directories(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_tree(const std::string& path) override;
  Status sync_directory(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;

  // ---- faults
  // The power fails at the `operations`-th change from now on (1: the next one): it may be done in
  // part, and every call after it fails until crash(). 0: never.
  void fail_power_after(uint64_t operations);
  // The power fails between two changes: every call fails from now on until crash() or kill_process().
  void cut_power();
  bool power_failed() const;
  // Changes (writes, truncates, syncs, creations, renames, removals) so far.
  uint64_t operations() const;
  // The power comes back. Files opened before are dead: their calls fail.
  void crash(uint64_t seed);
  // The process died but not the system: every write stays, open files are dead. Calls succeed again
  // where the power had failed: then it was the process that stopped there.
  void kill_process();

  // Writes beyond this many bytes in all files fail with kDiskFull, after a part of them.
  void set_capacity(uint64_t bytes);
  uint64_t used_bytes() const;
  enum class Operation { kWrite, kSync, kSyncDirectory, kOther };
  // Asked before each change; true makes it fail with an I/O error (a write after half of it).
  void set_fault(std::function<bool(Operation, const std::string& path)> fault);

  // One change, as the judge sees it before it is done.
  struct Change {
    Operation operation;
    const std::string& path;
    uint64_t offset = 0;     // of a write; of a truncation the new size
    std::string_view bytes;  // of a write
  };
  struct Fate {
    enum Kind {
      kDone,
      kFails,  // an I/O error; of a write the first `written` bytes stand in the file
      kLies,   // a sync that answers ok and keeps nothing; else as kDone
      kPower,  // the power fails in it, as fail_power_after says
    } kind = kDone;
    size_t written = 0;
    // Of a sync that fails: the system takes what it could not write for clean (as Linux does). It reads as
    // written, but unless it is written again no later sync keeps it.
    bool drops = false;
  };
  // Sees every change and decides it, after set_fault and while the power is on. It must not call this disk.
  void set_judge(std::function<Fate(const Change&)> judge);

  // Asked before each read of an open file, while the power is on; true makes it fail with an I/O error. It
  // must not call this disk.
  void set_read_fault(std::function<bool(const std::string& path, uint64_t offset, size_t size)> fault);

  // ---- what a test does to the bytes
  void flip(const std::string& path, uint64_t position, uint8_t mask);
  std::string content(const std::string& path) const;
  void set_content(const std::string& path, std::string content);
  std::vector<std::string> paths() const;

 private:
  struct Node;
  class OpenFile;
  class Lock;
  using NodePtr = std::shared_ptr<Node>;
  struct NameChange {  // in a directory; null: removed
    std::string path;
    NodePtr node;
  };

  // These need mutex_.
  // The fate of a change that may be begun; an error where it may not.
  Result<Fate> begin_change(const Change& change);
  // For changes that are done or fail as a whole.
  Status begin_whole(const Change& change);
  Status begin_change(Operation operation, const std::string& path) {
    return begin_whole(Change{operation, path, 0, {}});
  }
  Status check_alive(uint64_t generation) const;
  NodePtr find(const std::string& path) const;
  void set_entry(const std::string& path, NodePtr node);
  uint64_t used_locked() const;
  Status write(Node& node, uint64_t offset, std::string_view bytes, const std::string& path);

  mutable std::mutex mutex_;
  std::map<std::string, NodePtr> entries_;          // as running processes see them
  std::map<std::string, NodePtr> durable_entries_;  // as of the last sync_directory of each parent
  std::map<std::string, std::vector<std::vector<NameChange>>> pending_;  // by directory, since then
  std::set<std::string> locks_;
  uint64_t generation_ = 0;
  uint64_t operations_ = 0;
  uint64_t fail_at_ = 0;
  bool failed_ = false;
  uint64_t capacity_ = UINT64_MAX;
  std::function<bool(Operation, const std::string&)> fault_;
  std::function<Fate(const Change&)> judge_;
  std::function<bool(const std::string&, uint64_t, size_t)> read_fault_;
};

}  // namespace tidemill
