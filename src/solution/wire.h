// From a solution's settings to the parts of its pipelines.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "duck/duck.h"
#include "kafka/abilities.h"
#include "log/log.h"
#include "pipeline/pipeline.h"
#include "pipeline/plan.h"
#include "solution/config.h"
#include "solution/delta_store.h"

namespace tidemill::solution {

// What the parts stand on. `log` may be null where only traits are asked for (check).
struct Ground {
  log::Log* log = nullptr;
  FileSystem* files = nullptr;
  Clock* clock = nullptr;
  std::string run_directory;
  std::string log_id;   // tells this log from any other
  bool of_run = false;  // run_directory is that of a run, not of one that could be
  bool runs = false;    // the pipelines are started
  bool dry = false;     // nothing is created outside of it, and a Kafka that does not answer is no error
  // Opens (once) the database file that a sink writes to and queries read.
  std::function<Result<std::shared_ptr<duck::Database>>(const DuckDbSink&)> database;
  // Of pipelines that share their input: what `start: latest` means to each of them, in microseconds since
  // 1970 UTC. Negative: the end as it is when each of them asks.
  int64_t latest_us = -1;
};

// A replay of the log beside the live pipelines: its own name, start and target.
struct Replay {
  std::string into;  // table, topic or folder; empty: no replay
  StartAt from;
};

// One pipeline of a solution. A solution with a step that divides it (between.h) has several: each writes the
// topic that the next one reads.
struct Stage {
  const Solution* solution = nullptr;  // which it is of: the file's own, or a branch
  std::string name;
  TopicPartition first_input() const { return {input_topic, Partition(0)}; }
  std::string input_topic;
  int32_t input_partitions = 0;  // that its input topic gets where it is to be created; in Kafka
  std::string output_topic;      // empty: the sink is no topic
  std::string source_cluster;    // the id of the cluster of a source in Kafka that was asked
  bool rekeys = false;           // it writes the topic of a `rekey`
  bool gathers = false;          // or that before an `sql` of scope interval
  bool from_kafka = false;       // where its input topic is
  bool to_kafka = false;         // where its output goes
  std::unique_ptr<pipeline::Source> source;
  std::unique_ptr<pipeline::Sink> sink;
  std::unique_ptr<pipeline::Changelog> changelog;
  std::string unasked;  // why Kafka could not be asked; empty: it was
  // Of the cluster in which it keeps topics of its own; everything where that was not asked.
  kafka::Abilities abilities;
  pipeline::Plan plan;
  pipeline::GuaranteeReport guarantee;
};

// Without its branches. The solution must outlive the stages. Errors are the user's: a field that is not
// there, an expression that does not hold.
Result<std::vector<Stage>> wire(const Solution& solution, const Ground& ground, const Replay& replay = {});
// With them: none reads what a later one writes.
Result<std::vector<Stage>> wire_all(const Solution& solution, const Ground& ground);

// What is wrong with the credentials of the store that shows without asking it. Errors (kUser).
Status check_credentials(const Solution& solution);
// Whether the store has a server of its own that does not answer now, and why; ok where it answers, or has
// none, or is Kafka, which wire() asks.
Status ask_store(const Solution& solution);

// What `check` has to say of simulating into the topic of Kafka that the solution reads; empty: nothing, or
// nobody answers.
std::string simulation_note(const Solution& solution);
// What `check` says where the topic in Kafka that is served takes less than event.max_bytes; empty: it takes
// that, or nobody can say.
std::string size_note(const Solution& solution);

// The topic that the last stage reads.
std::string last_input(const Solution& solution);

pipeline::PipelineOptions pipeline_options(const Solution& solution, const Stage& stage);

// The topics that its pipelines read: the input topic and those between them.
std::vector<std::string> input_topics(const Solution& solution);
// Creates the solution's input topic (and those between its pipelines, and what branches read) where they are
// missing; of the log's only.
Status create_topics(const Solution& solution, log::Log& log);
// The same of a topic in the cluster that is read. `stamped`: with the broker's times, not the events' own.
Status create_kafka_topic(const KafkaSource& source, const std::string& name, int32_t partitions,
                          bool stamped);

}  // namespace tidemill::solution
