// A table's files in Azure storage. Put-if-absent is `If-None-Match: *`, never a rename.
//
// Files that DuckDB writes or reads are in a folder of this machine meanwhile: those that are written until
// they are uploaded, those that are read until they have been.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "azure/container.h"
#include "base/file_system.h"
#include "base/random.h"
#include "serve/object_store.h"

namespace tidemill::serve {

struct AzureStoreOptions {
  std::string place;  // as messages name it; no secret is in it
  // Of this machine, for it alone; made where it is missing, removed with it. Copies are beside it.
  std::string folder;
  bool create = false;  // the container, where it is missing
  azure::ContainerOptions container;
};

class AzureStore final : public ObjectStore {
 public:
  // Nothing is asked yet. Errors (kUser): no libcurl; the folder cannot be made.
  static Result<std::shared_ptr<ObjectStore>> open(azure::Access access, Clock& clock, Random& random,
                                                   AzureStoreOptions options);

  ~AzureStore() override { (void)FileSystem::posix().remove_tree(options_.folder).ok(); }
  AzureStore(const AzureStore&) = delete;
  AzureStore& operator=(const AzureStore&) = delete;
  const std::string& place() const override { return options_.place; }
  Status prepare() override;
  Status put_if_absent(const std::string& name, std::string_view content) override;
  Status settle(const std::string&) override { return {}; }  // what it shows is durable
  Status put(const std::string& name, std::string_view content) override;
  Result<std::string> get(const std::string& name) override;
  Result<std::vector<std::string>> list(const std::string& folder) override;
  Result<std::vector<StoredObject>> list_all() override;
  Status remove(const std::string& name) override;
  const std::string& folder() const override { return options_.folder; }
  Status keep(const std::vector<std::string>& names) override;
  Status keep_as(const std::string& written, const std::string& name) override;
  Result<LocalFiles> fetch(const std::vector<std::string>& names) override;

 private:
  AzureStore(std::unique_ptr<azure::Container> container, Random& random, AzureStoreOptions options)
      : container_(std::move(container)), random_(random), options_(std::move(options)) {}
  std::string blob_of(const std::string& name) const;

  const std::unique_ptr<azure::Container> container_;
  Random& random_;
  const AzureStoreOptions options_;
};

}  // namespace tidemill::serve
