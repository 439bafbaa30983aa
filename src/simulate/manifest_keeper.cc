#include "simulate/manifest_keeper.h"

#include "base/logging.h"

namespace tidemill::simulate {

ManifestKeeper::ManifestKeeper(FileSystem& files, std::string path, bool threaded)
    : files_(files), path_(std::move(path)), threaded_(threaded) {
  if (threaded_) thread_ = std::thread([this] { work(); });
}

ManifestKeeper::~ManifestKeeper() {
  if (!threaded_) return;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Status ManifestKeeper::publish(Manifest manifest) {
  std::unique_lock lock(mutex_);
  if (threaded_) {
    pending_ = std::move(manifest);
    lock.unlock();
    changed_.notify_all();
    lock.lock();
  } else {
    keep(write_manifest(files_, path_, manifest));
  }
  if (!error_) return {};
  Error error = std::move(*error_);
  error_.reset();
  return error;
}

Status ManifestKeeper::write_last(const Manifest& manifest) {
  {
    std::unique_lock lock(mutex_);
    pending_.reset();
    changed_.wait(lock, [&] { return !writing_; });
  }
  return write_manifest(files_, path_, manifest);
}

void ManifestKeeper::keep(Status written) {
  if (written.ok()) return;
  if (written.error().retryable) {
    log_warning(written.error().message + "; the manifest is written again soon");
    return;
  }
  error_ = std::move(written).error();
}

void ManifestKeeper::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closed_ || pending_; });
    if (!pending_) return;
    const Manifest manifest = std::move(*pending_);
    pending_.reset();
    writing_ = true;
    lock.unlock();
    Status written = write_manifest(files_, path_, manifest);
    lock.lock();
    writing_ = false;
    keep(std::move(written));
    changed_.notify_all();
  }
}

}  // namespace tidemill::simulate
