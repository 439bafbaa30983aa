#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "azure/digest.h"
#include "azure/list_xml.h"
#include "azure/place.h"
#include "azure/sign.h"

namespace tidemill::azure {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string hex(const Digest& digest) {
  std::string text;
  for (uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// FIPS 180-4's own examples.
TEST(Digest, IsSha256) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// RFC 4231, test cases 1, 2 and 6.
TEST(Digest, IsHmac) {
  EXPECT_EQ(hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(
      hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

// RFC 4648.
TEST(Base64, GoesBothWays) {
  const std::pair<const char*, const char*> pairs[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : pairs) {
    EXPECT_EQ(to_base64(plain), coded);
    EXPECT_EQ(from_base64(coded), plain);
  }
  for (const char* wrong : {"Zg=", "Zg", "Z===", "Zm9v!A==", "Zm 9v"})
    EXPECT_FALSE(from_base64(wrong)) << wrong;
}

// The example of "Authorize with Shared Key" of Azure's documentation.
TEST(Sign, MakesTheTextOfAzuresExample) {
  SignedParts parts;
  parts.verb = "GET";
  parts.path = "/mycontainer";
  parts.query = {{"restype", "container"}, {"comp", "metadata"}, {"timeout", "20"}};
  parts.headers = {{"x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"}, {"x-ms-version", "2015-02-21"}};
  EXPECT_EQ(string_to_sign("myaccount", parts),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n"
            "/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20");
}

TEST(Sign, HasEveryHeaderInItsPlace) {
  SignedParts parts;
  parts.verb = "PUT";
  parts.path = "/c/a%20b";
  parts.headers = {{"x-ms-blob-type", "BlockBlob"},
                   {"content-type", "application/octet-stream"},
                   {"if-none-match", "*"},
                   {"x-ms-date", "D"}};
  parts.length = 11;
  EXPECT_EQ(string_to_sign("a", parts),
            "PUT\n\n\n11\n\napplication/octet-stream\n\n\n\n*\n\n\nx-ms-blob-type:BlockBlob\nx-ms-date:D\n/a/"
            "c/a%20b");
  // Computed with Python's hmac and base64.
  EXPECT_EQ(authorization("a", "secret", parts), "SharedKey a:PhoWSelk7vfBLQnb/dufB1rnT+G5yimNTbwGIWfkKK8=");
}

TEST(Sign, WritesAndReadsDates) {
  EXPECT_EQ(http_date(1435361952), "Fri, 26 Jun 2015 23:39:12 GMT");
  EXPECT_EQ(parse_http_date("Fri, 26 Jun 2015 23:39:12 GMT"), 1435361952);
  EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  for (const char* wrong : {"", "yesterday", "Fri, 26 Foo 2015 23:39:12 GMT", "Fri, 26 Jun"})
    EXPECT_EQ(parse_http_date(wrong), -1) << wrong;
}

Settings with_key() {
  Settings settings;
  settings.key = "c2VjcmV0";
  return settings;
}

TEST(Place, IsReadFromEveryForm) {
  struct Case {
    const char* url;
    const char* endpoint;
    const char* account;
    const char* container;
    const char* path;
  };
  const Case cases[] = {{"abfss://data@acme.dfs.core.windows.net/a/b/", "https://acme.blob.core.windows.net",
                         "acme", "data", "a/b"},
                        {"abfss://data@acme/a", "https://acme.blob.core.windows.net", "acme", "data", "a"},
                        {"https://acme.blob.core.windows.net/data/a%20b",
                         "https://acme.blob.core.windows.net", "acme", "data", "a%20b"},
                        {"https://acme.dfs.core.chinacloudapi.cn/data/a",
                         "https://acme.blob.core.chinacloudapi.cn", "acme", "data", "a"},
                        {"http://127.0.0.1:10000/devstoreaccount1/data/a",
                         "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1", "data", "a"}};
  for (const Case& one : cases) {
    auto place = parse_place(one.url, {});
    ASSERT_TRUE(place.ok()) << one.url << ": " << place.error().message;
    EXPECT_EQ(place->endpoint, one.endpoint);
    EXPECT_EQ(place->account, one.account);
    EXPECT_EQ(place->container, one.container);
    EXPECT_EQ(place->path, one.path);
  }
  Settings named = with_key();
  named.account = "acme";
  EXPECT_EQ(find_access("az://data/a", named)->place.endpoint, "https://acme.blob.core.windows.net");
  EXPECT_EQ(find_access("az://data/a", named)->key, "secret");
  named.endpoint = "http://127.0.0.1:1/acme/";
  EXPECT_EQ(find_access("abfss://data@acme.dfs.core.windows.net/a", named)->place.endpoint,
            "http://127.0.0.1:1/acme");
}

TEST(Place, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"abfss://acme.dfs.core.windows.net/a", "it has no container@account"},
      {"abfss://data@acme.dfs.core.windows.net", "names a container, but no path"},
      {"abfss://data@acme.dfs.core.windows.net//", "names a container, but no path"},
      {"abfss://Data@acme.dfs.core.windows.net/a", "\"Data\" is no name of a container"},
      {"abfss://data@/a", "\"\" is no name of a storage account"},
      {"https:///data/a", "it names no host"},
      {"https://user@acme.blob.core.windows.net/data/a", "it names no host"},
      {"https://", "it names no host"},
      {"az://data/a", "names no account"}};
  for (const auto& [url, says] : cases) {
    auto place = parse_place(url, {});
    ASSERT_FALSE(place.ok()) << url;
    EXPECT_THAT(place.error().message, HasSubstr(says));
  }
  auto query = parse_place("https://acme.blob.core.windows.net/data/a?sv=1&sig=SECRET", {});
  ASSERT_FALSE(query.ok());
  EXPECT_THAT(query.error().message, HasSubstr("serve.delta.azure.sas"));
  EXPECT_THAT(query.error().message, Not(HasSubstr("SECRET")));
}

TEST(Place, TakesAConnectionString) {
  Settings settings;
  settings.connection =
      "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=c2VjcmV0PQ==;EndpointSuffix=core.windows."
      "net";
  auto access = find_access("az://data/a", settings);
  ASSERT_TRUE(access.ok()) << access.error().message;
  EXPECT_EQ(access->place.endpoint, "https://acme.blob.core.windows.net");
  EXPECT_EQ(access->key, "secret=");
  settings.connection = "BlobEndpoint=http://127.0.0.1:7/acme;SharedAccessSignature=sv=1&sig=a%3D";
  access = find_access("az://data/a", settings);
  ASSERT_TRUE(access.ok()) << access.error().message;
  EXPECT_EQ(access->place.account, "acme");
  EXPECT_EQ(access->sas, "sv=1&sig=a%3D");
  settings.connection = "UseDevelopmentStorage=true";
  EXPECT_EQ(find_access("az://data/a", settings)->place.endpoint, "http://127.0.0.1:10000/devstoreaccount1");
  EXPECT_THAT(find_access("abfss://data@other.dfs.core.windows.net/a", settings).error().message,
              HasSubstr("it is in account other, but the credentials are those of account devstoreaccount1"));
  for (const char* wrong : {"SECRET", "AccountName=acme;SECRET"}) {
    settings.connection = wrong;
    auto refused = find_access("az://data/a", settings);
    ASSERT_FALSE(refused.ok());
    EXPECT_THAT(refused.error().message, HasSubstr("no connection string"));
    EXPECT_THAT(refused.error().message, Not(HasSubstr("SECRET")));
  }
  Settings wrong_key;
  wrong_key.key = "SECRET!";
  auto refused = find_access("abfss://data@acme/a", wrong_key);
  EXPECT_THAT(refused.error().message, HasSubstr("not Base64"));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("SECRET")));
}

// A variable of the environment for as long as this lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { EXPECT_EQ(::setenv(name, value, 1), 0); }
  ~Variable() { EXPECT_EQ(::unsetenv(name_), 0); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* const name_;
};

TEST(Place, TakesTheAccountOfTheEnvironmentBesideAKeyOfTheSettings) {
  const Variable account("AZURE_STORAGE_ACCOUNT", "acme");
  auto access = find_access("az://data/a", with_key());
  ASSERT_TRUE(access.ok()) << access.error().message;
  EXPECT_EQ(access->place.endpoint, "https://acme.blob.core.windows.net");
  Settings sas;
  sas.sas = "sv=1&sig=a";
  EXPECT_EQ(find_access("az://data/a", sas)->place.account, "acme");
  // Whatever names one itself is stronger.
  EXPECT_EQ(find_access("abfss://data@other/a", with_key())->place.account, "other");
  sas.account = "another";
  EXPECT_EQ(find_access("az://data/a", sas)->place.account, "another");
  // With a key of the environment it is that key's account.
  const Variable key("AZURE_STORAGE_KEY", "c2VjcmV0");
  EXPECT_EQ(find_access("az://data/a", {})->place.account, "acme");
  EXPECT_THAT(find_access("abfss://data@other/a", {}).error().message,
              HasSubstr("it is in account other, but the credentials are those of account acme"));
}

TEST(Place, TakesASignatureWithWhatSurroundsIt) {
  Settings settings;
  for (const char* sas : {"sv=1&sig=a%3D", "?sv=1&sig=a%3D", "sv=1&sig=a%3D\n", " ?sv=1&sig=a%3D\r\n"}) {
    settings.sas = sas;
    auto access = find_access("abfss://data@acme/a", settings);
    ASSERT_TRUE(access.ok()) << access.error().message;
    EXPECT_EQ(access->sas, "sv=1&sig=a%3D");
  }
  settings.sas = "sv=1&SECRET";
  auto refused = find_access("abfss://data@acme/a", settings);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("no shared access signature"));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("SECRET")));
}

