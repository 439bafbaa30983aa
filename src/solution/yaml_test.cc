#include "solution/yaml.h"

#include <gtest/gtest.h>

namespace tidemill::solution {
namespace {

struct Parsed {
  YamlNode root;
  std::string problems;
};
Parsed parse(std::string_view text) {
  Problems problems("f.yaml");
  YamlNode root = parse_yaml(text, problems);
  return {std::move(root), problems.to_string()};
}

TEST(Yaml, KeepsTextAsItStandsWithItsLine) {
  Parsed file = parse("a: 007\nb:\n  - on\n  - 1e3\n  - \"x # y\"\nc: |\n  two\n  lines\n");
  ASSERT_EQ(file.problems, "");
  EXPECT_EQ(file.root.find("a")->text, "007");
  const YamlNode& list = *file.root.find("b");
  ASSERT_EQ(list.items.size(), 3u);
  EXPECT_EQ(list.items[0].text, "on");
  EXPECT_EQ(list.items[1].text, "1e3");
  EXPECT_EQ(list.items[2].text, "x # y");
  EXPECT_EQ(list.items[2].line, 5);
  EXPECT_EQ(file.root.find("c")->text, "two\nlines\n");
  EXPECT_EQ(file.root.find("d"), nullptr);
}

TEST(Yaml, TellsTheWordNullFromNothing) {
  Parsed file = parse("a: null\nb:\nc: ~\nd: {null: {}, x: }\ne: nullable\n");
  ASSERT_EQ(file.problems, "");
  EXPECT_EQ(file.root.find("a")->text, "null");
  EXPECT_EQ(file.root.find("a")->kind, YamlNode::kNothing);
  EXPECT_EQ(file.root.find("b")->text, "");
  EXPECT_EQ(file.root.find("b")->line, 2);
  EXPECT_EQ(file.root.find("c")->text, "~");
  EXPECT_EQ(file.root.find("d")->entries[0].key, "null");
  EXPECT_EQ(file.root.find("d")->entries[1].value.text, "");
  EXPECT_EQ(file.root.find("e")->text, "nullable");
}

TEST(Yaml, ExpandsAliasesAsCopies) {
  Parsed file = parse("a: &x {k: [1, 2]}\nb: *x\n");
  ASSERT_EQ(file.problems, "");
  EXPECT_EQ(file.root.find("b")->find("k")->items[1].text, "2");
}

TEST(Yaml, TakesWindowsLineEndsAndAByteOrderMark) {
  Parsed file = parse("\xef\xbb\xbfname: relay\r\nb: 'it''s'\r\n");
  ASSERT_EQ(file.problems, "");
  EXPECT_EQ(file.root.find("name")->text, "relay");
  EXPECT_EQ(file.root.find("b")->text, "it's");
}

TEST(Yaml, HostileTextIsRefusedInBoundedTime) {
  auto repeated = [](std::string_view text, size_t times) {
    std::string all;
    for (size_t i = 0; i < times; ++i) all += text;
    return all;
  };
  for (const std::string& text :
       {repeated("[", 500'000), repeated("{", 500'000), repeated("- ", 300'000), repeated("? ", 300'000),
        repeated("&a ", 300'000), repeated("a:", 300'000), repeated("%TAG ! x\n", 90'000),
        repeated(": ", 300'000), "[" + repeated(",", 500'000), repeated("- a\n", 60'000),
        repeated("\n", (1 << 20) + 1)}) {
    EXPECT_NE(parse(text).problems, "") << text.substr(0, 20);
  }
  EXPECT_EQ(parse(repeated("\n", 1 << 20)).problems, "");
  EXPECT_EQ(parse("a: |\n" + repeated(" \n", 400'000)).problems, "");
}

TEST(Yaml, DepthIsBoundedThroughAliasesToo) {
  std::string nested = "a: &a [";
  for (int i = 0; i < kMaxYamlDepth - 3; ++i) nested += '[';
  for (int i = 0; i < kMaxYamlDepth - 3; ++i) nested += ']';
  nested += "]\n";
  EXPECT_EQ(parse(nested).problems, "");
  EXPECT_EQ(parse(nested + "b: [[[*a]]]\n").problems,
            "f.yaml:2: nested more than 32 deep; no setting lies that deep");
}

}  // namespace
}  // namespace tidemill::solution
