#include "solution/run_metrics.h"

#include <algorithm>

#include "simulate/manifest.h"
#include "solution/host.h"

namespace tidemill::solution {
namespace {

using observe::MetricFamily;
using observe::MetricKind;
using observe::Sample;
using Labels = std::vector<std::pair<std::string, std::string>>;

class Families {
 public:
  MetricFamily& add(const char* name, const char* help, MetricKind kind) {
    return all_.emplace_back(MetricFamily{name, help, kind, {}});
  }
  void one(const char* name, const char* help, MetricKind kind, double value) {
    add(name, help, kind).samples.emplace_back().value = value;
  }
  void total(const char* name, const char* help, uint64_t value) {
    one(name, help, MetricKind::kCounter, static_cast<double>(value));
  }
  void histogram(const char* name, const char* help, const observe::Histogram& microseconds) {
    add(name, help, MetricKind::kHistogram).samples.push_back(observe::histogram_sample(microseconds));
  }
  std::vector<MetricFamily> take() { return std::move(all_); }

 private:
  std::vector<MetricFamily> all_;
};

Sample sample(Labels labels, double value) {
  Sample made;
  made.labels = std::move(labels);
  made.value = value;
  return made;
}

Labels labels_of(const TopicPartition& partition) {
  return {{"topic", partition.topic}, {"partition", std::to_string(partition.partition.value())}};
}

// One family for each of several figures of the same things.
struct Figure {
  const char* name;
  const char* help;
  MetricKind kind;
};

template <typename Thing, typename Values>
void add_figures(Families& to, std::initializer_list<Figure> figures, const std::vector<Thing>& things,
                 const Values& values) {
  size_t n = 0;
  for (const Figure& figure : figures) {
    MetricFamily& family = to.add(figure.name, figure.help, figure.kind);
    for (const Thing& thing : things) {
      auto [labels, numbers] = values(thing);
      family.samples.push_back(sample(std::move(labels), numbers.at(n)));
    }
    ++n;
  }
}

void add_traffic(const Host& host, Families& to) {
  observe::Traffic t = host.metrics().traffic();
  to.total("tidemill_log_appended_records_total", "Records appended to the run's topics.",
           t.incoming_messages);
  to.total("tidemill_log_appended_bytes_total", "Bytes appended to the run's topics.", t.incoming_bytes);
  to.total("tidemill_pipeline_read_records_total", "Records read, processed and committed.",
           t.outgoing_messages);
  to.total("tidemill_pipeline_read_bytes_total", "Bytes read, processed and committed.", t.outgoing_bytes);
  to.total("tidemill_pipeline_stored_records_total", "Rows stored.", t.stored_rows);
  to.total("tidemill_pipeline_stored_bytes_total", "Bytes of the rows stored, as the sink was given them.",
           t.stored_bytes);
  to.total("tidemill_pipeline_dead_letters_total", "Events that went to the dead letters.", t.dead_letters);
  to.total("tidemill_pipeline_dropped_records_total", "Events dropped on purpose: duplicates, filtered.",
           t.dropped);
  to.total("tidemill_pipeline_commits_total", "Commits of the sinks.", t.commits);
  to.total("tidemill_pipeline_epochs_total", "Epochs committed, of all partitions.", t.epochs);
  to.total("tidemill_pipeline_retries_total", "Commits that failed for a while and were tried again.",
           t.retries);
  to.histogram("tidemill_pipeline_commit_duration_seconds",
               "From the end of an epoch until its commit returned.", host.metrics().commit_durations());
  observe::Latency latency = host.metrics().latency();
  to.histogram("tidemill_created_to_stored_seconds", "From an event's own time until its commit returned.",
               latency.created_to_stored);
  to.histogram("tidemill_enqueued_to_stored_seconds",
               "From the log's taking an event in until its commit returned.", latency.enqueued_to_stored);
}

void add_partitions(const Host& host, Families& to) {
  std::vector<log::PartitionInfo> partitions = host.log_partitions();
  struct InputLane {
    std::string branch;
    pipeline::LaneProgress progress;
    double lag;
  };
  std::vector<InputLane> lanes;
  for (auto& [branch, progress] : host.lanes()) {
    auto found = std::find_if(
        partitions.begin(), partitions.end(),
        [&source = progress.source](const log::PartitionInfo& info) { return info.id == source; });
    // What another system holds only its reader knows.
    if (found == partitions.end() && progress.lag < 0) continue;
    auto lag = static_cast<double>(
        found == partitions.end() ? progress.lag : found->last_stable.since(progress.committed.offset));
    lanes.push_back({std::move(branch), std::move(progress), lag});
  }
  add_figures(
      to,
      {{"tidemill_pipeline_lag_records", "Records of the input that are not yet committed.",
        MetricKind::kGauge},
       {"tidemill_pipeline_committed_offset", "The next record to be read after a restart.",
        MetricKind::kGauge},
       {"tidemill_pipeline_state_bytes", "Memory of the operators' keyed state.", MetricKind::kGauge}},
      lanes, [](const InputLane& lane) {
        Labels labels = labels_of(lane.progress.source);
        if (!lane.branch.empty()) labels.emplace_back("branch", lane.branch);
        return std::pair(
            std::move(labels),
            std::vector{std::max(0.0, lane.lag), static_cast<double>(lane.progress.committed.offset.value()),
                        static_cast<double>(lane.progress.state_bytes)});
      });
  add_figures(to,
              {{"tidemill_log_size_bytes", "Size of a partition's segment files.", MetricKind::kGauge},
               {"tidemill_log_segments", "Segment files of a partition.", MetricKind::kGauge},
               {"tidemill_log_start_offset", "The first record that is still there.", MetricKind::kGauge},
               {"tidemill_log_end_offset", "The next record to be appended.", MetricKind::kGauge}},
              partitions, [](const log::PartitionInfo& info) {
                return std::pair(labels_of(info.id), std::vector{static_cast<double>(info.size_bytes),
                                                                 static_cast<double>(info.segments),
                                                                 static_cast<double>(info.log_start.value()),
                                                                 static_cast<double>(info.log_end.value())});
              });
}

void add_stalls(const Host& host, Families& to) {
  add_figures(
      to,
      {{"tidemill_kafka_stable_offset_stalled_seconds",
        "How long the last stable offset stands still below the high watermark.", MetricKind::kGauge}},
      host.stalls(), [](const kafka::Stall& stall) {
        return std::pair(labels_of(stall.partition), std::vector{static_cast<double>(stall.us) / 1e6});
      });
}

// From the manifests, which simulators of other processes write, too, twice a second.
void add_simulators(const Host& host, Families& to) {
  FileSystem& files = FileSystem::posix();
  std::vector<simulate::Manifest> manifests;
  const std::string folder = join_path(host.directory(), "simulate");
  auto listed = files.list(folder);
  for (const std::string& name : listed.ok() ? *listed : std::vector<std::string>{}) {
    if (!name.starts_with("manifest-") || !name.ends_with(".json")) continue;
    auto manifest = simulate::read_manifest(files, join_path(folder, name));
    if (manifest.ok()) manifests.push_back(std::move(*manifest));
  }
  add_figures(
      to,
      {{"tidemill_simulator_sent_events_total", "Events that the log has acknowledged.",
        MetricKind::kCounter},
       {"tidemill_simulator_sent_records_total", "Records that the log has acknowledged: events and copies.",
        MetricKind::kCounter},
       {"tidemill_simulator_sent_bytes_total", "Bytes of those records.", MetricKind::kCounter},
       {"tidemill_simulator_worst_shortfall_seconds", "How far sending was behind its schedule at worst.",
        MetricKind::kGauge}},
      manifests, [](const simulate::Manifest& m) {
        return std::pair(
            Labels{{"instance", std::to_string(m.plan.instance)}},
            std::vector{static_cast<double>(m.events_sent), static_cast<double>(m.records_sent),
                        static_cast<double>(m.bytes_sent), static_cast<double>(m.shortfall_us) / 1e6});
      });
}

}  // namespace

std::vector<MetricFamily> run_metrics(const Host& host) {
  Families families;
  RunRecord record = host.record();
  families.add("tidemill_run_info", "The run that these metrics are of.", MetricKind::kGauge)
      .samples.push_back(sample({{"run", record.id()}, {"solution", host.solution().name}}, 1));
  add_traffic(host, families);
  add_partitions(host, families);
  add_stalls(host, families);
  add_simulators(host, families);
  std::vector<MetricFamily> all = families.take();
  for (MetricFamily& family : observe::process_metrics()) all.push_back(std::move(family));
  return all;
}

}  // namespace tidemill::solution
