// Where the tables of serve.delta are, and how they are opened: folders, or Azure storage.
#pragma once

#include <memory>
#include <string>

#include "azure/place.h"
#include "base/result.h"
#include "serve/object_store.h"
#include "solution/config.h"

namespace tidemill::solution {

// In Azure storage.
bool is_in_azure(const DeltaSink& sink);
// Not in the data directory of any run.
bool is_elsewhere(const DeltaSink& sink);

// From the root on, or URLs.
struct DeltaFolders {
  std::string table;
  std::string dead_letters;  // beside it
};
DeltaFolders delta_folders(const Solution& solution, const std::string& run_directory);
// Of serve.parquet, the same.
DeltaFolders parquet_folders(const Solution& solution, const std::string& run_directory);

// How a table in Azure is reached. Errors (kUser): its URL, or the credentials, are none.
Result<azure::Access> azure_access(const DeltaSink& sink, const std::string& table);
// "https://a.blob.core.windows.net/c/t" as "abfss://c@a.dfs.core.windows.net/t", which Spark and delta-rs
// take; others as they are.
std::string table_url(const std::string& table);

// A folder or URL in the form in which two of them are compared: "./t/" as "t", URLs as table_url() has them.
std::string normal_folder(const std::string& folder);
// Of two in that form: they are the same, or one is in the other.
bool folders_meet(const std::string& one, const std::string& other);

// One of the tables. `scratch`: a folder of this machine for copies of its files, if it is in Azure; nobody
// else's.
Result<std::shared_ptr<serve::ObjectStore>> open_delta_objects(const DeltaSink& sink,
                                                               const std::string& table,
                                                               const std::string& scratch);
// In a run's directory, for `user` of them: "delta.tmp/<user>-<random>".
std::string delta_scratch(const std::string& run_directory, const std::string& user);

// Whether the container can be reached now.
Status ask_azure(const DeltaSink& sink);

}  // namespace tidemill::solution
