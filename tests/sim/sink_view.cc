#include "sink_view.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "serve/files_journal.h"

namespace tidemill::sim {
namespace {

using pipeline::Committed;

Result<SinkContents> read_model(const Events& events, const pipeline::testing::ModelStore& store,
                                const TopicPartition& source) {
  SinkContents contents;
  contents.committed = store.committed(source);
  for (const auto& row : store.rows()) {
    if (row.source == source) contents.rows.push_back(row.value);
  }
  for (const DeadLetter& letter : store.dead_letters()) {
    if (letter.source != source) continue;
    contents.dead_letters.push_back(letter.offset.value());
    auto serial = events.serial_of(letter.value);
    if (!serial || events.at(*serial).value != letter.value) {
      return internal_error("a dead letter holds what nobody sent: " + letter.value);
    }
  }
  return contents;
}

Committed log_committed(log::Log& log, const TopicPartition& source) {
  Committed committed;
  auto held = log.committed_position(kPipeline, source);
  if (!held) return committed;
  committed.position = held->position;
  committed.epoch = pipeline::Epoch(held->epoch);
  ByteReader reader(held->metadata);
  pipeline::Counters& counters = committed.counters;
  reader.varuint();
  for (uint64_t* count : {&counters.read, &counters.stored, &counters.dead, &counters.dropped})
    *count = reader.varuint();
  return committed;
}

Result<SinkContents> read_log(const Events& events, log::Log& log, const TopicPartition& source) {
  SinkContents contents;
  contents.committed = log_committed(log, source);
  std::vector<ReadRecord> records;
  int64_t end = 0;
  TopicPartition rows{kOutput, source.partition};
  TM_TRY(read_records(log, rows, 0, 4000, log::Isolation::kReadCommitted, &records, &end));
  for (ReadRecord& record : records) contents.rows.push_back(std::move(record.value));
  records.clear();
  TopicPartition dead{kOutput + ".dead", source.partition};
  TM_TRY(read_records(log, dead, 0, 4000, log::Isolation::kReadCommitted, &records, &end));
  for (const ReadRecord& record : records) {
    auto serial = events.serial_of(record.value);
    if (!serial || events.at(*serial).value != record.value) {
      return internal_error("a dead letter holds what nobody sent: " + record.value);
    }
    contents.dead_letters.push_back(events.at(*serial).offset);
  }
  return contents;
}

// The lines of a chain: its whole files, and of the open one what the journal calls committed.
Result<std::vector<std::string>> read_chain(World& world, const std::string& directory,
                                            const std::optional<serve::ChainFile>& newest) {
  std::vector<std::string> lines;
  auto names = world.disk.list(directory);
  if (!names.ok()) return lines;
  std::sort(names->begin(), names->end(), [](const std::string& a, const std::string& b) {
    return a.substr(a[0] == '.' ? 1 : 0) < b.substr(b[0] == '.' ? 1 : 0);
  });
  std::string previous;
  for (const std::string& name : *names) {
    std::string number = name.substr(name[0] == '.' ? 1 : 0, 20);
    int64_t start = -1;
    std::from_chars(number.data(), number.data() + number.size(), start);
    bool is_newest = newest && newest->start.value() == start;
    if (name[0] == '.' && !is_newest) continue;  // never committed: the next takeover removes it
    if (number == previous) continue;            // linked under both names for a moment
    if (!newest || start > newest->start.value())
      return internal_error(directory + "/" + name + ": is not committed");
    std::string content = world.disk.content(directory + "/" + name);
    if (is_newest) content = content.substr(0, newest->length_bytes);
    previous = number;
    if (!content.empty() && content.back() != '\n')
      return internal_error(directory + "/" + name + ": ends inside a line");
    for (size_t at = 0; at < content.size();) {
      size_t end = content.find('\n', at);
      lines.push_back(content.substr(at, end - at));
      at = end + 1;
    }
  }
  return lines;
}

Result<serve::PartitionState> files_state(World& world, const TopicPartition& source) {
  const std::string journal = kFilesDirectory + "/.tidemill/journal";
  if (!world.disk.exists(journal)) return serve::PartitionState();
  serve::PartitionStates states;
  auto whole = serve::replay_journal(world.disk.content(journal), &states);
  if (!whole.ok()) return std::move(whole).error();
  return states[source];
}

Result<SinkContents> read_files(World& world, const TopicPartition& source) {
  SinkContents contents;
  TM_ASSIGN(serve::PartitionState state, files_state(world, source));
  contents.committed = state.committed;
  TM_ASSIGN(contents.rows, read_chain(world, kFilesDirectory + "/" + source.to_string(), state.rows));
  TM_ASSIGN(auto dead,
            read_chain(world, kFilesDirectory + "/dead-letters/" + source.to_string(), state.dead));
  for (const std::string& line : dead) {
    size_t at = line.find("\"offset\":");
    if (at == std::string::npos) return internal_error("a dead letter without an offset: " + line);
    int64_t offset = -1;
    std::from_chars(line.data() + at + 9, line.data() + line.size(), offset);
    contents.dead_letters.push_back(offset);
  }
  return contents;
}

}  // namespace

Result<Committed> read_committed(World& world, const SinkPlaces& places, int partition) {
  switch (world.scenario.sink) {
    case SinkKind::kLog:
      return log_committed(*places.log, input(partition));
    case SinkKind::kFiles: {
      TM_ASSIGN(serve::PartitionState state, files_state(world, input(partition)));
      return state.committed;
    }
    case SinkKind::kModel:
    case SinkKind::kModelWithChangelog:
      return places.store->committed(input(partition));
  }
  return internal_error("no such sink");
}

Result<SinkContents> read_sink(World& world, const Events& events, const SinkPlaces& places, int partition) {
  switch (world.scenario.sink) {
    case SinkKind::kLog:
      return read_log(events, *places.log, input(partition));
    case SinkKind::kFiles:
      return read_files(world, input(partition));
    case SinkKind::kModel:
    case SinkKind::kModelWithChangelog:
      return read_model(events, *places.store, input(partition));
  }
  return internal_error("no such sink");
}

}  // namespace tidemill::sim
