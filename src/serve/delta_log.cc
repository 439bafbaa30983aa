#include "serve/delta_log.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <utility>

#include "base/logging.h"
#include "base/steps.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {
namespace {

constexpr const char* kLogFolder = "_delta_log";
constexpr int kMostConflicts = 1000;
constexpr size_t kVersionDigits = 20;
// How far the clocks of a table's writers may be apart: behind a commit that is older there may be newer
// ones.
constexpr int64_t kMostSkewMs = 24ll * 3600 * 1000;

// Versions of the protocol that this program keeps to. Higher ones, and tables with features by name, may ask
// for what it does not do.
constexpr int64_t kReaderVersion = 1, kWriterVersion = 2;

// The columns of a checkpoint, as DuckDB reads them from lines of JSON.
constexpr const char* kCheckpointColumns =
    R"({protocol: 'STRUCT("minReaderVersion" INTEGER, "minWriterVersion" INTEGER)',
"metaData": 'STRUCT(id VARCHAR, "name" VARCHAR, description VARCHAR, format STRUCT(provider VARCHAR, "options" MAP(VARCHAR, VARCHAR)), "schemaString" VARCHAR, "partitionColumns" VARCHAR[], configuration MAP(VARCHAR, VARCHAR), "createdTime" BIGINT)',
txn: 'STRUCT("appId" VARCHAR, "version" BIGINT, "lastUpdated" BIGINT)',
add: 'STRUCT(path VARCHAR, "partitionValues" MAP(VARCHAR, VARCHAR), size BIGINT, "modificationTime" BIGINT, "dataChange" BOOLEAN, stats VARCHAR)',
remove: 'STRUCT(path VARCHAR, "deletionTimestamp" BIGINT, "dataChange" BOOLEAN, "extendedFileMetadata" BOOLEAN, "partitionValues" MAP(VARCHAR, VARCHAR), size BIGINT)'})";

std::string in_log(const std::string& name) {
  return std::string(kLogFolder) + "/" + name;
}
std::string version_digits(int64_t version) {
  return fmt::format("{:020}", version);
}

// "00000000000000000010.json" with ".json" → 10.
std::optional<int64_t> version_of(std::string_view name, std::string_view ending) {
  if (name.size() < kVersionDigits || name.substr(kVersionDigits) != ending) return std::nullopt;
  int64_t version = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + kVersionDigits, version);
  if (error != std::errc() || end != name.data() + kVersionDigits) return std::nullopt;
  return version;
}

std::string lines_of(const DeltaState& state, int64_t tombstones_from_ms) {
  std::string lines = state.protocol.json + "\n" + state.meta_data.json + "\n";
  for (const auto& [app, txn] : state.txns) lines += txn.json + "\n";
  for (const auto& [path, file] : state.files) lines += file.json + "\n";
  for (const auto& [path, file] : state.removed) {
    if (file.deleted_ms >= tombstones_from_ms) lines += file.json + "\n";
  }
  return lines;
}

Status check_supported(const DeltaState& state, const std::string& place) {
  if (state.version < 0) return {};
  if (state.protocol.reader > kReaderVersion || state.protocol.writer > kWriterVersion) {
    return user_error(fmt::format(
        "Delta table {}: its protocol is reader version {}, writer version {}; this program knows {} and {}: "
        "choose another folder",
        place, state.protocol.reader, state.protocol.writer, kReaderVersion, kWriterVersion));
  }
  if (state.meta_data.id.empty())
    return internal_error("Delta table " + place + ": its log has no metaData", Code::kCorrupt);
  return {};
}

// Of a file of the log, which errors name.
Status parse_file(const ObjectStore& store, const std::string& name, std::string_view lines,
                  DeltaActions* into) {
  Status parsed = parse_delta_actions(lines, into);
  if (!parsed.ok()) return std::move(parsed).error().within(store.where(name));
  return {};
}

}  // namespace

std::string delta_commit_name(int64_t version) {
  return in_log(version_digits(version) + ".json");
}

void DeltaState::apply(DeltaActions&& actions, int64_t of_version) {
  version = of_version;
  time_ms = actions.time_ms;
  if (actions.protocol) protocol = std::move(*actions.protocol);
  if (actions.meta_data) meta_data = std::move(*actions.meta_data);
  for (DeltaTxn& txn : actions.txns) {
    const std::string app = txn.app;
    txns[app] = std::move(txn);
  }
  for (DeltaRemove& remove : actions.removes) {
    files.erase(remove.path);
    const std::string path = remove.path;
    removed[path] = std::move(remove);
  }
  for (DeltaAdd& add : actions.adds) {
    removed.erase(add.path);
    const std::string path = add.path;
    files[path] = std::move(add);
  }
}

