#include "solution/catalogue.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/text.h"
#include "event/json_splice.h"
#include "solution/load.h"
#include "solution/missing.h"
#include "solution/yaml.h"

namespace tidemill::solution {
namespace {

bool is_yaml(std::string_view name) {
  return name.ends_with(".yaml") || name.ends_with(".yml");
}
std::string stem(const std::string& file) {
  return file.substr(0, file.rfind('.'));
}

struct Row {
  std::string name, file, source, process, sink, guarantee, description, error;
  std::vector<std::string> targets, variants, sizes;
};

std::vector<std::string> names_of(const std::vector<Preset>& presets) {
  std::vector<std::string> names;
  for (const Preset& preset : presets) names.push_back(preset.name);
  return names;
}

Row describe(const SolutionFile& file, const Environment& environment) {
  Row row;
  row.name = file.name;
  row.file = file.file;
  LoadRequest request{file.file, file.text, {}, {}, environment};
  Result<Loaded> loaded = load_solution(request);
  if (!loaded.ok()) {
    row.error = loaded.error().message.substr(0, loaded.error().message.find('\n'));
    return row;
  }
  const Solution& solution = loaded->solution;
  row.source = source_summary(solution);
  row.process = process_summary(solution);
  row.sink = sink_summary(solution);
  row.guarantee = guarantee_summary(solution);
  row.description = solution.description;
  row.targets = names_of(loaded->targets);
  row.variants = names_of(loaded->variants);
  row.sizes = names_of(loaded->sizes);
  return row;
}

size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string member(std::string_view name, std::string_view value) {
  std::string json;
  append_json_string(name, &json);
  json += ':';
  append_json_string(value, &json);
  return json;
}

std::string list_member(std::string_view name, const std::vector<std::string>& values) {
  std::vector<std::string> texts;
  for (const std::string& value : values) append_json_string(value, &texts.emplace_back());
  return '"' + std::string(name) + "\":[" + join(texts, ",") + "]";
}

// Columns, each as wide as its widest cell.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i)
      text += row[i] + std::string(widths[i] - width(row[i]) + 2, ' ');
    text += row.back() + '\n';
  }
  return text;
}

std::vector<const ReferenceSolution*> missing_from(const std::vector<SolutionFile>& files) {
  std::vector<const ReferenceSolution*> missing;
  for (const ReferenceSolution& one : reference_solutions()) {
    bool there = std::any_of(files.begin(), files.end(),
                             [&](const SolutionFile& file) { return file.name == one.name; });
    if (!there) missing.push_back(&one);
  }
  return missing;
}

}  // namespace

std::vector<std::string> catalogue_folders(const Environment& environment,
                                           const std::string& program_directory) {
  std::vector<std::string> folders = {"solutions"};
  std::string rest = environment("TIDEMILL_SOLUTIONS").value_or("");
  while (!rest.empty()) {
    std::string folder = rest.substr(0, rest.find(':'));
    rest.erase(0, folder.size() + 1);
    if (!folder.empty()) folders.push_back(std::move(folder));
  }
  if (!program_directory.empty()) folders.push_back(program_directory + "/../share/tidemill/solutions");
  return folders;
}

std::string program_directory() {
  std::error_code error;
  std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : program.parent_path().string();
}

Result<SolutionFile> Catalogue::read(const std::string& name, const std::string& path) const {
  // More than is taken: parse_yaml() says what is too large.
  TM_ASSIGN(std::string text, read_file(files_, path, uint64_t{4} * kMaxYamlBytes));
  return SolutionFile{name, path, std::move(text)};
}

std::vector<std::string> Catalogue::names_in_folder(const std::string& folder) const {
  Result<std::vector<std::string>> names = files_.list(folder);
  if (!names.ok()) return {};
  std::erase_if(*names, [](const std::string& name) { return !is_yaml(name); });
  return std::move(*names);
}

