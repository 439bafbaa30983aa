#include "base/testing/memory_files.h"

#include <algorithm>

namespace tidemill {
namespace {

std::string normal(const std::string& path) {
  std::string clean;
  for (char c : path) {
    if (c == '/' && !clean.empty() && clean.back() == '/') continue;
    clean += c;
  }
  if (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  return clean;
}

Error not_found(const std::string& path) {
  return external_error(path + ": No such file or directory", Code::kNotFound);
}

// One unsynced change of a file's content: a write, or a truncation to `offset`.
struct Write {
  uint64_t offset = 0;
  std::string bytes;
  bool truncate = false;
};

void apply_write(const Write& write, std::string& content) {
  if (write.truncate) {
    content.resize(write.offset, '\0');
    return;
  }
  if (content.size() < write.offset + write.bytes.size())
    content.resize(write.offset + write.bytes.size(), '\0');
  std::copy(write.bytes.begin(), write.bytes.end(), content.begin() + static_cast<ptrdiff_t>(write.offset));
}

}  // namespace

struct MemoryFiles::Node {
  bool directory = false;
  std::string content;  // as running processes see it
  std::string durable;  // as of the last sync
  std::vector<Write> pending;

  void change(Write write) {
    apply_write(write, content);
    pending.push_back(std::move(write));
  }
  void sync() {
    for (const Write& write : pending) apply_write(write, durable);
    pending.clear();
  }
  // The bytes are what they are now, on the disk too.
  void settle() {
    durable = content;
    pending.clear();
  }
  // Of each sector the state after a random number of the pending changes; so the size.
  void crash(SeededRandom& random) {
    if (!pending.empty()) durable = survivor(random);
    pending.clear();
    content = durable;
  }

 private:
  std::string survivor(SeededRandom& random) const {
    uint64_t mood = random.below(4);  // often nothing or everything survived; else it is torn
    auto version = [&] {
      if (mood == 0) return size_t{0};
      if (mood == 1) return pending.size();
      return static_cast<size_t>(random.below(pending.size() + 1));
    };
    uint64_t size = durable.size();
    uint64_t largest = size;
    size_t size_version = version();
    std::map<uint64_t, std::vector<size_t>> touched;  // by sector: the changes of its bytes
    for (size_t i = 0; i < pending.size(); ++i) {
      const Write& write = pending[i];
      uint64_t end = write.truncate ? largest : write.offset + write.bytes.size();
      for (uint64_t at = write.offset / kSectorBytes; at * kSectorBytes < end; ++at) touched[at].push_back(i);
      largest = std::max(largest, end);
      if (i < size_version) size = write.truncate ? write.offset : std::max(size, end);
    }
    std::string survived = durable;
    survived.resize(largest, '\0');
    for (const auto& [sector, changes] : touched) {
      size_t until = version();
      uint64_t from = sector * kSectorBytes;
      uint64_t to = std::min<uint64_t>(from + kSectorBytes, largest);
      for (size_t i : changes) {
        if (i >= until) break;
        const Write& write = pending[i];
        uint64_t first = std::max(from, write.offset);
        uint64_t last = write.truncate ? to : std::min<uint64_t>(to, write.offset + write.bytes.size());
        for (uint64_t at = first; at < last; ++at) {
          survived[at] = write.truncate ? '\0' : write.bytes[at - write.offset];
        }
      }
    }
    survived.resize(size);
    return survived;
  }
};

class MemoryFiles::OpenFile final : public File {
 public:
  OpenFile(MemoryFiles& files, NodePtr node, std::string path)
      : files_(files), node_(std::move(node)), path_(std::move(path)), generation_(files.generation_) {}