constexpr const char* kPage = R"(<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://acme/" ContainerName="data"><Prefix>t/</Prefix><Blobs>
<Blob><Name>t/type=a&amp;b &lt;&#x263A;&#33;.parquet</Name><Properties><Last-Modified>Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified>
<Etag>0x8</Etag><Content-Length>1234</Content-Length></Properties></Blob>
<Blob><Name>t/type</Name><Properties><Last-Modified>Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified>
<Content-Length>0</Content-Length><ResourceType>directory</ResourceType></Properties></Blob>
<Blob><Name Encoded="true">t%2F%FF</Name><Properties><Last-Modified>Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified></Properties></Blob>
<BlobPrefix><Name>t/_delta_log/</Name></BlobPrefix></Blobs><NextMarker>2!100&quot;</NextMarker></EnumerationResults>)";

TEST(List, ReadsNamesTimesAndSizes) {
  auto page = parse_list(kPage);
  ASSERT_TRUE(page.ok()) << page.error().message;
  ASSERT_EQ(page->blobs.size(), 2u);
  EXPECT_EQ(page->blobs[0].name, "t/type=a&b <\xE2\x98\xBA!.parquet");
  EXPECT_EQ(page->blobs[0].size_bytes, 1234);
  EXPECT_EQ(page->blobs[0].modified_ms, 1435361952000);
  EXPECT_EQ(page->blobs[1].name, "t/\xFF");
  EXPECT_EQ(page->next, "2!100\"");
  page = parse_list("<EnumerationResults><Blobs /><NextMarker/></EnumerationResults>");
  ASSERT_TRUE(page.ok());
  EXPECT_TRUE(page->blobs.empty());
  EXPECT_EQ(page->next, "");
  EXPECT_EQ(xml_text("<Error><Code>BlobNotFound</Code></Error>", "Code"), "BlobNotFound");
  EXPECT_EQ(xml_text("<Error><Codes>x</Codes>", "Code"), "");
}

