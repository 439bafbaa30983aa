// Files whose reading ends where somebody asks for that: a verification reads for as long as a run is large.
#pragma once

#include <functional>
#include <memory>

#include "base/file_system.h"

namespace tidemill::verify {

// Of work that `stop` ended.
Error stopped();

// Every read fails with stopped() once `stop` says so; the rest is as in `files`, which is borrowed.
std::unique_ptr<FileSystem> stoppable(FileSystem& files, std::function<bool()> stop);

}  // namespace tidemill::verify
