#include "solution/delta_store.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/random.h"
#include "serve/azure_store.h"

namespace tidemill::solution {
namespace {

constexpr int kDryTimeoutSeconds = 3;

DeltaFolders folders_of(std::string table, const Solution& solution, const std::string& run_directory) {
  while (table.size() > 1 && table.ends_with("/")) table.pop_back();
  if (!azure::is_azure_url(table)) {
    if (!table.starts_with("/")) table = join_path(run_directory, table);
    std::error_code error;
    auto whole = std::filesystem::weakly_canonical(table, error);
    if (!error) table = whole.string();
  }
  return {table, join_path(parent_path(table), solution.dead_letters.name)};
}

}  // namespace

bool is_in_azure(const DeltaSink& sink) {
  return azure::is_azure_url(sink.table);
}

bool is_elsewhere(const DeltaSink& sink) {
  return sink.table.starts_with("/") || is_in_azure(sink);
}

DeltaFolders delta_folders(const Solution& solution, const std::string& run_directory) {
  return folders_of(solution.serve.delta.table, solution, run_directory);
}

DeltaFolders parquet_folders(const Solution& solution, const std::string& run_directory) {
  return folders_of(solution.serve.parquet.directory, solution, run_directory);
}

Result<azure::Access> azure_access(const DeltaSink& sink, const std::string& table) {
  auto access = azure::find_access(table, sink.azure.access);
  if (!access.ok()) return std::move(access).error().within("serve.delta");
  return access;
}

std::string table_url(const std::string& table) {
  auto place = azure::parse_place(table, {});
  const std::string common = place.ok() ? "https://" + place->account + ".blob." : std::string();
  if (!place.ok() || !place->endpoint.starts_with(common)) return table;
  return "abfss://" + place->container + "@" + place->account + ".dfs." +
         place->endpoint.substr(common.size()) + "/" + place->path;
}

std::string normal_folder(const std::string& folder) {
  std::string normal = azure::is_azure_url(folder)
                           ? table_url(folder)
                           : std::filesystem::path(folder).lexically_normal().string();
  while (normal.size() > 1 && normal.ends_with("/")) normal.pop_back();
  return normal;
}

bool folders_meet(const std::string& one, const std::string& other) {
  return one == other || one.starts_with(other + "/") || other.starts_with(one + "/");
}

Result<std::shared_ptr<serve::ObjectStore>> open_delta_objects(const DeltaSink& sink,
                                                               const std::string& table,
                                                               const std::string& scratch) {
  if (!azure::is_azure_url(table)) {
    return std::shared_ptr<serve::ObjectStore>(
        std::make_shared<serve::FolderStore>(FileSystem::posix(), Random::system(), table));
  }
  TM_ASSIGN(azure::Access access, azure_access(sink, table));
  serve::AzureStoreOptions options;
  options.place = table;
  options.folder = scratch;
  options.create = sink.azure.create;
  options.container.timeout_s = static_cast<int>(sink.azure.timeout_us / 1'000'000);
  return serve::AzureStore::open(std::move(access), Clock::system(), Random::system(), std::move(options));
}

std::string delta_scratch(const std::string& run_directory, const std::string& user) {
  return join_path(join_path(run_directory, "delta.tmp"), user + "-" + serve::random_id(Random::system()));
}

Status ask_azure(const DeltaSink& sink) {
  TM_ASSIGN(azure::Access access, azure_access(sink, sink.table));
  azure::ContainerOptions options;
  options.timeout_s = kDryTimeoutSeconds;
  options.attempts = 1;
  TM_ASSIGN(auto container,
            azure::Container::open(std::move(access), Clock::system(), Random::system(), options));
  return container->probe(false);
}

}  // namespace tidemill::solution