TEST(List, RefusesWhatIsNoList) {
  const std::string page = kPage;
  for (size_t size = 0; size < page.size(); size += 7)
    EXPECT_FALSE(parse_list(page.substr(0, size)).ok()) << size;
  const std::string head = "<EnumerationResults><Blob>", tail = "</Blob></EnumerationResults>";
  const std::string date = "<Last-Modified>Fri, 26 Jun 2015 23:39:12 GMT</Last-Modified>";
  EXPECT_TRUE(parse_list(head + "<Name>a</Name>" + date + tail).ok());
  for (const std::string& inside :
       {date, "<Name></Name>" + date, "<Name>a&b;</Name>" + date, "<Name>a&#xD800;</Name>" + date,
        "<Name>a&#;</Name>" + date, "<Name>a&amp</Name>" + date, std::string("<Name>a</Name>"),
        "<Name>a</Name><Content-Length>-1</Content-Length>" + date,
        "<Name>a</Name><Content-Length>99999999999999999999</Content-Length>" + date})
    EXPECT_FALSE(parse_list(head + inside + tail).ok()) << inside;
}

TEST(Url, CodesWhatIsNotPlain) {
  EXPECT_EQ(url_path("t/type=a b/%.parquet"), "t/type%3Da%20b/%25.parquet");
  EXPECT_EQ(url_value("a/b+c"), "a%2Fb%2Bc");
  EXPECT_EQ(url_decoded("a%2Fb%2x%"), "a/b%2x%");
}

}  // namespace
}  // namespace tidemill::azure
