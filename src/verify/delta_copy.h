// Copies of what the verifier reads of a Delta table in Azure storage.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "azure/container.h"

namespace tidemill::verify {

class DeltaCopy {
 public:
  // Into `folder` of this machine. Errors: the store cannot be reached.
  static Result<std::unique_ptr<DeltaCopy>> open(azure::Access access, std::string folder);
  // The commits that there are now.
  Status take_log();
  // These files of the table, by their paths below `folder`; those that are there already are not taken
  // again. Errors (kDiskFull): there is no room for them.
  Status take_files(const std::vector<std::string>& paths);

 private:
  DeltaCopy(std::unique_ptr<azure::Container> container, std::string folder)
      : container_(std::move(container)), folder_(std::move(folder)) {}
  Status take(const std::vector<std::string>& names);

  const std::unique_ptr<azure::Container> container_;
  const std::string folder_;
};

}  // namespace tidemill::verify
