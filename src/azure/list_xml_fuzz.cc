// The list of blobs, of any bytes: it is refused, or every name, size and date in it is one.
#include "azure/list_xml.h"
#include "base/testing/fuzzing.h"

using namespace tidemill;

int main(int argc, char** argv) {
  testing::FuzzTarget target;
  const std::string date = "<Last-Modified>Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified>";
  target.corpus = {
      "<?xml version=\"1.0\"?><EnumerationResults a=\"b\"><Blobs><Blob><Name>t/a&amp;b</Name><Properties>" +
          date +
          "<Content-Length>12</Content-Length></Properties></Blob></Blobs><NextMarker>m</NextMarker>"
          "</EnumerationResults>",
      "<EnumerationResults><Blob><Name Encoded=\"true\">%2F</Name>" + date +
          "<ResourceType>directory</ResourceType></Blob><NextMarker/></EnumerationResults>"};
  target.dictionary = {"<Blob>", "</Blob>",          "<Name>", "</Name>", "&#x41;",
                       "&lt;",   "Encoded=\"true\"", "/>",     date};
  target.run = [](std::string_view input, SeededRandom&) -> std::string {
    auto page = azure::parse_list(input);
    if (!page.ok()) return page.error().code == Code::kCorrupt ? "" : "refused without the code for it";
    for (const azure::ListedBlob& blob : page->blobs) {
      if (blob.name.empty() || blob.size_bytes < 0 || blob.modified_ms < 0) return "a blob that is none";
    }
    return "";
  };
  return testing::fuzz(argc, argv, std::move(target));
}