  Result<size_t> read_at(uint64_t offset, char* to, size_t size) override {
    std::lock_guard lock(files_.mutex_);
    TM_TRY(files_.check_alive(generation_));
    if (files_.read_fault_ && files_.read_fault_(path_, offset, size))
      return external_error(path_ + ": read: Input/output error");
    const std::string& content = node_->content;
    if (offset >= content.size()) return size_t{0};
    size_t count = std::min<size_t>(size, content.size() - offset);
    std::copy_n(content.data() + offset, count, to);
    return count;
  }
  Status write_at(uint64_t offset, std::string_view bytes) override {
    std::lock_guard lock(files_.mutex_);
    TM_TRY(files_.check_alive(generation_));
    return files_.write(*node_, offset, bytes, path_);
  }
  Status write_at(uint64_t offset, const std::vector<std::string_view>& parts) override {
    std::string bytes;
    for (std::string_view part : parts) bytes += part;
    return write_at(offset, bytes);
  }
  Status sync() override {
    std::lock_guard lock(files_.mutex_);
    TM_TRY(files_.check_alive(generation_));
    TM_ASSIGN(Fate fate, files_.begin_change({Operation::kSync, path_, 0, {}}));
    if (fate.kind == Fate::kFails) {
      if (fate.drops) node_->pending.clear();
      return external_error(path_ + ": Input/output error");
    }
    if (fate.kind != Fate::kLies) node_->sync();
    return {};
  }
  Status truncate(uint64_t size) override {
    std::lock_guard lock(files_.mutex_);
    TM_TRY(files_.check_alive(generation_));
    TM_TRY(files_.begin_whole({Operation::kOther, path_, size, {}}));
    node_->change({size, {}, true});
    return {};
  }
  Result<uint64_t> size() override {
    std::lock_guard lock(files_.mutex_);
    TM_TRY(files_.check_alive(generation_));
    return static_cast<uint64_t>(node_->content.size());
  }
  const std::string& path() const override { return path_; }

