#include "base/library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace tidemill {

void* SymbolBinder::find(const char* symbol) {
  void* found = dlsym(library_, symbol);
  if (found == nullptr && missing_.empty()) missing_ = symbol;
  return found;
}

std::vector<std::string> library_places(const char* variable, const std::string& file,
                                        const std::string& found) {
  if (const char* chosen = std::getenv(variable); chosen != nullptr && *chosen != '\0') return {chosen};
  std::vector<std::string> places;
  std::error_code error;
  auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto folder = program.parent_path();
    places.push_back((folder / file).string());
    places.push_back((folder.parent_path() / "lib" / "tidemill" / file).string());
  }
  if (!found.empty()) places.push_back(found);
  places.push_back(file);
  return places;
}

std::optional<std::string> load_library(const std::vector<std::string>& places,
                                        const std::function<std::string(SymbolBinder&)>& fill) {
  std::string tried;
  for (const std::string& path : places) {
    std::string problem;
    if (void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL); library == nullptr) {
      const char* reason = dlerror();
      problem = reason == nullptr ? "cannot be loaded" : reason;
    } else {
      SymbolBinder bind(library);
      problem = fill(bind);
      if (problem.empty() && !bind.missing().empty()) problem = "lacks " + bind.missing();
      if (problem.empty()) return std::nullopt;
      dlclose(library);
    }
    tried += "\n  " + path + ": " + problem;
  }
  return tried;
}

}  // namespace tidemill
