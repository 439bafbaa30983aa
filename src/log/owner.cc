#include "log/owner.h"

namespace tidemill::log {

Result<std::unique_ptr<FileLock>> lock_data_directory(FileSystem& files, const std::string& directory) {
  TM_TRY(files.create_directories(directory));
  auto lock = files.lock(join_path(directory, "lock"));
  if (lock.ok() || lock.error().code != Code::kExists) return lock;
  return external_error(directory + ": another tidemill process owns this data directory", Code::kExists,
                        true);
}

}  // namespace tidemill::log
