#include "verify/delta_copy.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/text.h"

namespace tidemill::verify {
namespace {

constexpr std::string_view kLog = "_delta_log/";
constexpr uint64_t kLeftFree = 64u << 20;

bool is_commit(const std::string& name) {
  constexpr std::string_view kEnding = ".json";
  return name.starts_with(kLog) && name.ends_with(kEnding) &&
         name.find_first_not_of("0123456789", kLog.size()) == name.size() - kEnding.size();
}

}  // namespace

Result<std::unique_ptr<DeltaCopy>> DeltaCopy::open(azure::Access access, std::string folder) {
  TM_ASSIGN(auto container, azure::Container::open(std::move(access), Clock::system(), Random::system()));
  return std::unique_ptr<DeltaCopy>(new DeltaCopy(std::move(container), std::move(folder)));
}

Status DeltaCopy::take_log() {
  const std::string prefix = container_->place().path + "/";
  std::vector<std::string> names;
  TM_TRY(container_->list(prefix + std::string(kLog), false, [&](azure::ListedBlob&& blob) {
    const std::string name = blob.name.substr(std::min(prefix.size(), blob.name.size()));
    if (is_commit(name)) names.push_back(name);
  }));
  return take(names);
}

Status DeltaCopy::take_files(const std::vector<std::string>& paths) {
  const std::string below = folder_ + "/";
  const std::string prefix = container_->place().path + "/";
  std::set<std::string> wanted;
  for (const std::string& path : paths) {
    if (!std::filesystem::path(path).lexically_normal().string().starts_with(below))
      return user_error(path + ": the table's log names a file that is elsewhere");
    if (!std::filesystem::exists(path)) wanted.insert(path.substr(below.size()));
  }
  uint64_t bytes = 0;
  if (!wanted.empty()) {
    TM_TRY(container_->list(prefix, true, [&](azure::ListedBlob&& blob) {
      if (wanted.contains(blob.name.substr(std::min(prefix.size(), blob.name.size()))))
        bytes += static_cast<uint64_t>(blob.size_bytes);
    }));
  }
  TM_ASSIGN(uint64_t room, FileSystem::posix().free_bytes(parent_path(folder_)));
  if (bytes + kLeftFree > room) {
    return external_error(parent_path(folder_) + ": verifying copies " +
                              format_bytes(static_cast<int64_t>(bytes)) + " of files here, and " +
                              format_bytes(static_cast<int64_t>(room)) +
                              " are free; free more, or give --data-dir",
                          Code::kDiskFull);
  }
  return take({wanted.begin(), wanted.end()});
}

Status DeltaCopy::take(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    TM_TRY(FileSystem::posix().create_directories(parent_path(join_path(folder_, name))));
  return azure::in_parallel(names.size(), [&](size_t i) {
    return container_->download(container_->place().path + "/" + names[i], join_path(folder_, names[i]));
  });
}

}  // namespace tidemill::verify
