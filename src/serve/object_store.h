// Where a table's files are: names below one place, '/' between folders. Behind it stands a folder of this
// machine; what an object store in the network has, and no more, is asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"

namespace tidemill::serve {

struct StoredObject {
  std::string name;
  int64_t modified_ms = 0;  // since 1970 UTC, by the store's clock
  int64_t size_bytes = 0;
};

// Thread-safe.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual const std::string& place() const = 0;

  // The whole content appears at once, durably, or not at all. Errors: kExists where there is one, whatever
  // it holds; kUnknown where it may or may not be there.
  virtual Status put_if_absent(const std::string& name, std::string_view content) = 0;
  // Replaces what is there, as a whole.
  virtual Status put(const std::string& name, std::string_view content) = 0;
  virtual Result<std::string> get(const std::string& name) = 0;  // kNotFound
  // Names (without the folder) in a folder, sorted; none where there is no such folder.
  virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;
  // Everything in the store, in folders at any depth.
  virtual Result<std::vector<StoredObject>> list_all() = 0;
  virtual Status remove(const std::string& name) = 0;

  // Data files are written by DuckDB, at a path of this machine, and are then made durable under their names.
  // Nobody reads them before that.
  virtual std::string path_of(const std::string& name) const = 0;
  virtual Status keep(const std::vector<std::string>& names) = 0;
};

// Put-if-absent is link(2), which never replaces; a rename would.
class FolderStore final : public ObjectStore {
 public:
  FolderStore(FileSystem& files, Random& random, std::string folder)
      : files_(files), random_(random), folder_(std::move(folder)) {}
  const std::string& place() const override { return folder_; }
  Status put_if_absent(const std::string& name, std::string_view content) override;
  Status put(const std::string& name, std::string_view content) override;
  Result<std::string> get(const std::string& name) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<std::vector<StoredObject>> list_all() override;
  Status remove(const std::string& name) override;
  std::string path_of(const std::string& name) const override { return join_path(folder_, name); }
  Status keep(const std::vector<std::string>& names) override;

 private:
  FileSystem& files_;
  Random& random_;
  const std::string folder_;
};

// 32 hexadecimal digits, as in a UUID: "0f8fad5b-d9cb-469f-a165-70867728950e".
std::string random_id(Random& random);

}  // namespace tidemill::serve
