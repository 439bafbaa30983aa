#include "serve/azure_store.h"

#include <algorithm>
#include <utility>

#include "base/steps.h"

namespace tidemill::serve {

Result<std::shared_ptr<ObjectStore>> AzureStore::open(azure::Access access, Clock& clock, Random& random,
                                                      AzureStoreOptions options) {
  TM_TRY(FileSystem::posix().create_directories(options.folder));
  TM_ASSIGN(auto container, azure::Container::open(std::move(access), clock, random, options.container));
  return std::shared_ptr<ObjectStore>(new AzureStore(std::move(container), random, std::move(options)));
}

std::string AzureStore::blob_of(const std::string& name) const {
  return container_->place().path + "/" + name;
}

Status AzureStore::prepare() {
  if (options_.create) TM_TRY(container_->create_if_missing());
  return container_->probe(true);
}

Status AzureStore::put_if_absent(const std::string& name, std::string_view content) {
  return container_->put_if_absent(blob_of(name), content);
}

Status AzureStore::put(const std::string& name, std::string_view content) {
  return container_->put(blob_of(name), content);
}

Result<std::string> AzureStore::get(const std::string& name) {
  return container_->get(blob_of(name));
}

Result<std::vector<std::string>> AzureStore::list(const std::string& folder) {
  const std::string prefix = blob_of(folder) + "/";
  std::vector<std::string> names;
  TM_TRY(container_->list(prefix, false, [&](azure::ListedBlob&& blob) {
    if (blob.name.starts_with(prefix)) names.push_back(blob.name.substr(prefix.size()));
  }));
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<StoredObject>> AzureStore::list_all() {
  const std::string prefix = blob_of("");
  std::vector<StoredObject> all;
  TM_TRY(container_->list(prefix, true, [&](azure::ListedBlob&& blob) {
    if (blob.name.starts_with(prefix))
      all.push_back({blob.name.substr(prefix.size()), blob.modified_ms, blob.size_bytes});
  }));
  return all;
}

Status AzureStore::remove(const std::string& name) {
  return container_->remove(blob_of(name));
}

Status AzureStore::keep(const std::vector<std::string>& names) {
  return azure::in_parallel(names.size(), [&](size_t i) -> Status {
    TM_TRY(container_->put_file(blob_of(names[i]), path_of(names[i]), false));
    commit_step("delta.file.uploaded");
    drop(names[i]);
    return {};
  });
}

Status AzureStore::keep_as(const std::string& written, const std::string& name) {
  Status kept = container_->put_file(blob_of(name), path_of(written), true);
  drop(written);
  return kept;
}

Result<LocalFiles> AzureStore::fetch(const std::vector<std::string>& names) {
  LocalFiles local(options_.folder + "-copies-" + random_id(random_), true);
  TM_TRY(FileSystem::posix().create_directories(local.folder()));
  for (const std::string& name : names)
    TM_TRY(FileSystem::posix().create_directories(parent_path(local.path_of(name))));
  TM_TRY(azure::in_parallel(names.size(), [&](size_t i) {
    return container_->download(blob_of(names[i]), local.path_of(names[i]));
  }));
  return local;
}

}  // namespace tidemill::serve
