#include "log/shared.h"

#include "log/format.h"

namespace tidemill::log {

std::unique_ptr<std::string> BufferPool::take() {
  std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<std::string>();
  auto buffer = std::move(free_.back());
  free_.pop_back();
  return buffer;
}

void BufferPool::give_back(std::unique_ptr<std::string> buffer) {
  if (buffer->capacity() > kKeptBytes) return;
  std::lock_guard lock(mutex_);
  if (free_.size() < kKept) free_.push_back(std::move(buffer));
}

std::shared_ptr<const std::string> BufferPool::share(std::unique_ptr<std::string> buffer) {
  std::string* bytes = buffer.get();
  auto handle = std::shared_ptr<std::string>(buffer.release(), [pool = weak_from_this()](std::string* back) {
    std::unique_ptr<std::string> owned(back);
    if (auto alive = pool.lock()) alive->give_back(std::move(owned));
  });
  return std::shared_ptr<const std::string>(handle, bytes);
}

// Not synced: it is worth something only for as long as the system keeps what it could not write, and that
// is as long as it keeps this.
void Shared::note_failed_sync() const {
  auto noted = files.open(join_path(directory, kFailedSyncName), OpenMode::kCreate);
  static_cast<void>(noted.ok());
}

}  // namespace tidemill::log
