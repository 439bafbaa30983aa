#include "solution/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "base/text.h"

namespace tidemill::solution {
namespace {

// Thrown out of yaml-cpp's callbacks, caught in parse_yaml.
struct GiveUp {
  int line;
  std::string message;
};

struct Defect {
  int line = 0;
  std::string message;
};

// UTF-8 without control characters: yaml-cpp takes some of them for its own marks.
std::optional<Defect> find_defect(std::string_view text) {
  int line = 1;
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n') ++line;
    if (byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') {
      return Defect{line, "a control character (byte " + std::to_string(byte) + "); remove it"};
    }
    size_t more = byte < 0x80             ? 0
                  : (byte & 0xe0) == 0xc0 ? 1
                  : (byte & 0xf0) == 0xe0 ? 2
                  : (byte & 0xf8) == 0xf0 ? 3
                                          : text.size();
    for (size_t k = 1; k <= more; ++k) {
      if (i + k >= text.size() || (static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) {
        return Defect{line, "not UTF-8 text; save the file as UTF-8"};
      }
    }
    i += more + 1;
  }
  return std::nullopt;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool indented_by_tab(std::string_view line) {
  size_t first = line.find_first_not_of(" \t\r");
  return first != std::string_view::npos && line[first] != '#' && line.substr(0, first).find('\t') < first;
}

// Builds the tree from yaml-cpp's events.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, Problems& problems) : lines_(split_lines(text)), problems_(problems) {}

  YamlNode take() { return std::move(root_); }
  int start_line() const { return start_line_; }

  void OnDocumentStart(const YAML::Mark& mark) override { start_line_ = line_of(mark); }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    node.line = line_of(mark);
    node.text = null_text(mark);
    if (expects_key()) {
      if (node.text.empty()) throw GiveUp{node.line, "a key without a name; write name: value"};
      node.kind = YamlNode::kScalar;  // the key `null`
    }
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end())
      throw GiveUp{line_of(mark), "an alias inside of what it stands for; write it out"};
    YamlNode copy = found->second;
    count(nodes_in(copy), line_of(mark));
    if (static_cast<int>(open_.size()) + depth_of(copy) > kMaxYamlDepth) too_deep(mark);
    add(std::move(copy), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                const std::string& value) override {
    check_quotes(mark);
    YamlNode node;
    node.kind = YamlNode::kScalar;
    node.line = line_of(mark);
    node.text = value;
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(YamlNode::kList, mark, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    start(YamlNode::kMap, mark, anchor);
  }
  void OnMapEnd() override { end(); }

 private:
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    std::optional<YamlEntry> key;  // of a map: read, its value is next
    std::map<std::string, int> lines;
  };

  static int line_of(const YAML::Mark& mark) { return mark.line + 1; }
  [[noreturn]] static void too_deep(const YAML::Mark& mark) {
    throw GiveUp{line_of(mark),
                 "nested more than " + std::to_string(kMaxYamlDepth) + " deep; no setting lies that deep"};
  }
  bool expects_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::kMap && !open_.back().key;
  }

  // yaml-cpp takes the end of the file for the end of an open quote.
  void check_quotes(const YAML::Mark& mark) const {
    auto row = static_cast<size_t>(mark.line);
    auto column = static_cast<size_t>(mark.column);
    if (row >= lines_.size() || column >= lines_[row].size()) return;
    char quote = lines_[row][column];
    if (quote != '"' && quote != '\'') return;
    for (++column; row < lines_.size(); ++row, column = 0) {
      for (std::string_view line = lines_[row]; column < line.size(); ++column) {
        if (quote == '"' && line[column] == '\\') {
          ++column;
        } else if (line[column] == quote) {
          if (quote == '"' || column + 1 >= line.size() || line[column + 1] != quote) return;
          ++column;  // '' stands for one quote
        }
      }
    }
    throw GiveUp{line_of(mark),
                 std::string("the quote ") + quote + " that opens here is never closed; close it"};
  }

  // `null` and `~` are nothing to YAML; as a name (`serve: null`) they are what stands there.
  std::string null_text(const YAML::Mark& mark) const {
    if (mark.line < 0 || static_cast<size_t>(mark.line) >= lines_.size() || mark.column < 0) return {};
    std::string_view line = lines_[static_cast<size_t>(mark.line)];
    if (static_cast<size_t>(mark.column) >= line.size()) return {};
    std::string_view rest = line.substr(static_cast<size_t>(mark.column));
    for (std::string_view word : {"null", "Null", "NULL", "~"}) {
      if (!rest.starts_with(word)) continue;
      rest.remove_prefix(word.size());
      if (rest.empty() || std::string_view(" \t\r,]}:").find(rest[0]) != std::string_view::npos) {
        return std::string(word);
      }
    }
    return {};
  }

