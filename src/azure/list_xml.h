// The answer of List Blobs, which is XML.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::azure {

struct ListedBlob {
  std::string name;  // in the container
  int64_t modified_ms = 0;
  int64_t size_bytes = 0;
};
struct ListPage {
  std::vector<ListedBlob> blobs;  // without the folders that accounts with a namespace list, too
  std::string next;               // the marker of the next page; empty: this is the last
};

// Errors (kCorrupt): it is no such list, or a number or date in it is none.
Result<ListPage> parse_list(std::string_view xml);

// What stands in the first element <name> of an answer, such as an error's <Code>; empty: there is none.
std::string xml_text(std::string_view xml, std::string_view name);

}  // namespace tidemill::azure