 private:
  MemoryFiles& files_;
  NodePtr node_;
  std::string path_;
  uint64_t generation_;
};

class MemoryFiles::Lock final : public FileLock {
 public:
  Lock(MemoryFiles& files, std::string path)
      : files_(files), path_(std::move(path)), generation_(files.generation_) {}
  ~Lock() override {
    std::lock_guard lock(files_.mutex_);
    if (generation_ == files_.generation_) files_.locks_.erase(path_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  MemoryFiles& files_;
  std::string path_;
  uint64_t generation_;
};

MemoryFiles::MemoryFiles() {
  auto root = std::make_shared<Node>();
  root->directory = true;
  entries_["/"] = root;
  durable_entries_["/"] = root;
}
MemoryFiles::~MemoryFiles() = default;

// ---- needs mutex_

Status MemoryFiles::check_alive(uint64_t generation) const {
  if (failed_) return external_error("the power failed");
  if (generation != generation_) return external_error("the process that opened this file is gone");
  return {};
}

Result<MemoryFiles::Fate> MemoryFiles::begin_change(const Change& change) {
  if (failed_) return external_error("the power failed");
  ++operations_;
  bool write = change.operation == Operation::kWrite;
  Fate fate;
  if (fail_at_ != 0 && operations_ >= fail_at_) fate.kind = Fate::kPower;
  if (fate.kind == Fate::kDone && fault_ && fault_(change.operation, change.path))
    fate = {Fate::kFails, change.bytes.size() / 2};
  if (fate.kind == Fate::kDone && judge_) fate = judge_(change);
  if (fate.kind == Fate::kPower) {
    failed_ = true;
    // A write may still reach the disk in part (write() does it); anything else may or may not be done.
    if (!write) return external_error("the power failed");
  }
  return fate;
}

Status MemoryFiles::begin_whole(const Change& change) {
  TM_ASSIGN(Fate fate, begin_change(change));
  if (fate.kind == Fate::kFails) return external_error(change.path + ": Input/output error");
  return {};
}

MemoryFiles::NodePtr MemoryFiles::find(const std::string& path) const {
  auto found = entries_.find(path);
  return found == entries_.end() ? nullptr : found->second;
}

void MemoryFiles::set_entry(const std::string& path, NodePtr node) {
  if (node) {
    entries_[path] = std::move(node);
  } else {
    entries_.erase(path);
  }
}

uint64_t MemoryFiles::used_locked() const {
  uint64_t used = 0;
  std::set<const Node*> seen;
  for (const auto& [path, node] : entries_) {
    if (seen.insert(node.get()).second) used += node->content.size();
  }
  return used;
}

Status MemoryFiles::write(Node& node, uint64_t offset, std::string_view bytes, const std::string& path) {
  TM_ASSIGN(Fate fate, begin_change({Operation::kWrite, path, offset, bytes}));
  if (fate.kind == Fate::kPower) {
    node.change({offset, std::string(bytes), false});
    return external_error("the power failed");
  }
  if (fate.kind == Fate::kFails) {
    node.change({offset, std::string(bytes.substr(0, std::min(fate.written, bytes.size()))), false});
    return external_error(path + ": write: Input/output error");
  }
  uint64_t end = offset + bytes.size();
  uint64_t grows = end > node.content.size() ? end - node.content.size() : 0;
  uint64_t used = capacity_ == UINT64_MAX ? 0 : used_locked();
  if (capacity_ != UINT64_MAX && grows > 0 && used + grows > capacity_) {
    uint64_t room = capacity_ > used ? capacity_ - used : 0;
    uint64_t fits = std::min<uint64_t>(bytes.size(), bytes.size() - grows + room);
    if (fits > 0) node.change({offset, std::string(bytes.substr(0, fits)), false});
    return external_error(path + ": write: No space left on device", Code::kDiskFull, true);
  }
  node.change({offset, std::string(bytes), false});
  return {};
}

// ---- FileSystem

Result<std::unique_ptr<File>> MemoryFiles::open(const std::string& raw, OpenMode mode) {
  std::string path = normal(raw);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  NodePtr node = find(path);
  if (node && node->directory) return external_error(path + ": Is a directory");
  if (node && mode == OpenMode::kCreateNew) return external_error(path + ": File exists", Code::kExists);
  if (!node) {
    NodePtr parent = find(parent_path(path));
    if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite || !parent || !parent->directory)
      return not_found(path);
    TM_TRY(begin_change(Operation::kOther, path));
    node = std::make_shared<Node>();
    set_entry(path, node);
    pending_[parent_path(path)].push_back({{path, node}});
  }
  return std::unique_ptr<File>(std::make_unique<OpenFile>(*this, node, path));
}

bool MemoryFiles::exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return !failed_ && find(normal(path)) != nullptr;
}

Result<std::vector<std::string>> MemoryFiles::list(const std::string& raw) {
  std::string directory = normal(raw);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  NodePtr node = find(directory);
  if (!node || !node->directory) return not_found(directory);
  std::vector<std::string> names;
  for (const auto& [path, entry] : entries_) {
    if (path != directory && parent_path(path) == directory)
      names.push_back(path.substr(path.rfind('/') + 1));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status MemoryFiles::create_directories(const std::string& raw) {
  std::string path = normal(raw);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    std::string part = path.substr(0, at);
    NodePtr node = find(part);
    if (node && !node->directory) return external_error(part + ": Not a directory");
    if (!node) {
      TM_TRY(begin_change(Operation::kOther, part));
      node = std::make_shared<Node>();
      node->directory = true;
      set_entry(part, node);
      pending_[parent_path(part)].push_back({{part, node}});
    }
    if (at == std::string::npos) return {};
  }
}

Status MemoryFiles::rename(const std::string& raw_from, const std::string& raw_to) {
  std::string from = normal(raw_from);
  std::string to = normal(raw_to);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  NodePtr node = find(from);
  if (!node) return not_found(from);
  if (node->directory) return external_error(from + ": renaming directories is not modelled");
  TM_TRY(begin_change(Operation::kOther, from));
  set_entry(from, nullptr);
  set_entry(to, node);
  TM_CHECK(parent_path(from) == parent_path(to), "renames across directories are not modelled");
  pending_[parent_path(to)].push_back({{from, nullptr}, {to, node}});
  return {};
}

Status MemoryFiles::link(const std::string& raw_from, const std::string& raw_to) {
  std::string from = normal(raw_from);
  std::string to = normal(raw_to);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  NodePtr node = find(from);
  if (!node) return not_found(from);
  if (find(to)) return external_error(to + ": File exists", Code::kExists);
  TM_TRY(begin_change(Operation::kOther, to));
  set_entry(to, node);
  pending_[parent_path(to)].push_back({{to, node}});
  return {};
}

Status MemoryFiles::remove(const std::string& raw) {
  std::string path = normal(raw);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  NodePtr node = find(path);
  if (!node) return not_found(path);
  TM_TRY(begin_change(Operation::kOther, path));
  set_entry(path, nullptr);
  pending_[parent_path(path)].push_back({{path, nullptr}});
  return {};
}

Status MemoryFiles::remove_tree(const std::string& raw) {
  std::string path = normal(raw);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  std::vector<std::string> gone;
  for (const auto& [name, node] : entries_) {
    if (name == path || name.starts_with(path + "/")) gone.push_back(name);
  }
  for (size_t i = gone.size(); i-- > 0;) {
    TM_TRY(begin_change(Operation::kOther, gone[i]));
    set_entry(gone[i], nullptr);
    pending_[parent_path(gone[i])].push_back({{gone[i], nullptr}});
  }
  return {};
}

Status MemoryFiles::sync_directory(const std::string& raw) {
  std::string path = normal(raw);
  std::lock_guard lock(mutex_);
  TM_TRY(check_alive(generation_));
  NodePtr node = find(path);
  if (!node || !node->directory) return not_found(path);
  TM_ASSIGN(Fate fate, begin_change({Operation::kSyncDirectory, path, 0, {}}));
  if (fate.kind == Fate::kFails) return external_error(path + ": Input/output error");
  if (fate.kind == Fate::kLies) return {};
  for (const auto& changes : pending_[path]) {
    for (const NameChange& change : changes) {
      if (change.node) {
        durable_entries_[change.path] = change.node;
      } else {
        durable_entries_.erase(change.path);
      }
    }
  }
  pending_.erase(path);
  return {};
}

Result<uint64_t> MemoryFiles::free_bytes(const std::string&) {
  std::lock_guard lock(mutex_);
  uint64_t used = used_locked();
  return capacity_ > used ? capacity_ - used : 0;
}

Result<std::unique_ptr<FileLock>> MemoryFiles::lock(const std::string& raw) {
  std::string path = normal(raw);
  std::lock_guard guard(mutex_);
  TM_TRY(check_alive(generation_));
  if (!locks_.insert(path).second) {
    return external_error(path + ": held by another process", Code::kExists, true);
  }
  return std::unique_ptr<FileLock>(std::make_unique<Lock>(*this, path));
}

// ---- faults

void MemoryFiles::fail_power_after(uint64_t count) {
  std::lock_guard lock(mutex_);
  fail_at_ = count == 0 ? 0 : operations_ + count;
}

bool MemoryFiles::power_failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

void MemoryFiles::cut_power() {
  std::lock_guard lock(mutex_);
  failed_ = true;
}

uint64_t MemoryFiles::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

void MemoryFiles::crash(uint64_t seed) {
  std::lock_guard lock(mutex_);
  SeededRandom random(seed);
  for (auto& [directory, changes] : pending_) {
    size_t survive = static_cast<size_t>(random.below(changes.size() + 1));
    for (size_t i = 0; i < survive; ++i) {
      for (const NameChange& change : changes[i]) {
        if (change.node) {
          durable_entries_[change.path] = change.node;
        } else {
          durable_entries_.erase(change.path);
        }
      }
    }
  }
  pending_.clear();
  std::erase_if(durable_entries_, [&](const auto& entry) {  // ascending: a parent goes before its children
    return entry.first != "/" && !durable_entries_.contains(parent_path(entry.first));
  });
  entries_ = durable_entries_;
  std::set<Node*> seen;
  for (auto& [path, node] : entries_) {
    if (seen.insert(node.get()).second) node->crash(random);
  }
  locks_.clear();
  ++generation_;
  failed_ = false;
  fail_at_ = 0;
}

void MemoryFiles::kill_process() {
  std::lock_guard lock(mutex_);
  locks_.clear();
  ++generation_;
  failed_ = false;
  fail_at_ = 0;
}

void MemoryFiles::set_capacity(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

uint64_t MemoryFiles::used_bytes() const {
  std::lock_guard lock(mutex_);
  return used_locked();
}

void MemoryFiles::set_fault(std::function<bool(Operation, const std::string&)> fault) {
  std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

void MemoryFiles::set_judge(std::function<Fate(const Change&)> judge) {
  std::lock_guard lock(mutex_);
  judge_ = std::move(judge);
}

void MemoryFiles::set_read_fault(std::function<bool(const std::string&, uint64_t, size_t)> fault) {
  std::lock_guard lock(mutex_);
  read_fault_ = std::move(fault);
}

void MemoryFiles::flip(const std::string& path, uint64_t position, uint8_t mask) {
  std::lock_guard lock(mutex_);
  NodePtr node = find(normal(path));
  TM_CHECK(node && position < node->content.size(), "flip: no such byte");
  node->content[position] = static_cast<char>(node->content[position] ^ static_cast<char>(mask));
  node->settle();
}

std::string MemoryFiles::content(const std::string& path) const {
  std::lock_guard lock(mutex_);
  NodePtr node = find(normal(path));
  TM_CHECK(node != nullptr, "content: no such file");
  return node->content;
}

void MemoryFiles::set_content(const std::string& raw, std::string content) {
  std::string path = normal(raw);
  std::lock_guard lock(mutex_);
  NodePtr node = find(path);
  if (!node) {
    TM_CHECK(find(parent_path(path)) != nullptr, "set_content: no such directory");
    node = std::make_shared<Node>();
    entries_[path] = node;
    durable_entries_[path] = node;
  }
  node->content = std::move(content);
  node->settle();
}

std::vector<std::string> MemoryFiles::paths() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [path, node] : entries_) {
    if (!node->directory) names.push_back(path);
  }
  return names;
}

}  // namespace tidemill