  void count(size_t nodes, int line) {
    nodes_ += nodes;
    if (nodes_ > kMaxYamlNodes) {
      throw GiveUp{line, "more than " + std::to_string(kMaxYamlNodes) +
                             " values, aliases expanded; no solution file needs that many"};
    }
  }
  static size_t nodes_in(const YamlNode& node) {
    size_t nodes = 1;
    for (const YamlNode& item : node.items) nodes += nodes_in(item);
    for (const YamlEntry& entry : node.entries) nodes += 1 + nodes_in(entry.value);
    return nodes;
  }
  static int depth_of(const YamlNode& node) {
    int deepest = 0;
    for (const YamlNode& item : node.items) deepest = std::max(deepest, depth_of(item));
    for (const YamlEntry& entry : node.entries) deepest = std::max(deepest, depth_of(entry.value));
    return deepest + 1;
  }

  void start(YamlNode::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (open_.size() >= static_cast<size_t>(kMaxYamlDepth)) too_deep(mark);
    if (expects_key())
      throw GiveUp{line_of(mark), "a list or map stands where a key is expected; write name: value"};
    Open open;
    open.node.kind = kind;
    open.node.line = line_of(mark);
    open.anchor = anchor;
    open_.push_back(std::move(open));
  }

  void end() {
    Open open = std::move(open_.back());
    open_.pop_back();
    add(std::move(open.node), open.anchor);
  }

  // A finished node goes to the list or map that is open, or is the root.
  void add(YamlNode node, YAML::anchor_t anchor) {
    count(1, node.line);
    if (anchor != 0) {
      anchored_ += nodes_in(node);
      if (anchored_ > kMaxYamlNodes)
        throw GiveUp{node.line, "anchors around too many values; write them out"};
      anchors_[anchor] = node;
    }
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (Open& open = open_.back(); open.node.kind == YamlNode::kList) {
      open.node.items.push_back(std::move(node));
    } else if (!open.key) {
      if (node.kind != YamlNode::kScalar)
        throw GiveUp{node.line, "a key that is not text; write name: value"};
      open.key = YamlEntry{std::move(node.text), node.line, {}};
    } else {
      add_entry(open, std::move(node));
    }
  }

  void add_entry(Open& open, YamlNode value) {
    YamlEntry entry = std::move(*open.key);
    open.key.reset();
    if (value.kind == YamlNode::kNothing && value.text.empty()) value.line = entry.line;
    entry.value = std::move(value);
    auto [first, fresh] = open.lines.try_emplace(entry.key, entry.line);
    if (fresh) {
      open.node.entries.push_back(std::move(entry));
    } else {
      problems_.at_line(entry.line, {},
                        "the key " + entry.key + " stands here a second time (first in line " +
                            std::to_string(first->second) + "); keep one of them");
    }
  }

  std::vector<std::string_view> lines_;
  Problems& problems_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  int start_line_ = 1;
  size_t nodes_ = 0;
  size_t anchored_ = 0;
  YamlNode root_;
};

// yaml-cpp's own words where they help; the usual cause where they do not.
std::string explain_syntax(std::string_view text, const YAML::Exception& error) {
  int line = error.mark.line + 1;
  std::vector<std::string_view> lines = split_lines(text);
  for (size_t i = 0; i < lines.size() && static_cast<int>(i) <= line; ++i) {
    if (indented_by_tab(lines[i])) {
      return "not valid YAML (" + error.msg + "): line " + std::to_string(i + 1) +
             " is indented by a tab; indent with spaces";
    }
  }
  return "not valid YAML: " + error.msg +
         "; look at this line's and the one before's indentation, colons and quotes";
}

bool parse_documents(std::string_view text, TreeBuilder& builder, Problems& problems) {
  std::istringstream stream{std::string(text)};
  YAML::Parser parser(stream);
  if (!parser.HandleNextDocument(builder)) return true;  // empty
  // Only whether there is another; what it holds is nobody's business.
  Problems ignored(problems.file());
  TreeBuilder next({}, ignored);
  if (parser.HandleNextDocument(next)) {
    problems.at_line(next.start_line(), {},
                     "several YAML documents (---) in one file; give each solution a file of its own");
    return false;
  }
  return true;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::string_view YamlNode::kind_name() const {
  switch (kind) {
    case kScalar:
      return "text";
    case kList:
      return "a list";
    case kMap:
      return "a map";
    case kNothing:
      break;
  }
  return "nothing";
}

YamlNode parse_yaml(std::string_view text, Problems& problems) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (text.size() > kMaxYamlBytes) {
    problems.at_line(1, {},
                     "the file has " + format_bytes(static_cast<int64_t>(text.size())) +
                         "; a solution file has at most " +
                         format_bytes(static_cast<int64_t>(kMaxYamlBytes)));
    return {};
  }
  if (std::optional<Defect> defect = find_defect(text)) {
    problems.at_line(defect->line, {}, defect->message);
    return {};
  }
  TreeBuilder builder(text, problems);
  try {
    if (!parse_documents(text, builder, problems)) return {};
  } catch (const GiveUp& reason) {
    problems.at_line(reason.line, {}, reason.message);
    return {};
  } catch (const YAML::Exception& error) {
    problems.at_line(std::max(error.mark.line, 0) + 1, {}, explain_syntax(text, error));
    return {};
  } catch (const std::exception& error) {
    problems.at_line(1, {}, std::string("not readable as YAML: ") + error.what());
    return {};
  }
  return builder.take();
}

}  // namespace tidemill::solution
