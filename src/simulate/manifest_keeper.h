// Writes manifests on a thread of its own: two syncs a second must not delay a single event.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/file_system.h"
#include "simulate/manifest.h"

namespace tidemill::simulate {

// Used by one thread. With `threaded` false it writes within publish().
class ManifestKeeper {
 public:
  ManifestKeeper(FileSystem& files, std::string path, bool threaded);
  // What was published last is written, or was replaced by finish().
  ~ManifestKeeper();
  ManifestKeeper(const ManifestKeeper&) = delete;
  ManifestKeeper& operator=(const ManifestKeeper&) = delete;

  // Has it written soon; a manifest that is still unwritten is replaced. Returns an earlier write's
  // error, once; a full disk is none (the next write may succeed, and the last one must).
  Status publish(Manifest manifest);
  // Writes it now, after any other.
  Status write_last(const Manifest& manifest);

 private:
  void work();
  void keep(Status written);

  FileSystem& files_;
  const std::string path_;
  const bool threaded_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Manifest> pending_;
  bool writing_ = false;
  bool closed_ = false;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace tidemill::simulate