Result<SolutionFile> Catalogue::find(const std::string& wanted) const {
  if (wanted.find('/') != std::string::npos || is_yaml(wanted)) {
    size_t slash = wanted.rfind('/');
    std::string folder = slash == std::string::npos ? "." : wanted.substr(0, slash);
    std::string last = slash == std::string::npos ? wanted : wanted.substr(slash + 1);
    if (!files_.exists(wanted)) {
      std::string hint = did_you_mean(last, names_in_folder(folder));
      return user_error(wanted + ": no such file" +
                            (hint.empty() ? "; `tidemill solutions` lists what can be run by name" : hint),
                        Code::kNotFound);
    }
    return read(stem(last), wanted);
  }
  std::vector<std::string> known;
  for (const SolutionFile& file : list()) {
    if (file.name == wanted) return file;
    known.push_back(file.name);
  }
  if (const ReferenceSolution* missing = find_reference_solution(wanted))
    return user_error(why_missing(*missing), Code::kNotFound);
  std::vector<std::string> names = known;
  for (const ReferenceSolution& one : reference_solutions()) names.emplace_back(one.name);
  std::string hint = did_you_mean(wanted, names);
  if (hint.empty()) hint = "; give one of " + join(known, ", ") + ", or the path of a .yaml file";
  return user_error("no solution is called " + wanted + hint, Code::kNotFound);
}

std::vector<SolutionFile> Catalogue::list() const {
  std::map<std::string, SolutionFile> found;
  for (const std::string& folder : folders_) {
    for (const std::string& name : names_in_folder(folder)) {
      if (found.contains(stem(name))) continue;
      Result<SolutionFile> file = read(stem(name), join_path(folder, name));
      if (file.ok()) found.emplace(stem(name), std::move(*file));
    }
  }
  for (const BuiltinSolution& built_in : builtin_solutions()) {
    std::string name(built_in.name);
    found.try_emplace(name, SolutionFile{name, "built-in " + name + ".yaml", std::string(built_in.text)});
  }
  std::vector<SolutionFile> files;
  for (auto& [name, file] : found) files.push_back(std::move(file));
  return files;
}

std::string catalogue_text(const std::vector<SolutionFile>& files, const Environment& environment) {
  std::vector<std::vector<std::string>> rows = {
      {"solution", "from → to", "guarantee", "sizes", "what it does"}};
  for (const SolutionFile& file : files) {
    Row row = describe(file, environment);
    if (row.error.empty()) {
      rows.push_back({row.name, row.source + " → " + row.sink, row.guarantee,
                      row.sizes.empty() ? "-" : join(row.sizes, " "), row.description});
    } else {
      rows.push_back({row.name, "-", "-", "-", row.error});
    }
  }
  std::string text = aligned(rows);
  const std::vector<const ReferenceSolution*> missing = missing_from(files);
  if (missing.empty()) return text;
  rows = {{"not available yet", "needs"}};
  for (const ReferenceSolution* one : missing) rows.push_back({std::string(one->name), missing_parts(*one)});
  return text + "\n" + aligned(rows) + "\ntidemill check NAME says what comes closest to such a one today.\n";
}

std::string catalogue_json(const std::vector<SolutionFile>& files, const Environment& environment) {
  std::vector<std::string> rows;
  for (const SolutionFile& file : files) {
    Row row = describe(file, environment);
    std::vector<std::string> members = {member("name", row.name),
                                        "\"available\":true",
                                        member("file", row.file),
                                        member("source", row.source),
                                        member("process", row.process),
                                        member("sink", row.sink),
                                        member("guarantee", row.guarantee),
                                        list_member("targets", row.targets),
                                        list_member("variants", row.variants),
                                        list_member("sizes", row.sizes),
                                        member("description", row.description)};
    if (!row.error.empty()) members.push_back(member("error", row.error));
    rows.push_back("{" + join(members, ",") + "}");
  }
  for (const ReferenceSolution* one : missing_from(files)) {
    const std::vector<std::string> members = {member("name", one->name),
                                              "\"available\":false",
                                              member("source", one->from),
                                              member("sink", one->to),
                                              member("needs", missing_parts(*one)),
                                              member("closest", one->closest),
                                              member("difference", one->difference)};
    rows.push_back("{" + join(members, ",") + "}");
  }
  return "[" + join(rows, ",") + "]";
}

}  // namespace tidemill::solution
