#include "support/workload.h"

#include <filesystem>
#include <utility>

#include "support/measure.h"

namespace tidemill::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kStartUs = 1'767'225'600'000'000;  // 2026-01-01

}  // namespace

simulate::Plan telemetry_plan(uint64_t events, int32_t partitions) {
  simulate::SimulateOptions options;
  options.rate = 0;
  options.count = static_cast<int64_t>(events);
  options.device_id_format = "contoso-telemetry-deviceid-%06d";  // which makes 949 bytes of it
  must(options.validate());
  return simulate::make_plan(options, kSeed, kStartUs, partitions, 0);
}

void generate(uint64_t events, int32_t partitions, const EachEvent& each) {
  simulate::Plan plan = telemetry_plan(events, partitions);
  auto generator = must(simulate::EventGenerator::create(plan, simulate::scheduled_events(plan)));
  while (generator->next(INT64_MAX) == simulate::Schedule::Next::kEvent) {
    each(generator->text(), generator->partition(0), generator->event().copies);
  }
}

Batches make_batches(uint64_t events, size_t batch_bytes) {
  Batches made;
  RecordBatchBuilder builder;
  auto finish = [&] {
    if (builder.empty()) return;
    made.batches.push_back(must(builder.finish(false)));
    made.bytes += made.batches.back().size();
    builder.reset({});
  };
  generate(events, 1, [&](const simulate::EventGenerator::Text& text, int32_t, uint32_t copies) {
    made.sent.unique.add(text.value);
    for (uint32_t copy = 0; copy < copies; ++copy) {
      builder.add(kStartUs / 1000, text.key, text.value);
      made.sent.all.add(text.value);
    }
    if (builder.size_bytes() >= batch_bytes) finish();
  });
  finish();
  return made;
}

std::unique_ptr<log::Log> open_log(const std::string& directory, log::Durability durability) {
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  log::Options options;
  options.durability = durability;
  return must(log::Log::open(FileSystem::posix(), Clock::system(), Random::system(), directory, options));
}

Sent fill_topic(log::Log& log, const std::string& topic, int32_t partitions, uint64_t events,
                const std::function<void()>& before_batch) {
  log::TopicConfig config;
  config.partitions = partitions;
  must(log.create_topic(topic, config));
  Sent sent;
  std::vector<RecordBatchBuilder> builders(static_cast<size_t>(partitions));
  auto append = [&](int32_t partition) {
    RecordBatchBuilder& builder = builders[static_cast<size_t>(partition)];
    if (builder.empty()) return;
    if (before_batch) before_batch();
    std::string batch = must(builder.finish(false));
    must(log.append({topic, Partition(partition)}, batch, false));
    builder.reset({});
  };
  generate(events, partitions,
           [&](const simulate::EventGenerator::Text& text, int32_t partition, uint32_t copies) {
             RecordBatchBuilder& builder = builders[static_cast<size_t>(partition)];
             sent.unique.add(text.value);
             for (uint32_t copy = 0; copy < copies; ++copy) {
               builder.add(kStartUs / 1000, text.key, text.value);
               sent.all.add(text.value);
             }
             if (builder.size_bytes() >= kBatchBytes) append(partition);
           });
  for (int32_t p = 0; p < partitions; ++p) append(p);
  return sent;
}

std::vector<std::string> partition_directories(const std::string& log_directory, const std::string& topic,
                                               int32_t partitions) {
  std::vector<std::string> directories;
  for (int32_t p = 0; p < partitions; ++p) {
    directories.push_back(log_directory + "/" + topic + "-" + std::to_string(p));
  }
  return directories;
}

}  // namespace tidemill::bench
