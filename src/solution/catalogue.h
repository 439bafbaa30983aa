// Finds solution files: by path, or by name in the catalogue's folders and among the files built into
// the program.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "solution/environment.h"

namespace tidemill::solution {

struct SolutionFile {
  std::string name;  // "relay"
  std::string file;  // as messages name it: "solutions/relay.yaml", "built-in relay.yaml"
  std::string text;
};

// A file of solutions/ as it was when the program was built.
struct BuiltinSolution {
  std::string_view name;
  std::string_view text;
};
std::span<const BuiltinSolution> builtin_solutions();

// Where names are looked up, strongest first: ./solutions, the folders of $TIDEMILL_SOLUTIONS (colons
// between), <program's folder>/../share/tidemill/solutions. What is in none of them may be built in.
std::vector<std::string> catalogue_folders(const Environment& environment,
                                           const std::string& program_directory);
// The folder of the running program; empty where the system does not tell.
std::string program_directory();

class Catalogue {
 public:
  // `files` outlives it.
  Catalogue(FileSystem& files, std::vector<std::string> folders)
      : files_(files), folders_(std::move(folders)) {}

  // `wanted` with a slash or ending in .yaml or .yml is a path, else a name. Errors: kUser, kNotFound
  // with the nearest name, or with what a solution of the reference needs that is not here; what reading the
  // file gives.
  Result<SolutionFile> find(const std::string& wanted) const;
  // All of them by name; of one name the strongest. Unreadable ones are left out.
  std::vector<SolutionFile> list() const;

 private:
  Result<SolutionFile> read(const std::string& name, const std::string& path) const;
  std::vector<std::string> names_in_folder(const std::string& folder) const;

  FileSystem& files_;
  std::vector<std::string> folders_;
};

// For `tidemill solutions`: name, source → sink, guarantee, sizes, what it does. A file with problems is
// listed with the first of them. Below them the reference's that are not here.
std::string catalogue_text(const std::vector<SolutionFile>& files, const Environment& environment);
// [{"name": …, "available": true, "file": …, "source": …, "process": …, "sink": …, "guarantee": …,
// "targets": […], "variants": […], "sizes": […], "description": …, "error": …}, {"name": …, "available":
// false, "source": …, "sink": …, "needs": …, "closest": …, "difference": …}]
std::string catalogue_json(const std::vector<SolutionFile>& files, const Environment& environment);

// For `tidemill solutions NAME`: what it does on each of its targets, what its variants and sizes change,
// and the limits of its verification. Errors: load_solution's.
Result<std::string> overview_text(const SolutionFile& file, const Environment& environment);

}  // namespace tidemill::solution