DeltaLog::DeltaLog(std::shared_ptr<ObjectStore> store, std::shared_ptr<duck::Database> database, Clock& clock,
                   DeltaLogOptions options)
    : store_(std::move(store)), database_(std::move(database)), clock_(clock), options_(options) {}

// The newest checkpoint up to a version (-1: any), and the number of the newest commit.
Status DeltaLog::load_first(int64_t at_most, DeltaState* state, int64_t* newest) {
  TM_ASSIGN(std::vector<std::string> names, store_->list(kLogFolder));
  int64_t checkpoint = -1;
  *newest = -1;
  for (const std::string& name : names) {
    if (auto version = version_of(name, ".json")) *newest = std::max(*newest, *version);
    auto version = version_of(name, ".checkpoint.parquet");
    if (version && (at_most < 0 || *version <= at_most)) checkpoint = std::max(checkpoint, *version);
  }
  *newest = std::max(*newest, checkpoint);
  if (checkpoint < 0) return {};
  const std::string name = in_log(version_digits(checkpoint) + ".checkpoint.parquet");
  TM_ASSIGN(const LocalFiles local, store_->fetch({name}));
  TM_ASSIGN(auto connection, database_->connect());
  TM_ASSIGN(auto rows, connection->query("SELECT CAST(to_json(c) AS VARCHAR) FROM read_parquet(" +
                                         quote_path(local.path_of(name)) + ") AS c"));
  DeltaActions actions;
  for (;;) {
    TM_ASSIGN(size_t count, rows->next());
    if (count == 0) break;
    for (size_t i = 0; i < count; ++i) TM_TRY(parse_file(*store_, name, rows->text(0, i), &actions));
  }
  state->apply(std::move(actions), checkpoint);
  return {};
}

// False where there is no next version.
Result<bool> DeltaLog::load_next(DeltaState* state) {
  const int64_t next = state->version + 1;
  auto content = store_->get(delta_commit_name(next));
  if (!content.ok() && content.error().code == Code::kNotFound) return false;
  if (!content.ok()) return std::move(content).error();
  DeltaActions actions;
  TM_TRY(parse_file(*store_, delta_commit_name(next), *content, &actions));
  for (const DeltaAdd& add : actions.adds) {
    if (add.deletion_vector)
      return user_error("Delta table " + store_->place() +
                        " has deletion vectors, which this program does not know");
  }
  state->apply(std::move(actions), next);
  return true;
}

Status DeltaLog::load_newer() {
  if (in_doubt_) TM_TRY(store_->settle(delta_commit_name(state_.version + 1)));
  in_doubt_ = false;
  if (state_.version < 0) {
    int64_t newest = -1;
    TM_TRY(load_first(-1, &state_, &newest));
    while (state_.version < newest) {
      TM_ASSIGN(bool there, load_next(&state_));
      if (there) continue;
      return internal_error(
          fmt::format("{} is missing, though there are newer versions: the table is damaged",
                      store_->where(delta_commit_name(state_.version + 1))),
          Code::kCorrupt);
    }
  }
  for (;;) {
    TM_ASSIGN(bool more, load_next(&state_));
    if (!more) break;
  }
  return check_supported(state_, store_->place());
}

Status DeltaLog::refresh(const std::function<void(const DeltaState&)>& look) {
  std::lock_guard lock(mutex_);
  TM_TRY(load_newer());
  look(state_);
  return {};
}

Result<int64_t> DeltaLog::commit(const DeltaChange& change) {
  std::lock_guard lock(mutex_);
  for (int conflicts = 0; conflicts < kMostConflicts; ++conflicts) {
    if (conflicts > 0 || state_.version < 0 || in_doubt_) TM_TRY(load_newer());
    TM_ASSIGN(std::string lines, change(state_));
    if (lines.empty()) return state_.version;
    const int64_t next = state_.version + 1;
    DeltaActions actions;
    TM_TRY(parse_delta_actions(lines, &actions));
    TM_CHECK(!actions.commit_id.empty(), "a store may have to tell this commit from any other");
    Status put = store_->put_if_absent(delta_commit_name(next), lines);
    if (!put.ok() && put.error().code == Code::kExists) continue;
    if (!put.ok() && put.error().code == Code::kUnknown) in_doubt_ = true;
    if (!put.ok()) return std::move(put).error();
    state_.apply(std::move(actions), next);
    commit_step("delta.committed");
    if (next > 0 && next % options_.checkpoint_interval == 0) {
      // The commit stands without it; the next one is due soon.
      Status written = write_checkpoint();
      if (!written.ok()) log_warning("checkpoint of " + store_->place() + ": " + written.error().message);
    }
    return next;
  }
  return external_error(fmt::format("Delta table {}: other writers were first {} times in a row",
                                    store_->place(), kMostConflicts),
                        Code::kFailed, true);
}

