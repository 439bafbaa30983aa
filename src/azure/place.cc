#include "azure/place.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "azure/digest.h"
#include "base/text.h"

namespace tidemill::azure {
namespace {

constexpr std::string_view kSuffix = "core.windows.net";
// Azurite's, which its documentation gives to everybody.
constexpr std::string_view kDevelopmentAccount = "devstoreaccount1";
constexpr std::string_view kDevelopmentKey =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

Error not_a_place(const std::string& what) {
  return user_error(what +
                    "; give abfss://container@account.dfs.core.windows.net/path, az://container/path or "
                    "https://account.blob.core.windows.net/container/path");
}

bool is_lower_name(std::string_view name, size_t least, size_t most, std::string_view more) {
  return name.size() >= least && name.size() <= most && std::all_of(name.begin(), name.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
         });
}

std::string_view without_slashes(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path;
}

// "container/path" → both.
void split_container(std::string_view text, Place* place) {
  text = without_slashes(text);
  const size_t slash = std::min(text.find('/'), text.size());
  place->container = text.substr(0, slash);
  place->path = without_slashes(text.substr(slash));
}

std::string trimmed_endpoint(std::string endpoint) {
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint;
}

// The account of https://account.blob.core.windows.net, of …:10000/account; empty: it has none.
std::string account_of(std::string_view endpoint) {
  endpoint.remove_prefix(std::min(endpoint.find("://") + 3, endpoint.size()));
  const size_t slash = endpoint.find('/');
  if (slash != std::string_view::npos) return std::string(endpoint.substr(slash + 1));
  const size_t blob = endpoint.find(".blob.");
  return std::string(blob == std::string_view::npos ? std::string_view() : endpoint.substr(0, blob));
}

// https://host/…: the account is in the host's name, or the first part of the path.
Status parse_http(std::string_view url, Place* place) {
  const size_t scheme = url.find("://") + 3;
  const size_t slash = std::min(url.find('/', scheme), url.size());
  std::string host(url.substr(scheme, slash - scheme));
  std::string_view rest = without_slashes(url.substr(slash));
  if (host.empty() || host.find('@') != std::string::npos) return not_a_place("it names no host");
  if (const size_t dfs = host.find(".dfs."); dfs != std::string::npos) host.replace(dfs, 5, ".blob.");
  place->endpoint = std::string(url.substr(0, scheme)) + host;
  if (const size_t blob = host.find(".blob."); blob != std::string::npos) {
    place->account = host.substr(0, blob);
  } else {
    const size_t end = std::min(rest.find('/'), rest.size());
    place->account = rest.substr(0, end);
    place->endpoint += "/" + place->account;
    rest.remove_prefix(end);
  }
  split_container(rest, place);
  return {};
}

// abfss://container@account.dfs.core.windows.net/path
Status parse_abfs(std::string_view rest, const Settings& settings, Place* place) {
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  const size_t at = authority.find('@');
  if (at == std::string_view::npos) return not_a_place("it has no container@account");
  place->container = authority.substr(0, at);
  place->path = without_slashes(rest.substr(slash));
  std::string host(authority.substr(at + 1));
  place->account = host.substr(0, host.find('.'));
  if (host == place->account) host += ".dfs." + std::string(kSuffix);
  if (const size_t dfs = host.find(".dfs."); dfs != std::string::npos) host.replace(dfs, 5, ".blob.");
  place->endpoint = settings.endpoint.empty() ? "https://" + host : trimmed_endpoint(settings.endpoint);
  return {};
}

Status parse_az(std::string_view rest, const Settings& settings, Place* place) {
  place->account = settings.account;
  if (place->account.empty() && !settings.endpoint.empty()) place->account = account_of(settings.endpoint);
  if (place->account.empty()) place->account = settings.otherwise_account;
  if (place->account.empty()) {
    return user_error(
        "az:// names no account; set serve.delta.azure.account or serve.delta.azure.connection, or "
        "AZURE_STORAGE_ACCOUNT in the "
        "environment");
  }
  place->endpoint = settings.endpoint.empty() ? fmt::format("https://{}.blob.{}", place->account, kSuffix)
                                              : trimmed_endpoint(settings.endpoint);
  split_container(rest, place);
  return {};
}

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string encoded(std::string_view text, std::string_view as_they_are) {
  std::string out;
  for (char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       as_they_are.find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

bool is_azure_url(std::string_view text) {
  constexpr std::array<std::string_view, 5> kSchemes = {"abfss://", "abfs://", "az://", "https://",
                                                        "http://"};
  return std::any_of(kSchemes.begin(), kSchemes.end(),
                     [&](std::string_view scheme) { return text.starts_with(scheme); });
}

Result<Place> parse_place(std::string_view url, const Settings& settings) {
  // What follows may be a signature: nothing of it is cited.
  if (url.find_first_of("?#") != std::string_view::npos) {
    return user_error(
        "it has a query; a shared access signature is given by serve.delta.azure.sas, as "
        "${AZURE_STORAGE_SAS_TOKEN}");
  }
  Place place;
  const std::string_view rest = url.substr(std::min(url.find("://") + 3, url.size()));
  if (url.starts_with("az://")) {
    TM_TRY(parse_az(rest, settings, &place));
  } else if (url.starts_with("abfs")) {
    TM_TRY(parse_abfs(rest, settings, &place));
  } else {
    TM_TRY(parse_http(url, &place));
  }
  if (!is_lower_name(place.account, 3, 63, "-"))
    return not_a_place('"' + place.account + "\" is no name of a storage account");
  if (!is_lower_name(place.container, 3, 63, "-"))
    return not_a_place('"' + place.container + "\" is no name of a container");
  if (place.path.empty()) return not_a_place("it names a container, but no path in it");
  if (!settings.account.empty() && settings.account != place.account) {
    return user_error(fmt::format("it is in account {}, but the credentials are those of account {}",
                                  place.account, settings.account));
  }
  return place;
}

Settings with_environment(Settings settings) {
  const auto take = [](const char* name, std::string* to) {
    const char* value = std::getenv(name);
    if (to->empty() && value != nullptr) *to = trim(value);
  };
  if (!settings.connection.empty()) return settings;
  if (!settings.key.empty() || !settings.sas.empty()) {
    take("AZURE_STORAGE_ACCOUNT", &settings.otherwise_account);
    return settings;
  }
  take("AZURE_STORAGE_CONNECTION_STRING", &settings.connection);
  if (!settings.connection.empty()) return settings;
  take("AZURE_STORAGE_ACCOUNT", &settings.account);
  take("AZURE_STORAGE_KEY", &settings.key);
  take("AZURE_STORAGE_SAS_TOKEN", &settings.sas);
  return settings;
}

Result<Settings> with_connection(Settings settings) {
  std::map<std::string, std::string> parts;
  std::string_view text = trim(settings.connection);
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::string_view part = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (part.empty()) continue;
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      return user_error(
          "serve.delta.azure.connection is no connection string; it reads "
          "AccountName=…;AccountKey=…;EndpointSuffix=…, "
          "as "
          "az storage account show-connection-string prints it");
    }
    parts[to_lower(std::string(part.substr(0, equals)))] = part.substr(equals + 1);
  }
  const auto take = [&](const char* name, std::string* to) {
    if (to->empty() && parts.contains(name)) *to = parts[name];
  };
  if (parts.contains("usedevelopmentstorage")) {
    parts.try_emplace("accountname", kDevelopmentAccount);
    parts.try_emplace("accountkey", kDevelopmentKey);
    parts.try_emplace("blobendpoint", "http://127.0.0.1:10000/devstoreaccount1");
  }
  take("accountname", &settings.account);
  if (settings.sas.empty()) take("accountkey", &settings.key);
  if (settings.key.empty()) take("sharedaccesssignature", &settings.sas);
  take("blobendpoint", &settings.endpoint);
  if (settings.endpoint.empty() && parts.contains("endpointsuffix") && !settings.account.empty()) {
    const std::string scheme =
        parts.contains("defaultendpointsprotocol") ? parts["defaultendpointsprotocol"] : "https";
    settings.endpoint = fmt::format("{}://{}.blob.{}", scheme, settings.account, parts["endpointsuffix"]);
  }
  if (settings.account.empty() && !settings.endpoint.empty())
    settings.account = account_of(settings.endpoint);
  return settings;
}

Result<Access> find_access(std::string_view url, const Settings& settings) {
  TM_ASSIGN(Settings whole, with_connection(with_environment(settings)));
  Access access;
  TM_ASSIGN(access.place, parse_place(url, whole));
  // Out of a file it comes with a line's end.
  const std::string_view sas = trim(whole.sas);
  access.sas = sas.substr(sas.starts_with('?') ? 1 : 0);
  if (!access.sas.empty()) {
    if (access.sas.find("sig=") == std::string::npos)
      return user_error("serve.delta.azure.sas is no shared access signature; it reads sv=…&…&sig=…");
    return access;
  }
  if (whole.key.empty()) {
    return user_error(
        fmt::format("there are no credentials for account {}; set serve.delta.azure.connection to "
                    "${{AZURE_STORAGE_CONNECTION_STRING}}, "
                    "serve.delta.azure.key or serve.delta.azure.sas, or one of "
                    "AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_KEY and "
                    "AZURE_STORAGE_SAS_TOKEN in the environment",
                    access.place.account));
  }
  auto key = from_base64(trim(whole.key));
  if (!key) return user_error("the account key is not Base64, as Azure's keys are: it was cut or changed");
  access.key = std::move(*key);
  return access;
}

std::string url_path(std::string_view name) {
  return encoded(name, "-_.~/");
}

std::string url_value(std::string_view value) {
  return encoded(value, "-_.~");
}

std::string url_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool coded =
        text[i] == '%' && i + 2 < text.size() && nibble(text[i + 1]) >= 0 && nibble(text[i + 2]) >= 0;
    out += coded ? static_cast<char>(nibble(text[i + 1]) << 4 | nibble(text[i + 2])) : text[i];
    if (coded) i += 2;
  }
  return out;
}

}  // namespace tidemill::azure
