#include "log/checkpoints.h"

#include <sstream>

namespace tidemill::log {

Result<std::vector<std::vector<std::string>>> read_checkpoint(FileSystem& files, const std::string& path,
                                                              size_t words) {
  std::vector<std::vector<std::string>> lines;
  auto content = read_file(files, path);
  if (!content.ok()) {
    if (content.error().code == Code::kNotFound) return lines;
    return std::move(content).error();
  }
  Error corrupt = external_error(path + ": not a checkpoint file (version 0)", Code::kCorrupt);
  std::istringstream text(*content);
  std::string line;
  if (!std::getline(text, line) || line != "0" || !std::getline(text, line)) return corrupt;
  std::optional<int64_t> count = parse_integer(line);
  while (std::getline(text, line)) {
    std::istringstream split(line);
    std::vector<std::string> parts;
    std::string word;
    while (split >> word) parts.push_back(word);
    if (parts.size() != words) return corrupt;
    lines.push_back(std::move(parts));
  }
  if (!count || *count < 0 || static_cast<size_t>(*count) != lines.size()) return corrupt;
  return lines;
}

Status write_checkpoint(FileSystem& files, const std::string& path,
                        const std::vector<std::vector<std::string>>& lines) {
  std::string text = "0\n" + std::to_string(lines.size()) + "\n";
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      if (i > 0) text += ' ';
      text += line[i];
    }
    text += '\n';
  }
  return write_file_atomically(files, path, text);
}

Result<OffsetMap> read_offset_checkpoint(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto lines, read_checkpoint(files, path, 3));
  OffsetMap offsets;
  for (const auto& line : lines) {
    std::optional<int64_t> partition = parse_integer(line[1]);
    std::optional<int64_t> offset = parse_integer(line[2]);
    if (!partition || *partition < 0 || *partition > INT32_MAX || !offset || *offset < 0) {
      return external_error(path + ": not lines of topic, partition and offset", Code::kCorrupt);
    }
    offsets[{line[0], Partition(static_cast<int32_t>(*partition))}] = Offset(*offset);
  }
  return offsets;
}

Status write_offset_checkpoint(FileSystem& files, const std::string& path, const OffsetMap& offsets) {
  std::vector<std::vector<std::string>> lines;
  for (const auto& [tp, offset] : offsets) {
    lines.push_back({tp.topic, std::to_string(tp.partition.value()), std::to_string(offset.value())});
  }
  return write_checkpoint(files, path, lines);
}

}  // namespace tidemill::log
