#include "solution/branches.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.h"
#include "kafka/topic_pattern.h"
#include "pipeline/kafka_changelog.h"
#include "solution/between.h"
#include "solution/delta_store.h"
#include "solution/names.h"

namespace tidemill::solution {
namespace {

constexpr std::string_view kPrefix = "branches.";
// What a branch has of the whole file unless it says it itself.
constexpr std::array<std::string_view, 3> kInherited = {"event", "pipeline", "query"};
constexpr std::array<std::string_view, 8> kOwn = {"from",  "event",        "process",  "serve",
                                                  "query", "dead_letters", "pipeline", "verify"};
constexpr std::array<std::string_view, 3> kPresets = {"targets", "variants", "sizes"};

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string list_of(const std::array<std::string_view, 8>& names) {
  return join(std::vector<std::string>(names.begin(), names.end()), ", ");
}

std::string first_name(const std::string& path) {
  return path.substr(0, path.find('.'));
}

// By presets and options: what a branch reads is said in the file alone.
bool is_settable(const std::string& path) {
  const std::string first = first_name(path);
  return first != "from" && is_one_of(kOwn, first);
}
std::string not_settable() {
  return "is no setting of a branch that can be changed here; there are " + list_of(kOwn);
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 40 && holds_only(name, "_-");
}

// Pipelines of the solution itself are called <name>-to-intervals and the like, those of branches
// <name>-<branch>.
bool is_taken_name(const std::string& name) {
  return name == "to-intervals" || name.starts_with("rekey-") || name.starts_with("into-");
}

// Each is one of written(): the same, or a folder in the other.
bool meet(const std::string& one, const std::string& other) {
  if (one == other) return true;
  if (!one.starts_with("folder ") || !other.starts_with("folder ")) return false;
  return folders_meet(one, other);
}

// What its sinks write, and where: no two pipelines may write the same.
std::vector<std::string> written(const Solution& solution) {
  const ServeConfig& serve = solution.serve;
  const std::string& dead = solution.dead_letters.name;
  std::vector<std::string> all;
  for (const OperatorConfig& step : solution.process) {
    if (auto topic = topic_before(solution, step))
      all.push_back("topic " + topic->name + (topic->in_kafka ? " of Kafka" : ""));
  }
  switch (serve.kind) {
    case SinkKind::kLog:
      all.insert(all.end(), {"topic " + serve.log.topic, "topic " + dead});
      break;
    case SinkKind::kKafka:
      all.insert(all.end(), {"topic " + serve.kafka.topic + " of Kafka", "topic " + dead + " of Kafka"});
      break;
    case SinkKind::kDuckDb:
      for (const std::string& table : {serve.duckdb.table, dead})
        all.push_back("table " + to_lower(table) + " of " + normal_folder(serve.duckdb.database));
      break;
    case SinkKind::kPostgres:
      all.insert(all.end(),
                 {"table " + serve.postgres.table + " of PostgreSQL", "table " + dead + " of PostgreSQL"});
      break;
    case SinkKind::kFiles:
      all.insert(all.end(),
                 {"folder " + normal_folder(serve.files.directory), "folder " + normal_folder(dead)});
      break;
    case SinkKind::kDelta:
    case SinkKind::kParquet: {
      const bool delta = serve.kind == SinkKind::kDelta;
      const std::string table = normal_folder(delta ? serve.delta.table : serve.parquet.directory);
      all.insert(all.end(),
                 {"folder " + table, "folder " + normal_folder(join_path(parent_path(table), dead))});
      break;
    }
    case SinkKind::kNull:
      break;
  }
  return all;
}

// The topic of another pipeline's that its sink writes; empty: none.
const std::string& written_topic(const Solution& solution) {
  static const std::string none;
  if (solution.serve.kind == SinkKind::kLog) return solution.serve.log.topic;
  if (solution.serve.kind == SinkKind::kKafka) return solution.serve.kafka.topic;
  return none;
}

// Of what a branch writes in Kafka, the first that the pattern matches; empty: none.
std::string matched_of(const std::string& pattern, const Solution& branch) {
  std::vector<std::string> topics;
  if (branch.serve.kind == SinkKind::kKafka) topics = {branch.serve.kafka.topic, branch.dead_letters.name};
  for (const BetweenTopic& topic : between_topics(branch)) {
    if (topic.in_kafka) topics.insert(topics.end(), {topic.name, topic.dead_letters});
  }
  const bool state = std::any_of(branch.process.begin(), branch.process.end(), [](const auto& step) {
    return step.kind == OperatorKind::kDedup || step.kind == OperatorKind::kSql;
  });
  if (state && reads_kafka(branch) && (branch.serve.kind == SinkKind::kKafka || shares_store(branch)))
    topics.push_back(pipeline::kafka_changelog_topic(branch.name));
  auto found = std::find_if(topics.begin(), topics.end(),
                            [&](const std::string& topic) { return kafka::matches_pattern(pattern, topic); });
  return found == topics.end() ? std::string() : *found;
}

// Where a branch reads: the solution's input, or what another pipeline's sink writes.
IngestConfig ingest_of(const Solution& whole, const Solution* upstream) {
  IngestConfig ingest = whole.ingest;
  if (upstream == nullptr) return ingest;
  if (upstream->serve.kind == SinkKind::kLog) {
    ingest.kind = SourceKind::kLog;
    ingest.log = {upstream->serve.log.topic, upstream->serve.log.partitions, {}, true};
    return ingest;
  }
  const KafkaSink& sink = upstream->serve.kafka;
  ingest.kind = SourceKind::kKafka;
  ingest.kafka.connection = sink.connection;
  ingest.kafka.topic = sink.topic;
  ingest.kafka.partitions = sink.partitions > 0 ? sink.partitions : input_partitions(*upstream);
  ingest.kafka.replication = sink.replication;
  ingest.kafka.create = sink.create;
  ingest.kafka.start = {};
  ingest.kafka.start_offsets.clear();
  return ingest;
}

}  // namespace

Branches::Branches(YamlNode& root, LoadRequest& request, Problems& problems) : request_(request) {
  const YamlNode* listed = root.find("branches");
  if (listed != nullptr) {
    const YamlNode all = *listed;
    std::erase_if(root.entries, [](const YamlEntry& entry) { return entry.key == "branches"; });
    if (all.kind != YamlNode::kMap) {
      problems.at_line(all.line, "branches", "give a map of branches, as archive: {serve: files}");
    }
    for (const YamlEntry& entry : all.entries) add(root, entry, problems);
  }
  for (YamlEntry& entry : root.entries) {
    if (is_one_of(kPresets, entry.key)) take_presets(entry, problems);
  }
  for (const Override& given : request.overrides) {
    std::string rest;
    Branch* branch = find(given.path, &rest);
    if (branch != nullptr && is_settable(rest)) {
      branch->overrides.push_back({rest, given.value, given.option, given.path});
    } else if (branch != nullptr) {
      problems.at_option(given.option + " " + given.path + "=" + given.value, given.path, not_settable());
    } else if (given.path.starts_with(kPrefix)) {
      problems.at_option(given.option + " " + given.path + "=" + given.value, given.path, "no such branch");
    } else {
      for (Branch& one : branches_) {
        const std::string first = first_name(given.path);
        const YamlNode* file_has = one.root.find("own:" + first);
        if (is_one_of(kInherited, first) && file_has == nullptr) one.overrides.push_back(given);
      }
    }
  }
  std::erase_if(request.overrides, [](const Override& given) { return given.path.starts_with(kPrefix); });
  for (Branch& one : branches_) {
    std::erase_if(one.root.entries, [](const YamlEntry& entry) { return entry.key.starts_with("own:"); });
  }
  if (root.find("targets") == nullptr) request_.target.reset();
}

void Branches::add(const YamlNode& file, const YamlEntry& entry, Problems& problems) {
  const std::string path = std::string(kPrefix) + entry.key.substr(0, kMaxCited);
  if (!is_plain_name(entry.key)) {
    problems.at_line(entry.line, path,
                     "is not a name; use at most 40 letters, digits, dashes and underscores");
    return;
  }
  if (is_taken_name(entry.key)) {
    problems.at_line(entry.line, path, "is the name of a pipeline of the solution's own; give another");
    return;
  }
  if (entry.value.kind != YamlNode::kMap) {
    problems.at_line(entry.line, path, "give a map with serve, as " + entry.key + ": {serve: files}");
    return;
  }
  Branch branch;
  branch.name = entry.key;
  branch.line = entry.line;
  branch.root.kind = YamlNode::kMap;
  branch.root.line = entry.line;
  for (const YamlEntry& own : entry.value.entries) {
    if (!is_one_of(kOwn, own.key)) {
      problems.at_line(own.line, path + "." + own.key.substr(0, kMaxCited),
                       "is no setting of a branch; there are " + list_of(kOwn));
    } else if (own.key == "from") {
      branch.from = own.value.text;
      branch.from_line = own.line;
      if (branch.from.empty())
        problems.at_line(own.line, path + ".from", "give a topic that another sink of this file writes");
    } else {
      branch.root.entries.push_back(own);
      branch.root.entries.push_back({"own:" + own.key, own.line, {}});
    }
  }
  for (const YamlEntry& inherited : file.entries) {
    const bool presets = is_one_of(kPresets, inherited.key);
    if (!presets && (!is_one_of(kInherited, inherited.key) || branch.root.find(inherited.key) != nullptr))
      continue;
    branch.root.entries.push_back(inherited);
    if (!presets) continue;
    for (YamlEntry& preset : branch.root.entries.back().value.entries) {
      std::erase_if(preset.value.entries, [&](const YamlEntry& setting) {
        const std::string first = first_name(setting.key);
        return !is_one_of(kInherited, first) || branch.root.find("own:" + first) != nullptr;
      });
    }
  }
  branches_.push_back(std::move(branch));
}

// What a preset says of a branch goes to the branch's own preset of that name.
void Branches::take_presets(YamlEntry& presets, Problems& problems) {
  for (YamlEntry& preset : presets.value.entries) {
    for (const YamlEntry& setting : preset.value.entries) {
      if (!setting.key.starts_with(kPrefix)) continue;
      std::string rest;
      Branch* branch = find(setting.key, &rest);
      if (branch == nullptr) {
        problems.at_line(setting.line,
                         presets.key + "." + preset.key + "." + setting.key.substr(0, kMaxCited),
                         "no such branch");
        continue;
      }
      if (!is_settable(rest)) {
        problems.at_line(setting.line,
                         presets.key + "." + preset.key + "." + setting.key.substr(0, kMaxCited),
                         not_settable());
        continue;
      }
      for (YamlEntry& mine : branch->root.entries) {
        if (mine.key != presets.key) continue;
        for (YamlEntry& one : mine.value.entries) {
          if (one.key != preset.key) continue;
          one.value.kind = YamlNode::kMap;
          one.value.entries.push_back({rest, setting.line, setting.value});
        }
      }
    }
    std::erase_if(preset.value.entries,
                  [](const YamlEntry& setting) { return setting.key.starts_with(kPrefix); });
  }
}

// "branches.archive.serve.files.directory": the branch, and what is left of the path.
Branches::Branch* Branches::find(const std::string& path, std::string* rest) {
  if (!path.starts_with(kPrefix)) return nullptr;
  const std::string below = path.substr(kPrefix.size());
  for (Branch& branch : branches_) {
    if (!below.starts_with(branch.name + ".")) continue;
    *rest = below.substr(branch.name.size() + 1);
    return &branch;
  }
  return nullptr;
}

// Nothing that another one writes, nor what the solution reads.
void Branches::check_written(const Branch& branch, const Solution& solution, const Solution& whole,
                             Problems& problems) {
  const std::string path = std::string(kPrefix) + branch.name;
  const std::string read = "topic " + input_topic(whole) + (reads_kafka(whole) ? " of Kafka" : "");
  // One that reads the pattern itself was checked against it.
  const bool pattern = reads_kafka(whole) && kafka::is_pattern(input_topic(whole)) && !branch.from.empty() &&
                       kafka::pattern_fault(input_topic(whole)).empty();
  if (std::string topic = pattern ? matched_of(input_topic(whole), solution) : std::string();
      !topic.empty()) {
    problems.at_line(branch.line, path,
                     "writes topic " + topic + ", which matches " + input_topic(whole) +
                         ", so events would go in a circle; give another");
  }
  for (const std::string& mine : written(solution)) {
    if (mine == read) {
      problems.at_line(
          branch.line, path,
          "writes " + mine + ", which the solution reads: the events would go in a circle; give another");
    }
    for (const Solution* other : with_branches(whole)) {
      for (const std::string& theirs : written(*other)) {
        if (!meet(mine, theirs)) continue;
        problems.at_line(branch.line, path,
                         "writes " + theirs + ", as " +
                             (other->branch.empty() ? "the solution itself" : "branch " + other->branch) +
                             " does; give another");
      }
    }
  }
}

void Branches::load(const LoadOne& load_one, Loaded& loaded, Problems& problems) {
  Solution& whole = loaded.solution;
  std::vector<Branch> waiting = std::move(branches_);
  while (!waiting.empty()) {
    // Those whose topic a pipeline writes that is known by now.
    auto next = std::find_if(waiting.begin(), waiting.end(), [&](const Branch& branch) {
      const auto all = with_branches(whole);
      return branch.from.empty() || std::any_of(all.begin(), all.end(), [&](const Solution* one) {
               return written_topic(*one) == branch.from;
             });
    });
    if (next == waiting.end()) {
      std::vector<std::string> topics;
      for (const Solution* one : with_branches(whole)) {
        if (!written_topic(*one).empty()) topics.push_back(written_topic(*one));
      }
      for (const Branch& branch : waiting) {
        problems.at_line(
            branch.from_line, std::string(kPrefix) + branch.name + ".from",
            "no sink of this file writes the topic " + branch.from.substr(0, kMaxCited) +
                (topics.empty() ? "" : ", or it would go in a circle; there are " + join(topics, ", ")));
      }
      return;
    }
    Branch branch = std::move(*next);
    waiting.erase(next);
    const Solution* upstream = nullptr;
    for (const Solution* one : with_branches(whole)) {
      if (!branch.from.empty() && written_topic(*one) == branch.from) upstream = one;
    }
    const IngestConfig ingest = ingest_of(whole, upstream);
    LoadRequest request = request_;
    request.overrides = branch.overrides;
    Problems own(problems.file());
    Loaded one = load_one(
        branch.root, request,
        [&](Draft& draft) {
          draft.solution.name = whole.name + "-" + branch.name;
          draft.solution.branch = branch.name;
          draft.solution.from = branch.from;
          draft.solution.ingest = ingest;
          draft.solution.log = whole.log;
          draft.solution.observe = whole.observe;
          const Origin as{{branch.line, {}, {}}, branch.from.empty() ? "as ingest" : "as from", false};
          for (const char* path : {"name", "ingest.log.topic", "ingest.kafka.topic"})
            draft.origins[path] = as;
        },
        own);
    problems.take(std::move(own), std::string(kPrefix) + branch.name + ".");
    check_written(branch, one.solution, whole, problems);
    for (ShownSetting& setting : one.settings) {
      const std::string first = first_name(setting.path);
      const bool own_place = first == "process" || first == "serve" || first == "dead_letters";
      if (!own_place && (!is_one_of(kOwn, first) || setting.origin == "default")) continue;
      setting.path = std::string(kPrefix) + branch.name + "." + setting.path;
      loaded.settings.push_back(std::move(setting));
    }
    whole.branches.push_back(std::move(one.solution));
  }
}

}  // namespace tidemill::solution
