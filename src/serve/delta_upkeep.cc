#include "serve/delta_upkeep.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "base/logging.h"
#include "base/steps.h"
#include "serve/delta_schema.h"

namespace tidemill::serve {

namespace {

constexpr int64_t kVacuumUs = 3'600'000'000, kTryUs = 60'000'000;  // this often

std::string folder_in_table(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

// Names that begin with '_' or '.' are others' business: the log's, a table's indexes.
bool is_data_file(const std::string& name) {
  const bool hidden = name.starts_with("_") || name.starts_with(".") ||
                      name.find("/.") != std::string::npos || name.find("/_") != std::string::npos;
  return !hidden && name.ends_with(".parquet");
}

// Folders, with their '/', that are tables of their own below this one: what is in them is not its.
std::set<std::string> other_tables(const std::vector<StoredObject>& objects) {
  constexpr std::string_view kLog = "/_delta_log/";
  std::set<std::string> folders;
  for (const StoredObject& object : objects) {
    const size_t at = object.name.find(kLog);
    if (at != std::string::npos) folders.insert(object.name.substr(0, at + 1));
  }
  return folders;
}

bool is_in_one_of(const std::set<std::string>& folders, const std::string& name) {
  for (size_t at = name.find('/'); at != std::string::npos && !folders.empty(); at = name.find('/', at + 1)) {
    if (folders.contains(name.substr(0, at + 1))) return true;
  }
  return false;
}

}  // namespace

DeltaUpkeep::DeltaUpkeep(DeltaLog& log, std::shared_ptr<duck::Database> database, Clock& clock,
                         Random& random, DeltaUpkeepOptions options)
    : log_(log),
      database_(std::move(database)),
      clock_(clock),
      random_(random),
      options_(std::move(options)) {}

DeltaUpkeep::~DeltaUpkeep() {
  {
    std::lock_guard lock(mutex_);
    ends_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void DeltaUpkeep::start() {
  thread_ = std::thread([this] { run(); });
}

// What fails here is tried again; the table is as it was.
void DeltaUpkeep::run() {
  const int64_t looks_a_vacuum = std::max<int64_t>(1, kVacuumUs / options_.pause_us);
  const int64_t looks_a_try = std::max<int64_t>(1, kTryUs / options_.pause_us);
  std::unique_lock lock(mutex_);
  for (int64_t looks = 0; !ends_; ++looks) {
    if (looks % looks_a_try == 0) failed_.clear();
    for (bool more = true; more && !ends_;) {
      lock.unlock();
      auto merged = merge();
      if (!merged.ok())
        log_warning("merging files of " + log_.store().place() + ": " + merged.error().message);
      more = merged.ok() && *merged;
      lock.lock();
    }
    if (looks % looks_a_vacuum == 0 && !ends_) {
      lock.unlock();
      auto removed = vacuum();
      if (!removed.ok()) log_warning("old files of " + log_.store().place() + ": " + removed.error().message);
      lock.lock();
    }
    wake_.wait_for(lock, std::chrono::microseconds(options_.pause_us), [this] { return ends_; });
  }
}

Result<ParquetFile> DeltaUpkeep::write_merged(const std::vector<DeltaAdd>& files,
                                              const DeltaMetaData& meta_data) {
  std::vector<std::string> names;
  for (const DeltaAdd& file : files) names.push_back(delta_path(file.path));
  TM_ASSIGN(const LocalFiles local, log_.store().fetch(names));
  std::vector<std::string> paths;
  for (const std::string& name : names) paths.push_back(local.path_of(name));
  TM_ASSIGN(const std::string rows, delta_files_sql(meta_data, paths, false));
  TM_ASSIGN(auto connection, database_->connect());
  TM_ASSIGN(const TableLayout layout, delta_layout(meta_data.schema));
  ParquetOptions parquet;
  parquet.folder = log_.store().folder();
  parquet.codec = options_.codec;
  ParquetWriter writer(*connection, layout, parquet);
  const std::string folder = folder_in_table(names.front());
  TM_TRY(FileSystem::posix().create_directories(log_.store().path_of(folder)));
  TM_ASSIGN(auto written, writer.write_query("SELECT * FROM " + rows, folder + "part-" + random_id(random_)));
  if (written.size() != 1)
    return internal_error("a merge of files has made " + std::to_string(written.size()));
  return std::move(written.front());
}

Result<bool> DeltaUpkeep::merge() {
  TM_ASSIGN(const Merge merge, merge_by(options_.merges, nullptr));
  return !merge.files.empty() || merge.again;
}

Result<DeltaMerged> DeltaUpkeep::merge_all() {
  DeltaMergeRules rules = options_.merges;
  rules.all = true;
  std::set<std::string> ours;
  TM_TRY(log_.refresh([&](const DeltaState& state) {
    for (const auto& [path, file] : state.files) ours.insert(path);
  }));
  DeltaMerged merged;
  std::set<std::string> made;
  for (;;) {
    TM_ASSIGN(Merge merge, merge_by(rules, &ours));
    if (merge.files.empty() && !merge.again) break;
    if (merge.files.empty()) continue;
    for (const DeltaAdd& file : merge.files) merged.files += made.erase(file.path) == 0 ? 1 : 0;
    ours.insert(merge.path);
    made.insert(std::move(merge.path));
  }
  merged.into = made.size();
  return merged;
}

Result<DeltaUpkeep::Merge> DeltaUpkeep::merge_by(const DeltaMergeRules& rules,
                                                 const std::set<std::string>* only) {
  std::vector<DeltaAdd> files;
  DeltaMetaData meta_data;
  const int64_t looked_ms = clock_.wall_us() / 1000;
  TM_TRY(log_.refresh([&](const DeltaState& state) {
    files = choose_merge(state.files, rules, looked_ms, failed_, only);
    meta_data = state.meta_data;
  }));
  Merge merge;
  if (files.empty()) return merge;
  auto written = write_merged(files, meta_data);
  Status kept = written.ok() ? log_.store().keep({written->name}) : Status(written.error());
  if (!kept.ok()) {
    if (written.ok()) log_.store().drop(written->name);
    for (const DeltaAdd& file : files) failed_.insert(file.path);
    return std::move(kept).error();
  }
  const ParquetFile merged = std::move(*written);
  commit_step("delta.merge.written");
  const int64_t now_ms = clock_.wall_us() / 1000;
  std::string lines = delta_commit_info_line("OPTIMIZE", "", now_ms, random_id(random_)) +
                      delta_add_line(delta_uri(merged.name), files.front().partition, merged.size_bytes,
                                     now_ms, false, merged.stats);
  for (const DeltaAdd& file : files) lines += delta_remove_line(file, now_ms, false);
  bool gone = false;
  auto committed = log_.commit([&](const DeltaState& state) -> Result<std::string> {
    gone = state.meta_data.json != meta_data.json ||
           !std::all_of(files.begin(), files.end(),
                        [&](const DeltaAdd& file) { return state.files.contains(file.path); });
    return gone ? std::string() : lines;
  });
  if (gone || (!committed.ok() && committed.error().code != Code::kUnknown))
    (void)log_.store().remove(merged.name).ok();
  if (!committed.ok()) return std::move(committed).error();
  merge.again = gone;
  if (gone) return merge;
  log_debug(fmt::format("{}: {} files merged into {}", log_.store().place(), files.size(), merged.name));
  merge.files = std::move(files);
  merge.path = delta_uri(merged.name);
  return merge;
}

Result<size_t> DeltaUpkeep::vacuum() {
  int64_t version = -1;
  TM_TRY(log_.refresh([&](const DeltaState& state) { version = state.version; }));
  if (version < 0) return size_t{0};  // dead letters, of which there are none yet
  DeltaVacuum vacuum;
  vacuum.retention_us = options_.retention_us;
  vacuum.unnamed_us = options_.unnamed_us;
  TM_ASSIGN(DeltaVacuumed removed, vacuum_delta(log_, clock_, vacuum));
  if (removed.files > 0) {
    log_info(
        fmt::format("{}: {} files that no version needs are removed", log_.store().place(), removed.files));
  }
  return removed.files;
}

Result<DeltaVacuumed> vacuum_delta(DeltaLog& log, Clock& clock, const DeltaVacuum& vacuum) {
  const int64_t now_us = clock.wall_us();
  const int64_t before_ms = (now_us - vacuum.retention_us) / 1000;
  const int64_t unnamed_before_ms = (now_us - std::max(vacuum.retention_us, vacuum.unnamed_us)) / 1000;
  // Listed first: what is written meanwhile is not among them.
  TM_ASSIGN(std::vector<StoredObject> objects, log.store().list_all());
  std::set<std::string> needed, expired;
  if (vacuum.retention_us > log.options().tombstones_us) {
    TM_ASSIGN(std::vector<DeltaRemove> removed, log.removed_since(before_ms));
    for (const DeltaRemove& file : removed) needed.insert(delta_path(file.path));
  }
  TM_TRY(log.refresh([&](const DeltaState& state) {
    for (const auto& [path, file] : state.files) needed.insert(delta_path(path));
    for (const auto& [path, file] : state.removed) {
      (file.deleted_ms < before_ms ? expired : needed).insert(delta_path(path));
    }
  }));
  DeltaVacuumed removed;
  const std::set<std::string> others = other_tables(objects);
  for (const StoredObject& object : objects) {
    if (!is_data_file(object.name) || needed.contains(object.name)) continue;
    if (is_in_one_of(others, object.name)) continue;
    if (!expired.contains(object.name) && object.modified_ms >= unnamed_before_ms) continue;
    Status gone = vacuum.dry_run ? ok_status() : log.store().remove(object.name);
    if (!gone.ok() && gone.error().code == Code::kNotFound) continue;  // by another process
    if (!gone.ok()) return std::move(gone).error();
    ++removed.files;
    removed.bytes += object.size_bytes;
    if (vacuum.each) vacuum.each(object);
  }
  return removed;
}

}  // namespace tidemill::serve
