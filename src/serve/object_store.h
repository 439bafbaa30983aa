// Where a table's files are: names below one place, '/' between folders. Behind it stands a folder of this
// machine, or Azure storage (azure_store.h); what an object store in the network has, and no more, is asked
// for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"

namespace tidemill::serve {

struct StoredObject {
  std::string name;
  int64_t modified_ms = 0;  // since 1970 UTC, by the store's clock
  int64_t size_bytes = 0;
};

// Files of a store at paths of this machine, for as long as this lives.
class LocalFiles {
 public:
  // `copies`: the folder and what is in it is removed at the end.
  LocalFiles(std::string folder, bool copies) : folder_(std::move(folder)), copies_(copies) {}
  ~LocalFiles();
  LocalFiles(LocalFiles&& other) noexcept
      : folder_(other.folder_), copies_(std::exchange(other.copies_, false)) {}
  LocalFiles& operator=(LocalFiles&&) = delete;
  const std::string& folder() const { return folder_; }
  std::string path_of(const std::string& name) const { return join_path(folder_, name); }

 private:
  const std::string folder_;
  bool copies_;
};

// Thread-safe.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual const std::string& place() const = 0;
  std::string where(const std::string& name) const { return join_path(place(), name); }

  // Once, by who is going to write: makes the place where it is missing, or says why it cannot be written.
  virtual Status prepare() = 0;

  // The whole content appears at once, durably, or not at all; it is nobody else's content. Errors: kExists
  // where there is another one; kUnknown where it may or may not be there.
  virtual Status put_if_absent(const std::string& name, std::string_view content) = 0;
  // After kUnknown, before what is there is relied on: makes it as durable as if that had not happened.
  virtual Status settle(const std::string& name) = 0;
  // Replaces what is there, as a whole.
  virtual Status put(const std::string& name, std::string_view content) = 0;
  virtual Result<std::string> get(const std::string& name) = 0;  // kNotFound
  // Names (without the folder) in a folder, sorted; none where there is no such folder.
  virtual Result<std::vector<std::string>> list(const std::string& folder) = 0;
  // Everything in the store, in folders at any depth.
  virtual Result<std::vector<StoredObject>> list_all() = 0;
  virtual Status remove(const std::string& name) = 0;  // kNotFound

  // DuckDB reads and writes files of this machine. What it writes below folder() is then made durable under
  // its name, which is nobody else's; nobody reads it before that.
  virtual const std::string& folder() const = 0;
  std::string path_of(const std::string& name) const { return join_path(folder(), name); }
  virtual Status keep(const std::vector<std::string>& names) = 0;
  // What was written at path_of(written) gets another name. Errors: kExists where there is one, whatever it
  // is.
  virtual Status keep_as(const std::string& written, const std::string& name) = 0;
  // What was written and is not kept.
  void drop(const std::string& written);
  // Copies, or the files themselves. kNotFound: one of them is gone.
  virtual Result<LocalFiles> fetch(const std::vector<std::string>& names) = 0;
};

// Put-if-absent is link(2), which never replaces; a rename would.
class FolderStore final : public ObjectStore {
 public:
  FolderStore(FileSystem& files, Random& random, std::string folder)
      : files_(files), random_(random), folder_(std::move(folder)) {}
  const std::string& place() const override { return folder_; }
  Status prepare() override { return files_.create_directories(folder_); }
  Status put_if_absent(const std::string& name, std::string_view content) override;
  Status settle(const std::string& name) override { return keep({name}); }
  Status put(const std::string& name, std::string_view content) override;
  Result<std::string> get(const std::string& name) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<std::vector<StoredObject>> list_all() override;
  Status remove(const std::string& name) override;
  const std::string& folder() const override { return folder_; }
  Status keep(const std::vector<std::string>& names) override;
  Status keep_as(const std::string& written, const std::string& name) override;
  Result<LocalFiles> fetch(const std::vector<std::string>& names) override;

 private:
  Status link_durably(const std::string& from, const std::string& name);

  FileSystem& files_;
  Random& random_;
  const std::string folder_;
};

// 32 hexadecimal digits, as in a UUID: "0f8fad5b-d9cb-469f-a165-70867728950e".
std::string random_id(Random& random);

}  // namespace tidemill::serve
