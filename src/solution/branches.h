// A solution file with `branches`, as a file for each of them. Internal to loading.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "solution/draft.h"
#include "solution/load.h"

namespace tidemill::solution {

// Loads one of the files; `place` says, before defaults are derived, where it stands among the others.
using LoadOne = std::function<Loaded(const YamlNode& root, const LoadRequest& request,
                                     const std::function<void(Draft&)>& place, Problems& problems)>;

// Takes the branches out of a file, and what its presets and the options say of them.
class Branches {
 public:
  Branches(YamlNode& root, LoadRequest& request, Problems& problems);

  // Adds them to the loaded file, each behind what it reads. Their problems come with their whole paths.
  void load(const LoadOne& load_one, Loaded& loaded, Problems& problems);

 private:
  struct Branch {
    std::string name;
    int line = 0;
    std::string from;
    int from_line = 0;
    YamlNode root;
    std::vector<Override> overrides;
  };
  void add(const YamlNode& file, const YamlEntry& entry, Problems& problems);
  void take_presets(YamlEntry& presets, Problems& problems);
  Branch* find(const std::string& path, std::string* rest);
  static void check_written(const Branch& branch, const Solution& solution, const Solution& whole,
                            Problems& problems);

  LoadRequest request_;  // of a branch, but for its overrides
  std::vector<Branch> branches_;
};

}  // namespace tidemill::solution