Status DeltaLog::write_checkpoint() {
  const int64_t from_ms = (clock_.wall_us() - options_.tombstones_us) / 1000;
  std::erase_if(state_.removed, [&](const auto& one) { return one.second.deleted_ms < from_ms; });
  const std::string digits = version_digits(state_.version);
  const std::string lines = in_log("." + digits + ".lines.tmp"),
                    written = in_log("." + digits + ".parquet.tmp");
  TM_TRY(FileSystem::posix().create_directories(parent_path(store_->path_of(lines))));
  TM_TRY(write_file_atomically(FileSystem::posix(), store_->path_of(lines), lines_of(state_, from_ms)));
  TM_ASSIGN(auto connection, database_->connect());
  auto copied =
      connection->execute("COPY (SELECT * FROM read_json(" + quote_path(store_->path_of(lines)) +
                          ", format = 'newline_delimited', columns = " + kCheckpointColumns + ")) TO " +
                          quote_literal(store_->path_of(written)) + " (FORMAT parquet, USE_TMP_FILE false)");
  Status made = copied.ok() ? store_->keep_as(written, in_log(digits + ".checkpoint.parquet"))
                            : Status(std::move(copied).error());
  if (!made.ok() && made.error().code == Code::kExists) made = {};  // of another writer
  store_->drop(lines);
  store_->drop(written);
  TM_TRY(made);
  commit_step("delta.checkpoint.written");
  const size_t actions = 2 + state_.txns.size() + state_.files.size() + state_.removed.size();
  return store_->put(in_log("_last_checkpoint"),
                     fmt::format("{{\"version\":{},\"size\":{}}}", state_.version, actions));
}

Result<DeltaState> DeltaLog::at(int64_t version, int64_t time_ms) {
  DeltaState state;
  int64_t newest = -1;
  if (time_ms >= 0) {
    // Of the commits that are still there, the last one up to that time.
    TM_TRY(load_first(-1, &state, &newest));
    for (version = newest; version >= 0; --version) {
      auto content = store_->get(delta_commit_name(version));
      if (!content.ok() && content.error().code == Code::kNotFound) {
        return user_error(
            fmt::format("Delta table {} keeps no version that old: the oldest commit that is there is {}",
                        store_->place(), version + 1));
      }
      if (!content.ok()) return std::move(content).error();
      DeltaActions actions;
      TM_TRY(parse_file(*store_, delta_commit_name(version), *content, &actions));
      if (actions.time_ms >= 0 && actions.time_ms <= time_ms) break;
    }
    state = {};
    if (version < 0) return user_error("Delta table " + store_->place() + " has no version that old");
  }
  TM_TRY(load_first(version, &state, &newest));
  if (newest < 0) return user_error("there is no Delta table at " + store_->place(), Code::kNotFound);
  if (version > newest) {
    return user_error(fmt::format("Delta table {} has no version {} yet; its newest is {}", store_->place(),
                                  version, newest));
  }
  while (state.version < (version < 0 ? newest : version)) {
    TM_ASSIGN(bool there, load_next(&state));
    if (there) continue;
    return user_error(fmt::format("Delta table {} no longer has version {}: {} is gone", store_->place(),
                                  version, delta_commit_name(state.version + 1)));
  }
  TM_TRY(check_supported(state, store_->place()));
  return state;
}

Result<std::vector<DeltaRemove>> DeltaLog::removed_since(int64_t time_ms) {
  int64_t version = -1;
  TM_TRY(refresh([&](const DeltaState& state) { version = state.version; }));
  std::vector<DeltaRemove> removed;
  for (; version >= 0; --version) {
    auto content = store_->get(delta_commit_name(version));
    if (!content.ok() && content.error().code == Code::kNotFound) break;
    if (!content.ok()) return std::move(content).error();
    DeltaActions actions;
    TM_TRY(parse_delta_actions(*content, &actions));
    const bool older = actions.time_ms >= 0 && actions.time_ms < time_ms;
    if (older && actions.time_ms < time_ms - kMostSkewMs) break;
    for (DeltaRemove& remove : actions.removes) {
      if (!older || remove.deleted_ms >= time_ms) removed.push_back(std::move(remove));
    }
  }
  return removed;
}

}  // namespace tidemill::serve
