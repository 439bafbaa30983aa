#include "azure/list_xml.h"

#include <charconv>
#include <optional>

#include "azure/place.h"
#include "azure/sign.h"

namespace tidemill::azure {
namespace {

struct Element {
  std::string_view attributes;
  std::string_view content;
  size_t end = 0;  // behind it
};

// The first element of that name from `from` on. Names that it has inside of itself do not occur here.
std::optional<Element> find_element(std::string_view xml, std::string_view name, size_t from = 0) {
  while (true) {
    const size_t open = xml.find('<', from);
    if (open == std::string_view::npos) return std::nullopt;
    from = open + 1;
    if (xml.substr(from, name.size()) != name) continue;
    const size_t behind = from + name.size();
    if (behind >= xml.size() || std::string_view(" \t\r\n/>").find(xml[behind]) == std::string_view::npos)
      continue;
    const size_t close = xml.find('>', behind);
    if (close == std::string_view::npos) return std::nullopt;
    Element element;
    element.attributes = xml.substr(behind, close - behind);
    if (element.attributes.ends_with('/')) {
      element.end = close + 1;
      return element;
    }
    const std::string last = "</" + std::string(name) + ">";
    const size_t end = xml.find(last, close);
    if (end == std::string_view::npos) return std::nullopt;
    element.content = xml.substr(close + 1, end - close - 1);
    element.end = end + last.size();
    return element;
  }
}

void append_utf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += static_cast<char>(0xc0 | code >> 6);
    *out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    *out += static_cast<char>(0xe0 | code >> 12);
    *out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    *out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    *out += static_cast<char>(0xf0 | code >> 18);
    *out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    *out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    *out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

// "amp", "#38", "#x26".
bool append_entity(std::string_view name, std::string* out) {
  constexpr std::pair<std::string_view, char> kNamed[] = {
      {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
  for (const auto& [known, value] : kNamed) {
    if (name != known) continue;
    *out += value;
    return true;
  }
  if (!name.starts_with('#')) return false;
  const bool hex = name.starts_with("#x");
  name.remove_prefix(hex ? 2 : 1);
  uint32_t code = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), code, hex ? 16 : 10);
  const bool whole = error == std::errc() && end == name.data() + name.size() && !name.empty();
  if (!whole || code == 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  append_utf8(code, out);
  return true;
}

std::optional<std::string> text_of(std::string_view content) {
  std::string out;
  while (!content.empty()) {
    const size_t at = std::min(content.find('&'), content.size());
    out += content.substr(0, at);
    content.remove_prefix(at);
    if (content.empty()) break;
    const size_t end = content.find(';');
    if (end == std::string_view::npos || !append_entity(content.substr(1, end - 1), &out))
      return std::nullopt;
    content.remove_prefix(end + 1);
  }
  return out;
}

Error not_a_list(const char* what) {
  return external_error(std::string("Azure's list of blobs cannot be read: ") + what, Code::kCorrupt);
}

Result<ListedBlob> parse_blob(std::string_view xml) {
  ListedBlob blob;
  auto name = find_element(xml, "Name");
  if (!name) return not_a_list("a blob without a name");
  auto text = text_of(name->content);
  if (!text || text->empty()) return not_a_list("a name that is none");
  // Names with characters that XML does not have.
  const bool coded = name->attributes.find("Encoded=\"true\"") != std::string_view::npos;
  blob.name = coded ? url_decoded(*text) : std::move(*text);
  auto size = find_element(xml, "Content-Length");
  const std::string_view digits = size ? size->content : std::string_view("0");
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), blob.size_bytes);
  if (error != std::errc() || end != digits.data() + digits.size() || blob.size_bytes < 0)
    return not_a_list("a size that is none");
  auto modified = find_element(xml, "Last-Modified");
  const int64_t seconds = modified ? parse_http_date(std::string(modified->content)) : -1;
  if (seconds < 0) return not_a_list("a date that is none");
  blob.modified_ms = seconds * 1000;
  return blob;
}

}  // namespace

Result<ListPage> parse_list(std::string_view xml) {
  auto results = find_element(xml, "EnumerationResults");
  if (!results) return not_a_list("it is cut short, or something else");
  ListPage page;
  for (size_t at = 0;;) {
    auto blob = find_element(results->content, "Blob", at);
    if (!blob) break;
    at = blob->end;
    auto type = find_element(blob->content, "ResourceType");
    if (type && type->content == "directory") continue;
    auto folder = find_element(blob->content, "hdi_isfolder");
    if (folder && folder->content == "true") continue;
    TM_ASSIGN(ListedBlob one, parse_blob(blob->content));
    page.blobs.push_back(std::move(one));
  }
  if (auto next = find_element(results->content, "NextMarker")) {
    auto marker = text_of(next->content);
    if (!marker) return not_a_list("a marker that is none");
    page.next = std::move(*marker);
  }
  return page;
}

std::string xml_text(std::string_view xml, std::string_view name) {
  auto element = find_element(xml, name);
  return element ? text_of(element->content).value_or("") : "";
}

}  // namespace tidemill::azure
