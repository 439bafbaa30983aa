// Where something is in Azure storage, and by which right it may be reached.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tidemill::azure {

// As a solution says it. Key, SAS and connection string are never part of a message.
struct Settings {
  std::string connection;  // a storage account's connection string
  std::string account;     // where neither place nor connection name it
  std::string key;         // Base64
  std::string sas;         // a shared access signature: sv=…&sig=…, with or without a '?' before it
  std::string
      otherwise_account;  // that of az:// where nothing else says it; no other place is held against it
  std::string endpoint;   // of the account's blobs, where it is no common one; http://127.0.0.1:10000/account
};

struct Place {
  std::string endpoint;  // "https://account.blob.core.windows.net", without a slash at the end
  std::string account;
  std::string container;
  std::string path;  // in the container, without slashes at its ends
};

// A place with what opens it: one of the two.
struct Access {
  Place place;
  std::string key;  // its bytes
  std::string sas;  // without '?'
};

// Whether a text is meant as a place in Azure storage: abfss://, abfs://, az://, https:// or http://.
bool is_azure_url(std::string_view text);

// abfss://container@account.dfs.core.windows.net/path, az://container/path,
// https://account.blob.core.windows.net/container/path, http://127.0.0.1:10000/account/container/path.
// Errors (kUser), without a name of a setting before them: what is wrong with it.
Result<Place> parse_place(std::string_view url, const Settings& settings);

// Environment variables as Azure's own tools know them, where the settings name neither key nor SAS:
// AZURE_STORAGE_CONNECTION_STRING, else AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN.
// Beside a key or SAS of the settings AZURE_STORAGE_ACCOUNT is otherwise_account.
Settings with_environment(Settings settings);
// The settings with what the connection string says where they say nothing. Errors (kUser): it is none.
Result<Settings> with_connection(Settings settings);

// All of the above. Errors (kUser): there is neither key nor SAS.
Result<Access> find_access(std::string_view url, const Settings& settings);

// A name as part of a URL's path, slashes as they are; a value of its query.
std::string url_path(std::string_view name);
std::string url_value(std::string_view value);
std::string url_decoded(std::string_view text);

}  // namespace tidemill::azure
