#include "azure/sign.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <iterator>
#include <string_view>

#include "azure/digest.h"

namespace tidemill::azure {
namespace {

// In this order. x-ms-date stands in for Date, which is left empty.
constexpr std::array<const char*, 10> kStandardHeaders = {
    "content-encoding",  "content-language", "content-length", "content-md5",        "content-type", "date",
    "if-modified-since", "if-match",         "if-none-match",  "if-unmodified-since"};

constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

std::string string_to_sign(const std::string& account, const SignedParts& parts) {
  std::string text = parts.verb + "\n";
  const auto header = [&](const std::string& name) {
    if (name == "content-length") return parts.length == 0 ? std::string() : std::to_string(parts.length);
    auto found = parts.headers.find(name);
    return found == parts.headers.end() ? std::string() : found->second;
  };
  for (const char* name : kStandardHeaders) text += header(name) + "\n";
  text += header("range") + "\n";
  for (const auto& [name, value] : parts.headers) {
    if (name.starts_with("x-ms-")) text += name + ":" + value + "\n";
  }
  text += "/" + account + parts.path;
  for (const auto& [name, value] : parts.query) text += "\n" + name + ":" + value;
  return text;
}

std::string authorization(const std::string& account, const std::string& key, const SignedParts& parts) {
  const Digest digest = hmac_sha256(key, string_to_sign(account, parts));
  return fmt::format("SharedKey {}:{}", account,
                     to_base64({reinterpret_cast<const char*>(digest.data()), digest.size()}));
}

std::string http_date(int64_t unix_s) {
  const time_t seconds = unix_s;
  tm parts = {};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[parts.tm_wday], parts.tm_mday,
                     kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

int64_t parse_http_date(const std::string& text) {
  tm parts = {};
  char month[4] = {};
  if (std::sscanf(text.c_str(), "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &parts.tm_mday, month, &parts.tm_year,
                  &parts.tm_hour, &parts.tm_min, &parts.tm_sec) != 6)
    return -1;
  for (size_t i = 0; i < std::size(kMonths); ++i) {
    if (std::string_view(month) != kMonths[i]) continue;
    parts.tm_mon = static_cast<int>(i);
    parts.tm_year -= 1900;
    return ::timegm(&parts);
  }
  return -1;
}

}  // namespace tidemill::azure
