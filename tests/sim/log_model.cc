#include "log_model.h"

#include <algorithm>

#include "event/record_batch.h"

namespace tidemill::sim {

Status read_records(log::Log& log, const TopicPartition& tp, int64_t from, size_t max_bytes,
                    log::Isolation isolation, std::vector<ReadRecord>* records, int64_t* end) {
  std::string scratch;
  std::vector<Record> decoded;
  while (true) {
    TM_ASSIGN(log::Fetched fetched, log.read(tp, Offset(from), max_bytes, isolation));
    std::string_view left = *fetched.batches;
    while (!left.empty()) {
      TM_ASSIGN(auto header, parse_batch_header(left));
      TM_CHECK(header.has_value(), "whole batches are handed out");
      decoded.clear();
      TM_TRY(decode_records(*header, left.substr(0, header->size_bytes()), 64u << 20, &scratch, &decoded));
      for (const Record& record : decoded) {
        if (record.offset.value() < from) continue;
        records->push_back({record.offset.value(), record.timestamp_ms, std::string(record.value)});
      }
      left.remove_prefix(header->size_bytes());
    }
    bool moved = fetched.end.offset.value() > from;
    from = std::max(from, fetched.end.offset.value());
    *end = from;
    if (fetched.at_end || !moved) return {};
  }
}

// ---- what calls answered

void LogModel::appended(int partition, int64_t first, const std::vector<int64_t>& serials) {
  PartitionModel& model = at(partition);
  for (size_t i = 0; i < serials.size(); ++i) {
    int64_t offset = first + static_cast<int64_t>(i);
    Event& event = events_.at(serials[i]);
    if (event.offset >= 0 && event.offset != offset) {
      world_.violation("event {} was answered to stand at {} and now at {}", serials[i], event.offset,
                       offset);
    }
    auto [entry, fresh] = model.entries.try_emplace(offset, serials[i]);
    if (!fresh && entry->second != serials[i]) {
      world_.violation("{}: offset {} was given to event {} and to event {}", input(partition).to_string(),
                       offset, entry->second, serials[i]);
    }
    event.offset = offset;
    event.in_doubt = false;
  }
}

void LogModel::append_in_doubt(const std::vector<int64_t>& serials) {
  for (int64_t serial : serials) {
    if (events_.at(serial).offset < 0) events_.at(serial).in_doubt = true;
  }
}

std::vector<int64_t> LogModel::ends() const {
  std::vector<int64_t> ends;
  for (const PartitionModel& model : partitions_) {
    ends.push_back(model.entries.empty() ? 0 : model.entries.rbegin()->first + 1);
  }
  return ends;
}

void LogModel::acknowledged(const std::vector<int64_t>& ends) {
  if (world_.scenario.may_lose()) return;
  for (size_t p = 0; p < ends.size(); ++p) {
    partitions_[p].durable_end = std::max(partitions_[p].durable_end, ends[p]);
  }
}

int64_t LogModel::begin_transaction() {
  transactions_.push_back(Outcome::kOpen);
  return static_cast<int64_t>(transactions_.size()) - 1;
}

void LogModel::deleted_before(int partition, int64_t offset, bool known_durable) {
  PartitionModel& model = at(partition);
  model.start_high = std::max(model.start_high, offset);
  if (known_durable && !world_.scenario.may_lose()) model.start_low = std::max(model.start_low, offset);
}

// ---- readers

bool LogModel::check_record(int partition, const ReadRecord& record) {
  auto serial = events_.serial_of(record.value);
  if (!serial || events_.at(*serial).value != record.value || events_.at(*serial).partition != partition) {
    world_.violation("{}: offset {} holds what nobody sent there: {}", input(partition).to_string(),
                     record.offset, record.value);
    return false;
  }
  Event& event = events_.at(*serial);
  auto entry = at(partition).entries.find(record.offset);
  if (entry != at(partition).entries.end()) {
    if (entry->second == *serial) return true;
    world_.violation("{}: offset {} holds event {} instead of {}", input(partition).to_string(),
                     record.offset, *serial, entry->second);
    return false;
  }
  if (!event.in_doubt) {
    world_.violation(
        "{}: offset {} holds event {}, which {}", input(partition).to_string(), record.offset, *serial,
        event.offset >= 0 ? fmt::format("stands at {}: it is there twice", event.offset) : "was refused");
    return false;
  }
  event.in_doubt = false;
  event.offset = record.offset;
  at(partition).entries[record.offset] = *serial;
  return true;
}

void LogModel::read_failed(int p, const Error& error) {
  world_.note("reading {}: {}", input(p).to_string(), error.message);
  if (world_.disk.power_failed() || world_.disk_errors) return;
  if (error.code == Code::kOutOfRange && at(p).start_high > at(p).read_to) return;  // deleted, as asked
  if (error.code == Code::kOutOfRange && lost_power_ && world_.scenario.lies > 0) {
    said_damage_ = true;  // whole segments are gone
    return;
  }
  if (world_.scenario.may_be_damaged() && error.code == Code::kCorrupt) {
    said_damage_ = true;
    return;
  }
  world_.violation("reading {}: {}", input(p).to_string(), error.message);
}

void LogModel::observe(log::Log& log) {
  Observing observing(world_);
  for (int p = 0; p < world_.scenario.partitions; ++p) {
    PartitionModel& model = at(p);
    std::vector<ReadRecord> records;
    int64_t end = model.read_to;
    Status read =
        read_records(log, input(p), model.read_to, 2000, log::Isolation::kReadCommitted, &records, &end);
    if (!read.ok()) {
      read_failed(p, read.error());
      continue;
    }
    for (const ReadRecord& record : records) {
      if (!check_record(p, record)) return;
      int64_t serial = model.entries.at(record.offset);
      int64_t transaction = events_.at(serial).transaction;
      if (transaction >= 0) {
        Outcome outcome = transactions_[static_cast<size_t>(transaction)];
        bool shown = outcome == Outcome::kOpen || outcome == Outcome::kAborted;
        if (shown && !world_.scenario.may_show_aborted()) {
          return world_.violation("{}: a reader saw event {} of transaction {}, which is {}",
                                  input(p).to_string(), serial, transaction,
                                  outcome == Outcome::kOpen ? "open" : "aborted");
        }
      }
      model.stream.push_back({record.offset, record.timestamp_ms, serial});
    }
    world_.note("observe {}: {} events up to {}", input(p).to_string(), records.size(), end);
    model.read_to = end;
    // What a power cut took, and what stands there instead, is known only once all could be checked.
    if (!world_.scenario.may_lose() && checked_) model.durable_end = std::max(model.durable_end, end);
  }
}

void LogModel::read_somewhere(log::Log& log) {
  int p = static_cast<int>(world_.chance.below(static_cast<uint64_t>(world_.scenario.partitions)));
  const PartitionModel& model = at(p);
  if (model.stream.empty()) return;
  size_t number = static_cast<size_t>(world_.chance.below(model.stream.size()));
  std::vector<ReadRecord> records;
  auto fetched = log.read(input(p), Offset(model.stream[number].offset), 1, log::Isolation::kReadCommitted);
  world_.note("read {} at {}: {}", input(p).to_string(), model.stream[number].offset,
              fetched.ok() ? fetched->batches->size() : 0);
  if (!fetched.ok()) {
    if (fetched.error().code != Code::kOutOfRange) read_failed(p, fetched.error());  // else deleted, as asked
    return;
  }
  auto header = parse_batch_header(*fetched->batches);
  std::string scratch;
  std::vector<Record> decoded;
  bool whole =
      header.ok() && header->has_value() &&
      decode_records(**header, std::string_view(*fetched->batches).substr(0, (*header)->size_bytes()),
                     64u << 20, &scratch, &decoded)
          .ok();
  auto found = std::find_if(decoded.begin(), decoded.end(), [&](const Record& record) {
    return record.offset.value() == model.stream[number].offset;
  });
  if (!whole || found == decoded.end() || found->value != events_.at(model.stream[number].serial).value) {
    world_.violation("{}: reading from offset {} did not give the event there", input(p).to_string(),
                     model.stream[number].offset);
  }
}

}  // namespace tidemill::sim
