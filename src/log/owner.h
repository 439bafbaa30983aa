// The lock of a data directory: one process owns it (design point 13).
#pragma once

#include <memory>
#include <string>

#include "base/file_system.h"
#include "base/result.h"

namespace tidemill::log {

// Held until destroyed or the process dies. Errors: kExists while another process holds it.
Result<std::unique_ptr<FileLock>> lock_data_directory(FileSystem& files, const std::string& directory);

}  // namespace tidemill::log
