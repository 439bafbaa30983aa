#include "solution/vacuum.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "duck/duck.h"
#include "serve/delta_dead_letters.h"
#include "serve/delta_upkeep.h"
#include "solution/delta_store.h"
#include "solution/sinks.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kShortestUs = 7ll * 24 * 3600 * 1'000'000;

Status check_retention(const DeltaSink& sink, const VacuumRequest& request) {
  // What the file says is what a pipeline of it does by itself.
  const int64_t shortest_us = std::min(kShortestUs, sink.retention_us);
  if (request.retention_us < 0 || request.retention_us >= shortest_us || request.unchecked) return {};
  return user_error(fmt::format(
      "--retention {} is shorter than {}: queries that still read, or ask for, a version that old would find "
      "its files gone; give {} or more, or add --no-retention-check",
      format_duration_us(request.retention_us), format_duration_us(shortest_us),
      format_duration_us(shortest_us)));
}

}  // namespace

bool table_is_elsewhere(const Solution& solution) {
  return solution.serve.kind == SinkKind::kDelta && is_elsewhere(solution.serve.delta);
}

Status vacuum_tables(const Solution& solution, const VacuumRequest& request,
                     const std::function<void(const std::string&)>& print) {
  const DeltaSink& sink = solution.serve.delta;
  if (solution.serve.kind != SinkKind::kDelta)
    return user_error("vacuum is for Delta tables; " + solution.name + " serves " + sink_summary(solution));
  TM_TRY(check_retention(sink, request));
  TM_ASSIGN(auto opened, duck::Database::open(":memory:", {{"threads", "1"}, {"memory_limit", "512MB"}}));
  const std::shared_ptr<duck::Database> database = std::move(opened);
  serve::DeltaLogOptions options;
  options.tombstones_us = std::max(options.tombstones_us, sink.retention_us);
  serve::DeltaVacuum vacuum;
  vacuum.retention_us = request.retention_us < 0 ? sink.retention_us : request.retention_us;
  vacuum.dry_run = request.dry_run;
  // Of the run's directory another process may be the owner.
  const serve::LocalFiles scratch(join_path(std::filesystem::temp_directory_path().string(),
                                            "tidemill-vacuum-" + serve::random_id(Random::system())),
                                  true);
  const DeltaFolders folders = delta_folders(solution, request.run_directory);
  for (const std::string& table : {folders.table, folders.dead_letters}) {
    TM_ASSIGN(auto store, open_delta_objects(sink, table, scratch.folder()));
    serve::DeltaLog log(std::move(store), database, Clock::system(), options);
    int64_t version = -1;
    TM_TRY(log.refresh([&](const serve::DeltaState& state) { version = state.version; }));
    if (version < 0 && table == folders.dead_letters) continue;
    if (version < 0) return user_error("there is no Delta table at " + table, Code::kNotFound);
    if (request.merge) {
      serve::DeltaUpkeepOptions upkeep;
      upkeep.merges.target_bytes = sink.file_bytes;
      upkeep.codec = table == folders.table ? parquet_codec(sink.codec) : serve::kDeadLettersCodec;
      serve::DeltaUpkeep merging(log, database, Clock::system(), Random::system(), upkeep);
      TM_ASSIGN(const serve::DeltaMerged merged, merging.merge_all());
      print(merged.files == 0
                ? fmt::format("{}: no small files to merge\n", table)
                : fmt::format("{}: merged {} files into {}\n", table, merged.files, merged.into));
    }
    vacuum.each = [&](const serve::StoredObject& file) {
      print(fmt::format("  {:>14}  {}\n", file.size_bytes, file.name));
    };
    TM_ASSIGN(serve::DeltaVacuumed removed, serve::vacuum_delta(log, Clock::system(), vacuum));
    const std::string within = format_duration_us(vacuum.retention_us);
    print(removed.files == 0
              ? fmt::format("{}: versions of the last {} need every file\n", table, within)
              : fmt::format("{}: {} {}, {} bytes, which no version of the last {} needs\n", table,
                            request.dry_run ? "would remove files:" : "removed files:", removed.files,
                            removed.bytes, within));
  }
  return {};
}

}  // namespace tidemill::solution
