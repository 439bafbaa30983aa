// The pages that are made from the table of settings are as the table says.
#include "solution/reference.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "event/json_decoder.h"
#include "solution/settings.h"

namespace tidemill::solution {
namespace {

const std::string kRoot = TIDEMILL_SOURCE_DIR;
constexpr std::string_view kBegin = "<!-- settings: made by `tidemill docs settings` -->\n";
constexpr std::string_view kEnd = "<!-- end of settings -->\n";

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_same_as_file(const std::string& path, const std::string& text) {
  if (std::getenv("TIDEMILL_UPDATE") != nullptr) std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(read(path), text) << path << "\nTIDEMILL_UPDATE=1 writes it anew";
}

TEST(Reference, ThePageHoldsEverySetting) {
  std::string path = kRoot + "/docs/solution-file.md";
  std::string page = read(path);
  size_t begin = page.find(kBegin), end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  begin += kBegin.size();
  expect_same_as_file(path, page.substr(0, begin) + "\n" + settings_markdown() + "\n" + page.substr(end));
}

TEST(Reference, TheSchemaForEditorsIsThatOfTheTable) {
  EXPECT_TRUE(is_valid_json_object(settings_json_schema()));
  expect_same_as_file(kRoot + "/solutions/solution.schema.json", settings_json_schema());
}

TEST(Reference, SectionsAndSettingsDoNotShareNamesByAccident) {
  for (const Setting& setting : all_settings()) {
    bool both = is_section(setting.path);
    EXPECT_EQ(both, setting.path == "serve" || setting.path == "ingest") << setting.path;
    size_t dot = setting.path.rfind('.');
    if (dot == std::string::npos) continue;
    EXPECT_FALSE(section_help(setting.path.substr(0, dot)).empty()) << setting.path;
  }
}

}  // namespace
}  // namespace tidemill::solution
