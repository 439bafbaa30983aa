#include "verify/verify.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "verify/run.h"

namespace tidemill::verify {
namespace {

Status read_manifests(Run& run) {
  for (const std::string& path : run.request.manifests) {
    TM_ASSIGN(Manifest manifest, read_manifest(run.files, path));
    if (manifest.topic != run.request.input.topic) {
      return user_error(path + ": its events went to topic " + manifest.topic + ", not " +
                        run.request.input.topic);
    }
    run.manifests.push_back(std::move(manifest));
  }
  return check_same_run(run.manifests);
}

Status choose_fields(Run& run) {
  run.fields = run.request.fields;
  if (!run.manifests.empty()) {
    const Manifest& first = run.manifests.front();
    // The simulator's own events are what their page says, whatever a solution calls them.
    if (first.profile == Profile::kTelemetry)
      run.fields = telemetry_fields(first.complex_count, first.complex_first);
    if (first.profile == Profile::kSensor && run.fields.empty()) run.fields = sensor_fields();
  } else if (run.fields.empty() && run.request.rules == Rules::kReference) {
    run.fields = telemetry_fields(0, 0);
  }
  if (run.fields.empty())
    return user_error("the fields of the event are not known; the solution's schema names them");
  return ok_status();
}

// What nothing reads of an event is kept as it is where the store has the event's own JSON.
void choose_undecoded(Run& run) {
  const VerifyRequest& request = run.request;
  const bool telemetry = !run.manifests.empty() && run.manifests.front().profile == Profile::kTelemetry;
  if (!request.decoded || telemetry || !(request.store.topic || request.store.files)) return;
  for (FieldSpec& field : run.fields) {
    if (std::find(request.decoded->begin(), request.decoded->end(), field.name) != request.decoded->end())
      continue;
    field.type = FieldType::kJson;
    field.nullable = field.undecoded = true;
  }
}

// What retention has deleted can be called neither lost nor stored: then nothing is counted at all.
Status check_kept(const TopicFiles& topic, const std::function<int64_t(const PartitionSpan&)>& begun) {
  for (const PartitionSpan& span : topic.partitions) {
    int64_t first = begun(span);
    if (span.start <= first) continue;
    return user_error(topic.topic + "-" + std::to_string(span.partition) + ": offsets " +
                      std::to_string(first) + " to " + std::to_string(span.start - 1) +
                      " were deleted by retention, so that what stood there cannot be accounted for; verify "
                      "earlier, or keep more (log.retention, log.retention_bytes)");
  }
  return ok_status();
}

Status check_kept(const Run& run) {
  auto from_zero = [](const PartitionSpan&) { return int64_t{0}; };
  TM_TRY(check_kept(run.request.input, [&](const PartitionSpan& span) {
    int64_t begun = run.manifests.empty() ? 0 : INT64_MAX;
    for (const Manifest& manifest : run.manifests) {
      auto p = static_cast<size_t>(span.partition);
      if (p < manifest.start_offsets.size()) begun = std::min(begun, manifest.start_offsets[p]);
    }
    return begun;
  }));
  if (run.request.store.topic) TM_TRY(check_kept(*run.request.store.topic, from_zero));
  if (run.request.dead_letters.topic) TM_TRY(check_kept(*run.request.dead_letters.topic, from_zero));
  return ok_status();
}

Status open_input(Run& run) {
  TopicFiles topic = run.request.input;
  if (topic.partitions.empty()) return user_error("no partitions of the input were named");
  for (PartitionSpan& span : topic.partitions) {
    std::optional<int64_t> begun;
    for (const Manifest& manifest : run.manifests) {
      auto p = static_cast<size_t>(span.partition);
      if (span.partition < 0 || p >= manifest.start_offsets.size()) {
        return user_error(manifest.path + ": it knows no partition " + std::to_string(span.partition));
      }
      begun = std::min(begun.value_or(INT64_MAX), manifest.start_offsets[p]);
    }
    span.start = std::max(span.start, begun.value_or(span.start));
  }
  if (!run.manifests.empty() &&
      topic.partitions.size() != static_cast<size_t>(run.manifests.front().partitions)) {
    return user_error("the manifests sent to " + std::to_string(run.manifests.front().partitions) +
                      " partitions, the input has " + std::to_string(topic.partitions.size()));
  }
  TM_ASSIGN(TopicPartitions opened, open_topic(run.files, topic));
  run.input = std::make_unique<Input>(std::move(opened));
  for (size_t n = 0; n < run.input->size(); ++n) {
    const PartitionFiles& files = run.input->files(n);
    int64_t start = run.input->span(n).start;
    if (files.begin() > start && files.begin() > 0) {
      run.faults.reason(files.directory() + ": offsets " + std::to_string(start) + " to " +
                        std::to_string(files.begin() - 1) +
                        " of the run are no longer in the log; keep it longer");
    }
    for (const auto& [from, to] : files.gaps()) {
      if (to <= start) continue;
      run.faults.reason(files.directory() + ": offsets " + std::to_string(from) + " to " +
                        std::to_string(to - 1) + " are missing from the log");
    }
  }
  return ok_status();
}

// Of the store's own client; both null where it has none.
struct Sessions {
  std::shared_ptr<DuckSession> duck;
  std::shared_ptr<PostgresSession> postgres;
};

Status open_rows(Run& run, const std::vector<std::string>& projected, Sessions* sessions) {
  const Store& store = run.request.store;
  int stores = (store.duck ? 1 : 0) + (store.delta ? 1 : 0) + (store.parquet ? 1 : 0) +
               (store.postgres ? 1 : 0) + (store.topic ? 1 : 0) + (store.files ? 1 : 0);
  if (stores != 1)
    return user_error("a store is needed: DuckDB, Delta, Parquet, PostgreSQL, a topic or files");
  if (store.duck) {
    TM_ASSIGN(sessions->duck, DuckSession::open(*store.duck, run.request.stop));
    TM_ASSIGN(run.rows, open_duck_rows(sessions->duck, *store.duck, store.columns, run.fields));
  } else if (store.delta) {
    TM_ASSIGN(DuckTable table, open_delta(*store.delta));
    run.folders = table.folders;
    TM_ASSIGN(sessions->duck, DuckSession::open(table, run.request.stop));
    TM_ASSIGN(run.rows, open_duck_rows(sessions->duck, table, store.columns, run.fields));
  } else if (store.parquet) {
    TM_ASSIGN(DuckTable table, open_parquet(run.files, *store.parquet));
    run.folders = table.folders;
    for (std::string& wrong : table.wrong) run.faults.reason(std::move(wrong));
    TM_ASSIGN(sessions->duck, DuckSession::open(table, run.request.stop));
    TM_ASSIGN(run.rows, open_duck_rows(sessions->duck, table, store.columns, run.fields));
  } else if (store.postgres) {
    TM_ASSIGN(sessions->postgres, open_postgres(*store.postgres, run.request.stop));
    TM_ASSIGN(run.rows, open_postgres_rows(sessions->postgres, store.columns, run.fields));
  } else if (store.topic) {
    TM_ASSIGN(run.rows, open_topic_rows(run.files, *store.topic, store.columns, store.added_members,
                                        run.fields, projected));
  } else {
    TM_ASSIGN(run.rows, open_file_rows(run.files, *store.files, store.columns, store.added_members,
                                       run.fields, projected));
  }
  return ok_status();
}

Status open_dead_letters(Run& run, const Sessions& sessions) {
  const DeadLetters& dead = run.request.dead_letters;
  std::vector<std::unique_ptr<DeadLetterStore>> stores;
  auto add = [&](Result<std::unique_ptr<DeadLetterStore>> opened) -> Status {
    TM_ASSIGN(std::unique_ptr<DeadLetterStore> store, std::move(opened));
    if (store) stores.push_back(std::move(store));
    return ok_status();
  };
  bool kept = true;
  if (dead.topic) {
    TM_TRY(add(open_topic_dead_letters(run.files, *dead.topic)));
  } else if (dead.files) {
    TM_TRY(add(open_file_dead_letters(run.files, *dead.files)));
  } else if (!dead.duck_table.empty()) {
    if (!sessions.duck) return user_error("a table of dead letters needs a store in DuckDB");
    TM_TRY(add(open_duck_dead_letters(sessions.duck, dead.duck_table)));
  } else if (run.request.store.delta) {
    TM_TRY(add(open_duck_dead_letters(sessions.duck, kDeltaDeadLetters)));
  } else if (sessions.postgres && !run.request.store.postgres->dead_letters.empty()) {
    TM_TRY(add(open_postgres_dead_letters(sessions.postgres)));
  } else {
    kept = false;
  }
  for (const Way& way : run.request.ways) {
    if (!way.dead_letters) continue;
    TM_TRY(add(open_topic_dead_letters(run.files, *way.dead_letters)));
    kept = true;
  }
  if (kept)
    run.dead = join_dead_letters(std::move(stores));
  else
    run.faults.note("no dead letters are kept: malformed events are not accounted for");
  return ok_status();
}

Status open_stores(Run& run) {
  Sessions sessions;
  TM_TRY(open_rows(run, run.request.projected, &sessions));
  TM_TRY(open_dead_letters(run, sessions));
  if (run.rows->shape().unordered && !run.request.topology.upsert)
    run.faults.note("order is not compared: a table keeps none");
  const std::vector<std::string>& projected = run.request.projected;
  for (size_t n = 0; n < run.fields.size(); ++n) {
    const std::string& name = run.fields[n].name;
    bool due = projected.empty() || std::find(projected.begin(), projected.end(), name) != projected.end();
    if (run.rows->shape().has_field[n] != 0) continue;
    if (due)
      run.faults.reason("the store has no column for " + name);
    else
      run.faults.note(name + " is not stored, and not compared");
  }
  return ok_status();
}

Status account(Run& run) {
  TM_TRY(read_manifests(run));
  TM_TRY(choose_fields(run));
  if (run.request.rules == Rules::kReference && run.request.topology.counts)
    return user_error(
        "the reference's rules are about events; rows of process.sql are none: give --rules strict");
  if (run.request.rules == Rules::kReference) {
    if (!run.request.input.partitions.empty()) TM_TRY(open_input(run));
    Sessions sessions;
    TM_TRY(open_rows(run, {}, &sessions));
    return apply_reference_rules(run);
  }
  TM_TRY(check_kept(run));
  TM_TRY(open_input(run));
  for (const Way& way : run.request.ways) {
    TM_ASSIGN(TopicPartitions opened, open_topic(run.files, way.topic));
    run.ways.push_back(std::make_unique<Input>(std::move(opened)));
  }
  if (run.request.topology.counts) {
    const std::string& column = run.request.topology.counts->column;
    run.fields = {{column, {column}, FieldType::kBigint, false}};
    TM_TRY(open_stores(run));
    TM_TRY(check_input_content(run));
    return account_by_count(run);
  }
  choose_undecoded(run);
  TM_TRY(open_stores(run));
  bool telemetry = !run.manifests.empty() && run.manifests.front().profile == Profile::kTelemetry;
  if (telemetry && run.rows->shape().has_field[0] != 0) return account_by_id(run);
  if (run.request.topology.upsert) {
    return user_error(
        "rows that are replaced by key are accounted for by the ids of simulated telemetry, which these "
        "events "
        "do not have; what is verified has no serve.duckdb.key");
  }
  TM_TRY(check_input_content(run));
  if (run.rows->shape().positions && !run.request.rekeyed()) return account_by_position(run);
  return account_by_content(run);
}

std::string number(double value) {
  char buffer[40];
  snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

void assert_limits(Run& run, Verdict* verdict) {
  const StrictLimits& limits = run.request.limits;
  if (limits.events_per_second && !(verdict->events_per_second >= *limits.events_per_second)) {
    run.faults.reason("the rate is " + number(verdict->events_per_second.value_or(0)) +
                      " events/s, the limit " + number(*limits.events_per_second));
  }
  if (limits.lowest_minute_per_second && verdict->lowest_minute_per_second &&
      *verdict->lowest_minute_per_second < *limits.lowest_minute_per_second) {
    run.faults.reason("the rate of the lowest minute is " + number(*verdict->lowest_minute_per_second) +
                      " events/s, the limit " + number(*limits.lowest_minute_per_second));
  }
  if (limits.latency_p99_ms &&
      !(verdict->created_to_stored && verdict->created_to_stored->p99 <= *limits.latency_p99_ms)) {
    run.faults.reason("the p99 latency is " +
                      (verdict->created_to_stored ? number(verdict->created_to_stored->p99) + " ms"
                                                  : std::string("unknown")) +
                      ", the limit " + number(*limits.latency_p99_ms));
  }
}

}  // namespace

Verdict verify(const VerifyRequest& asked) {
  VerifyRequest request = asked;
  if (request.time_field.empty()) request.time_field = "createdAt";
  Run run(request, request.files != nullptr ? *request.files : FileSystem::posix());
  run.verdict.rules = request.rules;
  Status status = account(run);
  run.verdict.stopped = run.stopped();
  if (!status.ok()) run.faults.reason(status.error().message);
  Verdict& verdict = run.verdict;
  verdict.events_per_second = run.measures->rate.overall();
  verdict.lowest_minute_per_second = run.measures->rate.lowest_minute();
  verdict.created_to_stored = run.measures->created.quantiles();
  verdict.enqueued_to_stored = run.measures->enqueued.quantiles();
  if (request.rules == Rules::kReference) {
    if (!status.ok()) verdict.why.push_back(status.error().message);
  } else {
    if (status.ok() && verdict.expected == 0 && verdict.dead_letters_expected == 0) {
      run.faults.reason("nothing was expected, so nothing was proven");
    }
    assert_limits(run, &verdict);
    run.faults.write_to(&verdict);
  }
  verdict.pass = verdict.why.empty() && !verdict.stopped;
  return std::move(run.verdict);
}

}  // namespace tidemill::verify
