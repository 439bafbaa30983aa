#include "process.h"

#include "ingest/log_source.h"
#include "log_model.h"
#include "pipeline/log_changelog.h"
#include "process/dedup.h"
#include "process/enrich.h"
#include "serve/files_sink.h"
#include "serve/log_sink.h"
#include "sink_view.h"

namespace tidemill::sim {
namespace {

Schema event_schema() {
  Schema schema;
  schema.name = "simulated";
  schema.fields = {{"n", {"n"}, Type::kBigint, true},
                   {"deviceId", {"deviceId"}, Type::kVarchar, true},
                   {"id", {"id"}, Type::kVarchar, true}};
  schema.id_field = "id";
  schema.key_field = "deviceId";
  return schema;
}

Result<std::unique_ptr<pipeline::Plan>> make_plan(const Scenario& scenario,
                                                  const pipeline::SinkNeeds& needs) {
  std::vector<std::unique_ptr<pipeline::Operator>> operators;
  process::DedupOptions dedup;
  dedup.last = scenario.dedup_last;
  dedup.horizon_us = scenario.dedup_horizon_us;
  TM_ASSIGN(auto made, process::make_dedup(dedup));
  operators.push_back(std::move(made));
  if (scenario.enrich) {
    TM_ASSIGN(auto enrich, process::make_enrich(
                               {{process::EnrichKind::kPartition, {}}, {process::EnrichKind::kOffset, {}}}));
    operators.push_back(std::move(enrich));
  }
  TM_ASSIGN(pipeline::Plan plan, pipeline::make_plan(event_schema(), std::move(operators), needs));
  return std::make_unique<pipeline::Plan>(std::move(plan));
}

}  // namespace

Status Process::open_log() {
  World& world = around_.world;
  TM_ASSIGN(log_, log::Log::open(world.disk, world.clock, world.ids, kLogDirectory, world.scenario.log));
  log::TopicConfig config;
  config.partitions = world.scenario.partitions;
  config.retention_bytes = world.scenario.retention_bytes;
  TM_TRY(log_->create_topic(kInput, config));
  hold_everything(true);
  return {};
}

void Process::hold_everything(bool hold) {
  std::vector<std::pair<TopicPartition, Offset>> all;
  for (int p = 0; hold && p < around_.world.scenario.partitions; ++p) all.emplace_back(input(p), Offset(0));
  log_->hold_retention("process", all);
}

void Process::pipeline_opened() {
  hold_everything(false);
}

Status Process::make_sink() {
  World& world = around_.world;
  const Scenario& scenario = world.scenario;
  switch (scenario.sink) {
    case SinkKind::kLog: {
      serve::LogSinkOptions options;
      options.pipeline = kPipeline;
      options.topic = kOutput;
      options.source_topic = kInput;
      options.stateful = true;
      options.compression = scenario.compression;
      options.batch_bytes = scenario.batch_bytes;
      sink_ = std::make_unique<serve::LogSink>(*log_, options);
      return {};
    }
    case SinkKind::kFiles: {
      serve::FilesSinkOptions options;
      options.directory = kFilesDirectory;
      options.roll_bytes = scenario.files_roll_bytes;
      options.roll_interval_us = 2'000'000;
      options.journal.compact_bytes = scenario.journal_compact_bytes;
      sink_ = std::make_unique<serve::FilesSink>(world.disk, world.clock, options);
      break;
    }
    case SinkKind::kModel:
    case SinkKind::kModelWithChangelog:
      sink_ = std::make_unique<pipeline::testing::ModelSink>(around_.store, scenario.enrich);
      break;
  }
  return pipeline::create_changelog(*log_, kPipeline, scenario.partitions);
}

Status Process::start_pipeline() {
  const Scenario& scenario = around_.world.scenario;
  TM_TRY(make_sink());
  TM_ASSIGN(plan_, make_plan(scenario, sink_->needs()));
  ingest::LogSourceOptions source;
  source.topic = kInput;
  source.pipeline = kPipeline;
  TM_ASSIGN(log_source_, ingest::LogSource::open(*log_, source));
  group_ = std::make_unique<Group>(*log_);
  source_ = make_group_source(*log_source_, *group_, scenario.moves > 0);
  if (scenario.sink == SinkKind::kModelWithChangelog) {
    changelog_ = std::make_unique<pipeline::testing::ModelChangelog>(around_.store);
  } else {
    changelog_ = std::make_unique<pipeline::LogChangelog>(*log_, kPipeline);
  }
  TM_TRY(sink_->prepare(plan_->sink_schema));
  for (int t = 0; t < scenario.tasks; ++t) {
    Owner owner;
    owner.number = next_number_++;
    for (int p = t; p < scenario.partitions; p += scenario.tasks) owner.partitions.push_back(input(p));
    for (const TopicPartition& tp : owner.partitions) group_->begin(tp, owner.number);
    owner.task = make_task(owner.number, owner.partitions);
    tasks_.push_back(std::move(owner));
  }
  return {};
}

std::unique_ptr<pipeline::Task> Process::make_task(int number,
                                                   const std::vector<TopicPartition>& partitions) {
  World& world = around_.world;
  pipeline::TaskParts parts;
  parts.number = number;
  parts.plan = plan_.get();
  parts.source = source_.get();
  parts.sink = sink_.get();
  parts.changelog = changelog_.get();
  parts.clock = &world.clock;
  parts.random = &world.ids;
  parts.partitions = partitions;
  parts.limits.max_events = world.scenario.max_events;
  parts.limits.interval_us = world.scenario.epoch_us;
  parts.snapshot_min_bytes = world.scenario.snapshot_min_bytes;
  parts.retry.give_up_us = 20'000'000;
  parts.inline_commits = true;
  return std::make_unique<pipeline::Task>(std::move(parts));
}

Status Process::open_task(size_t number) {
  return tasks_[number].task->open();
}

void Process::stop_pipeline() {
  if (log_ != nullptr) hold_everything(true);
  former_.clear();
  tasks_.clear();
  changelog_.reset();
  source_.reset();
  group_.reset();
  log_source_.reset();
  sink_.reset();
  plan_.reset();
}

Status Process::add_rival(size_t number) {
  Owner rival;
  rival.number = next_number_++;
  rival.partitions = tasks_[number].partitions;
  rival.task = make_task(rival.number, rival.partitions);
  former_.push_back(std::move(tasks_[number]));
  tasks_[number] = std::move(rival);
  return open_task(number);
}

void Process::move(const TopicPartition& tp, size_t to, bool lost) {
  group_->move(tp, tasks_[to].number, lost);
}

Status Process::step_former(size_t number, bool commit) {
  pipeline::Task& task = *former_[number].task;
  if (commit && task.commit_waiting()) task.run_commit();
  auto step = task.step(0);
  if (!step.ok()) return std::move(step).error();
  return {};
}

}  // namespace tidemill::sim
