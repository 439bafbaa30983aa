#include "pipeline/testing/source_harness.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace tidemill::pipeline::testing {
namespace {

Error source_error(const std::string& what) {
  return internal_error("source harness: " + what);
}

struct Read {
  std::vector<BatchPtr> batches;  // in the order in which they came
  std::map<TopicPartition, Position> ends;
};
using Starts = std::vector<std::pair<TopicPartition, Position>>;

struct Event {
  Offset offset;
  std::string value;
  auto operator<=>(const Event&) const = default;
};
using Events = std::map<TopicPartition, std::vector<Event>>;

Events events_of(const Read& read) {
  Events events;
  for (const BatchPtr& batch : read.batches) {
    for (const Record& record : batch->records()) {
      events[batch->source].push_back({record.offset, std::string(record.value)});
    }
  }
  return events;
}
size_t count(const Events& events) {
  size_t total = 0;
  for (const auto& [tp, of_partition] : events) total += of_partition.size();
  return total;
}

// Polls until the reader has caught up, and has given `at_least` so many events: what was produced a moment
// ago may reach a reader after it said that there is no more. `ends` holds where each partition is to go on.
Status read_on(SourceReader& reader, const PollRequest& request, Read* read, size_t at_least = 0) {
  size_t given = 0;
  // Every poll that has not caught up must bring something, or time out: a bound on empty ones.
  for (int idle = 0; idle < 1000;) {
    TM_ASSIGN(Polled polled, reader.poll(request));
    if (!polled.changes.empty()) return source_error("assignment changes that nobody caused");
    idle = polled.batches.empty() ? idle + 1 : 0;
    for (BatchPtr& batch : polled.batches) {
      const std::string where = batch->source.to_string() + " at " + std::to_string(batch->first.value());
      auto end = read->ends.find(batch->source);
      if (end == read->ends.end()) return source_error(where + ": a partition that is not assigned");
      if (batch->first != end->second.offset) {
        return source_error(where + ": gap or overlap, the last batch ended at " +
                            std::to_string(end->second.offset.value()));
      }
      if (batch->end.offset < batch->first) return source_error(where + ": ends before it begins");
      Offset least = batch->first;
      for (const Record& record : batch->records()) {
        if (record.offset < least || record.offset >= batch->end.offset) {
          return source_error(where + ": a record outside the batch's range or out of order");
        }
        least = record.offset.next();
      }
      if (batch->selected.size() != batch->size()) return source_error(where + ": not every row selected");
      end->second = batch->end;
      given += batch->size();
      read->batches.push_back(std::move(batch));
    }
    if (polled.caught_up && given >= at_least) return {};
  }
  return source_error("1000 polls brought nothing although the reader has not caught up");
}

PollRequest request_of(const SourceUnderTest& sut) {
  PollRequest request;
  request.timeout_us = sut.poll_us;
  return request;
}

Result<Read> read_from(SourceReader& reader, const Starts& starts, const PollRequest& request) {
  Read read;
  for (const auto& [tp, position] : starts) {
    TM_TRY(reader.check_position(tp, position));
    read.ends[tp] = position;
  }
  TM_TRY(reader.assign(starts));
  TM_TRY(read_on(reader, request, &read));
  return read;
}

Result<Starts> starts_of(Source& source, SourceReader& reader) {
  TM_ASSIGN(auto partitions, source.partitions());
  if (partitions.size() < 2) return source_error("needs two partitions");
  Starts starts;
  for (const TopicPartition& tp : partitions) {
    TM_ASSIGN(Position start, reader.start_position(tp));
    starts.emplace_back(tp, start);
  }
  return starts;
}

Status expect_all(const Events& events, int32_t partition, int produced) {
  std::vector<std::string> values;
  for (const auto& [tp, of_partition] : events) {
    if (tp.partition.value() != partition) continue;
    for (const Event& event : of_partition) values.push_back(event.value);
  }
  for (int i = 0; i < produced; ++i) {
    auto at = static_cast<size_t>(i);
    if (at >= values.size() || values[at] != source_event(partition, i)) {
      return source_error("partition " + std::to_string(partition) + ": event " + std::to_string(i) +
                          " is missing or out of place");
    }
  }
  if (values.size() != static_cast<size_t>(produced)) {
    return source_error("partition " + std::to_string(partition) + ": more events than were produced");
  }
  return {};
}

constexpr int kProduced[] = {537, 61};

Status fill(const SourceUnderTest& sut) {
  TM_TRY(sut.clear());
  for (int32_t p = 0; p < 2; ++p) {
    for (int first = 0, size = 1; first < kProduced[p]; first += size, size = size * 2 % 97) {
      size = std::min(size, kProduced[p] - first);
      TM_TRY(sut.produce(p, first, size));
    }
  }
  return {};
}

Status check_empty(const SourceUnderTest& sut) {
  TM_TRY(sut.clear());
  TM_ASSIGN(auto source, sut.open());
  if (source->traits().system.empty()) return source_error("traits: the system has no name");
  TM_ASSIGN(auto reader, source->open_reader(0));
  TM_ASSIGN(Starts starts, starts_of(*source, *reader));
  TM_ASSIGN(Read read, read_from(*reader, starts, request_of(sut)));
  if (count(events_of(read)) != 0) return source_error("events although none were produced");
  // What comes later is seen.
  TM_TRY(sut.produce(0, 0, 3));
  TM_TRY(read_on(*reader, request_of(sut), &read, 3));
  return expect_all(events_of(read), 0, 3);
}

Status check_polls(const SourceUnderTest& sut) {
  TM_TRY(fill(sut));
  for (size_t max_bytes : {size_t{1}, size_t{100}, size_t{5000}, size_t{4} << 20}) {
    for (size_t max_events : {size_t{1}, size_t{10}, SIZE_MAX}) {
      TM_ASSIGN(auto source, sut.open());
      TM_ASSIGN(auto reader, source->open_reader(0));
      TM_ASSIGN(Starts starts, starts_of(*source, *reader));
      PollRequest request = request_of(sut);
      request.max_bytes = max_bytes;
      request.max_events = max_events;
      TM_ASSIGN(Read read, read_from(*reader, starts, request));
      for (int32_t p = 0; p < 2; ++p) TM_TRY(expect_all(events_of(read), p, kProduced[p]));
      for (const auto& [tp, end] : read.ends) {
        int64_t lag = reader->lag(tp, end);
        if (lag != 0 && lag != -1) return source_error("lag at the end is " + std::to_string(lag));
        TM_TRY(reader->check_position(tp, end));
      }
      reader->committed({read.ends.begin(), read.ends.end()});
    }
  }
  return {};
}

Status check_replay(const SourceUnderTest& sut) {
  TM_TRY(fill(sut));
  TM_ASSIGN(auto source, sut.open());
  TM_ASSIGN(auto reader, source->open_reader(0));
  TM_ASSIGN(Starts starts, starts_of(*source, *reader));
  TM_ASSIGN(Read all, read_from(*reader, starts, request_of(sut)));
  TopicPartition tp = starts[0].first;
  std::vector<Event> events = events_of(all)[tp];
  // From after every event: positions that are no batch's border among them.
  for (size_t i = 0; i < events.size(); i += 7) {
    reader->unassign({starts[0].first, starts[1].first});
    if (i % 2 == 0) {  // another process
      reader.reset();
      source.reset();
      TM_ASSIGN(source, sut.open());
      TM_ASSIGN(reader, source->open_reader(0));
    }
    Position from{events[i].offset.next(), starts[0].second.leader_epoch};
    TM_ASSIGN(Read rest, read_from(*reader, {{tp, from}}, request_of(sut)));
    std::vector<Event> expected(events.begin() + static_cast<std::ptrdiff_t>(i) + 1, events.end());
    if (events_of(rest)[tp] != expected) {
      return source_error("replay from " + std::to_string(from.offset.value()) + " gives other events");
    }
  }
  return {};
}

Status check_batches_outlive_reader(const SourceUnderTest& sut) {
  TM_TRY(fill(sut));
  TM_ASSIGN(auto source, sut.open());
  TM_ASSIGN(auto reader, source->open_reader(0));
  TM_ASSIGN(Starts starts, starts_of(*source, *reader));
  TM_ASSIGN(Read read, read_from(*reader, starts, request_of(sut)));
  reader.reset();
  source.reset();
  for (int32_t p = 0; p < 2; ++p) TM_TRY(expect_all(events_of(read), p, kProduced[p]));
  return {};
}

Status check_readers(const SourceUnderTest& sut) {
  TM_TRY(fill(sut));
  TM_ASSIGN(auto source, sut.open());
  TM_ASSIGN(auto one, source->open_reader(0));
  TM_ASSIGN(auto two, source->open_reader(1));
  TM_ASSIGN(Starts starts, starts_of(*source, *one));
  TM_ASSIGN(Read first, read_from(*one, {starts[0]}, request_of(sut)));
  TM_ASSIGN(Read second, read_from(*two, {starts[1]}, request_of(sut)));
  TM_TRY(expect_all(events_of(first), 0, kProduced[0]));
  TM_TRY(expect_all(events_of(second), 1, kProduced[1]));
  // The second hands its partition over to the first, which goes on where it ended.
  two->unassign({starts[1].first});
  TM_TRY(one->assign({{starts[1].first, second.ends.at(starts[1].first)}}));
  first.ends[starts[1].first] = second.ends.at(starts[1].first);
  TM_TRY(sut.produce(1, kProduced[1], 5));
  TM_TRY(read_on(*one, request_of(sut), &first, 5));
  if (count(events_of(first)) != static_cast<size_t>(kProduced[0]) + 5) {
    return source_error("a partition handed over is not read on exactly where it ended");
  }
  TM_ASSIGN(Polled polled, two->poll({}));
  if (!polled.batches.empty()) return source_error("batches of a partition that was taken away");
  if (!polled.caught_up) return source_error("a reader without partitions has caught up");
  return {};
}

Status refuse(SourceReader& reader, const TopicPartition& tp, const Position& position, const char* what) {
  Status status = reader.check_position(tp, position);
  if (status.ok()) return source_error(std::string("accepts a position ") + what);
  if (status.error().retryable) return source_error(std::string("would retry a position ") + what);
  return {};
}

Status check_positions(const SourceUnderTest& sut) {
  TM_TRY(fill(sut));
  TM_ASSIGN(auto source, sut.open());
  TM_ASSIGN(auto reader, source->open_reader(0));
  TM_ASSIGN(Starts starts, starts_of(*source, *reader));
  TM_ASSIGN(Read read, read_from(*reader, starts, request_of(sut)));
  const auto& [tp, start] = starts[0];
  Position end = read.ends.at(tp);
  TM_TRY(reader->check_position(tp, start));
  TM_TRY(refuse(*reader, tp, {end.offset.next(), end.leader_epoch}, "beyond the end"));
  TM_TRY(refuse(*reader, tp, {end.offset, end.leader_epoch.next()}, "of a leader epoch to come"));
  if (!sut.remove_before) return {};
  Offset cut = start.offset.next(200);
  TM_TRY(sut.remove_before(0, cut));
  TM_TRY(refuse(*reader, tp, {cut.next(-1), end.leader_epoch}, "before the first kept event"));
  TM_TRY(reader->check_position(tp, {cut, end.leader_epoch}));
  TM_ASSIGN(Position moved, reader->start_position(tp));
  if (moved.offset != cut) return source_error("the earliest position is not the first kept event's");
  return {};
}

Status in_scenario(const char* name, Status status) {
  if (status.ok()) return status;
  return std::move(status).error().within(name);
}

}  // namespace

std::string source_event(int32_t partition, int number) {
  return "event " + std::to_string(number) + " of partition " + std::to_string(partition) +
         std::string(static_cast<size_t>(number % 50), '.');
}

Status check_source(const SourceUnderTest& sut) {
  TM_TRY(in_scenario("empty", check_empty(sut)));
  TM_TRY(in_scenario("polls", check_polls(sut)));
  TM_TRY(in_scenario("replay", check_replay(sut)));
  TM_TRY(in_scenario("batches outlive the reader", check_batches_outlive_reader(sut)));
  TM_TRY(in_scenario("readers", check_readers(sut)));
  TM_TRY(in_scenario("positions", check_positions(sut)));
  return {};
}

}  // namespace tidemill::pipeline::testing
