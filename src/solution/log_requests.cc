#include "solution/log_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "event/json_splice.h"
#include "event/timestamp.h"
#include "kafka/admin.h"

namespace tidemill::solution {
namespace {

constexpr size_t kReadBytes = 1u << 20;
constexpr int64_t kFollowWaitUs = 200'000;
constexpr int kAskTimeoutMs = 15'000;

Result<TopicPartition> partition_of(const Request& request) {
  std::string topic = request.get("topic");
  if (topic.empty()) return user_error("which topic?");
  return TopicPartition{topic, Partition(static_cast<int32_t>(request.number("partition", 0)))};
}

bool reply_heading(const Request& request, const Reply& reply) {
  if (request.get("format") == "json") return true;
  return reply(fmt::format("{:<32} {:>9} {:>14} {:>14} {:>14} {:>6} {:>14} {:>9}\n", "TOPIC", "PARTITION",
                           "LOG START", "LAST STABLE", "LOG END", "EPOCH", "BYTES", "SEGMENTS"));
}

Status list_topics(log::Log& log, const Request& request, const Reply& reply) {
  bool json = request.get("format") == "json";
  bool all = request.get("all") == "1";
  for (const log::TopicInfo& topic : log.topics()) {
    if (topic.internal && !all) continue;
    for (int32_t p = 0; p < topic.config.partitions; ++p) {
      TM_ASSIGN(log::PartitionInfo info, log.partition({topic.name, Partition(p)}));
      std::string line;
      if (json) {
        line = fmt::format(
            "{{\"topic\":\"{}\",\"partition\":{},\"log_start\":{},\"last_stable\":{},\"high_watermark\":{},"
            "\"log_end\":{},"
            "\"leader_epoch\":{},\"bytes\":{},\"segments\":{}}}\n",
            topic.name, p, info.log_start.value(), info.last_stable.value(), info.high_watermark.value(),
            info.log_end.value(), info.leader_epoch.value(), info.size_bytes, info.segments);
      } else {
        line = fmt::format("{:<32} {:>9} {:>14} {:>14} {:>14} {:>6} {:>14} {:>9}\n", topic.name, p,
                           info.log_start.value(), info.last_stable.value(), info.log_end.value(),
                           info.leader_epoch.value(), info.size_bytes, info.segments);
      }
      if (!reply(line)) return {};
    }
  }
  return {};
}

// Bytes for a terminal: printable UTF-8 as it is, the rest escaped.
std::string shown(std::string_view bytes) {
  std::string out;
  append_json_string(bytes, &out);
  return out;
}

// "-" where the producer gave none, or one beyond all calendars.
std::string time_text(int64_t timestamp_ms) {
  const auto time_us = record_time_us(timestamp_ms);
  return time_us ? format_timestamp(*time_us, 3) : "-";
}

std::string event_line(const std::string& format, const TopicPartition& tp, const Record& record) {
  if (format == "values") return std::string(record.value) + "\n";
  const std::string time = time_text(record.timestamp_ms);
  if (format == "json") {
    std::string line = fmt::format(
        "{{\"topic\":\"{}\",\"partition\":{},\"offset\":{},\"timestamp\":{},\"key\":{},\"value\":{}",
        tp.topic, tp.partition.value(), record.offset.value(),
        record_time_us(record.timestamp_ms) ? shown(time) : "null",
        record.has_key ? shown(record.key) : "null", record.has_value ? shown(record.value) : "null");
    auto headers = decode_headers(record.headers);
    if (headers.ok() && !headers->empty()) {
      line += ",\"headers\":{";
      for (size_t i = 0; i < headers->size(); ++i) {
        const RecordHeader& header = (*headers)[i];
        line +=
            (i == 0 ? "" : ",") + shown(header.key) + ":" + (header.value ? shown(*header.value) : "null");
      }
      line += "}";
    }
    return line + "}\n";
  }
  return fmt::format("{}:{} {} {} {}\n", tp.to_string(), record.offset.value(), time,
                     record.has_key ? std::string(record.key) : "-", record.value);
}

std::string batch_line(const TopicPartition& tp, const BatchHeader& header) {
  return fmt::format(
      "{} offsets {}-{} count {} bytes {} epoch {} {} {}{}producer {}:{} sequence {} max timestamp {}\n",
      tp.to_string(), header.base_offset, header.last_offset(), header.count, header.size_bytes(),
      header.leader_epoch, compression_name(header.compression()),
      header.transactional() ? "transactional " : "", header.control() ? "control " : "", header.producer_id,
      header.producer_epoch, header.base_sequence, time_text(header.max_timestamp_ms));
}

// One partition being read; prints up to `*left` events.
struct Cursor {
  TopicPartition tp;
  Offset next;
};

Result<bool> read_some(log::Log& log, Cursor& cursor, const std::string& format, int64_t* left,
                       const Reply& reply, bool* more_asked) {
  auto isolation = format == "batches" ? log::Isolation::kReadUncommitted : log::Isolation::kReadCommitted;
  TM_ASSIGN(log::Fetched fetched, log.read(cursor.tp, cursor.next, kReadBytes, isolation));
  std::string text, scratch;
  std::string_view bytes = fetched.batches ? std::string_view(*fetched.batches) : std::string_view();
  while (!bytes.empty() && *left != 0) {
    TM_ASSIGN(auto header, parse_batch_header(bytes));
    TM_CHECK(header.has_value() && header->size_bytes() <= bytes.size(), "the log gives whole batches");
    std::string_view batch = bytes.substr(0, header->size_bytes());
    bytes.remove_prefix(batch.size());
    if (format == "batches") {
      text += batch_line(cursor.tp, *header);
      if (*left > 0) --*left;
      continue;
    }
    std::vector<Record> records;
    TM_TRY(decode_records(*header, batch, kMaxDecompressedBytes, &scratch, &records));
    for (const Record& record : records) {
      if (record.offset < cursor.next || *left == 0) continue;
      text += event_line(format, cursor.tp, record);
      if (*left > 0) --*left;
    }
  }
  cursor.next = fetched.end.offset;
  *more_asked = text.empty() || reply(text);
  return !fetched.at_end;
}

Result<log::TopicInfo> find_topic(log::Log& log, const std::vector<KafkaTopic>& in_kafka,
                                  const std::string& name) {
  Result<log::TopicInfo> topic = log.topic(name);
  if (topic.ok() || topic.error().code != Code::kNotFound) return topic;
  std::vector<std::string> names;
  for (const KafkaTopic& known : in_kafka) names.push_back(known.name);
  for (const log::TopicInfo& known : log.topics()) {
    if (!known.internal) names.push_back(known.name);
  }
  return user_error("there is no topic " + name + "; there are " + join(names, ", "), Code::kNotFound);
}

Status read_log(log::Log& log, const std::vector<KafkaTopic>& in_kafka, const Request& request,
                const Reply& reply, const std::atomic<bool>& gone) {
  TM_ASSIGN(TopicPartition tp, partition_of(request));
  TM_ASSIGN(log::TopicInfo topic, find_topic(log, in_kafka, tp.topic));
  std::vector<Cursor> cursors;
  for (int32_t p = 0; p < topic.config.partitions; ++p) {
    if (request.number("partition", -1) >= 0 && p != tp.partition.value()) continue;
    TopicPartition one{tp.topic, Partition(p)};
    TM_ASSIGN(log::PartitionInfo info, log.partition(one));
    TM_ASSIGN(Offset from, resolve_from(request.get("from"), info.log_start, info.last_stable,
                                        [&](int64_t time_ms) { return log.offset_for_time(one, time_ms); }));
    cursors.push_back({one, from});
  }
  if (cursors.empty()) {
    return user_error(fmt::format("topic {} has no partition {}; give one from 0 to {}", tp.topic,
                                  tp.partition.value(), topic.config.partitions - 1));
  }
  int64_t left = request.number("max", -1);
  bool follow = request.get("follow") == "1";
  uint64_t seen = 0;
  while (!gone && left != 0) {
    bool more = false;
    for (Cursor& cursor : cursors) {
      bool asked = true;
      TM_ASSIGN(bool unread, read_some(log, cursor, request.get("format", "values"), &left, reply, &asked));
      if (!asked) return {};
      more |= unread;
    }
    if (more) continue;
    if (!follow) return {};
    seen = log.wait_visible(seen, kFollowWaitUs);
  }
  return {};
}

// Those that are there.
Status list_kafka_topics(const std::vector<KafkaTopic>& topics, const Request& request, const Reply& reply) {
  const bool json = request.get("format") == "json";
  for (const KafkaTopic& topic : topics) {
    TM_ASSIGN(auto admin, kafka::Admin::open(topic.connection, kAskTimeoutMs));
    TM_ASSIGN(int32_t count, admin->partition_count(topic.name));
    std::vector<TopicPartition> partitions;
    for (int32_t p = 0; p < count; ++p) partitions.push_back({topic.name, Partition(p)});
    if (partitions.empty()) continue;
    TM_ASSIGN(auto first, admin->offsets(partitions, {kafka::OffsetQuery::kEarliest, 0}));
    TM_ASSIGN(auto stable, admin->offsets(partitions, {kafka::OffsetQuery::kStableEnd, 0}));
    TM_ASSIGN(auto end, admin->offsets(partitions, {kafka::OffsetQuery::kEnd, 0}));
    for (size_t p = 0; p < partitions.size(); ++p) {
      const int64_t from = first[p].offset.value(), to = stable[p].offset.value(),
                    high = end[p].offset.value();
      const std::string line =
          json ? fmt::format(
                     "{{\"topic\":\"{}\",\"partition\":{},\"log_start\":{},\"last_stable\":{},"
                     "\"high_watermark\":{},\"cluster\":\"{}\"}}\n",
                     topic.name, p, from, to, high, kafka::address_of(topic.connection))
               : fmt::format("{:<32} {:>9} {:>14} {:>14} {:>14} Kafka {}\n", topic.name, p, from, to, high,
                             kafka::address_of(topic.connection));
      if (!reply(line)) return {};
    }
  }
  return {};
}

Status read_kafka_topic(const KafkaTopic& topic, const Request& request, const Reply& reply,
                        const std::atomic<bool>& gone) {
  const std::string format = request.get("format", "values");
  if (format == "batches") {
    return user_error(
        "topic " + topic.name +
        " is in Kafka, whose batches are not seen from outside; --format values, events or json");
  }
  TopicRange range;
  range.from = request.get("from");
  range.partition = static_cast<int32_t>(request.number("partition", -1));
  range.follow = request.get("follow") == "1";
  TM_ASSIGN(auto reader, TopicReader::of_kafka(topic, range));
  int64_t left = request.number("max", -1);
  std::string text;
  while (!gone && left != 0 && !reader->done()) {
    // What is at hand goes out as soon as nothing more is.
    TM_ASSIGN(auto event, reader->next(text.empty() ? kFollowWaitUs : 0));
    if (event) {
      text += event_line(format, *event->source, *event->record);
      if (left > 0) --left;
      if (text.size() < kReadBytes) continue;
    }
    // Also an empty one: it tells whether anybody still listens.
    if (!reply(text)) return {};
    text.clear();
  }
  if (!text.empty()) reply(text);
  return {};
}

// A sync ticket is good for the opening of the log that gave it, which its leader epoch tells: one that a
// former owner gave would be waited for in vain, or be taken for another append's.
constexpr int kTicketBits = 40;

uint64_t outer_ticket(LeaderEpoch opening, uint64_t ticket) {
  TM_CHECK(ticket >> kTicketBits == 0);
  return static_cast<uint64_t>(opening.value()) << kTicketBits | ticket;
}

Status wait(log::Log& log, const Request& request) {
  TM_ASSIGN(TopicPartition tp, partition_of(request));
  TM_ASSIGN(log::PartitionInfo info, log.partition(tp));
  auto ticket = static_cast<uint64_t>(request.number("ticket", 0));
  if (ticket >> kTicketBits != static_cast<uint64_t>(info.leader_epoch.value())) {
    return external_error("the run has another owner now", Code::kFailed, true);
  }
  return log.wait_durable(ticket & ((uint64_t{1} << kTicketBits) - 1));
}

Status append(log::Log& log, Request& request, const Reply& reply,
              const std::function<void(uint64_t, uint64_t)>& on_append) {
  TM_ASSIGN(TopicPartition tp, partition_of(request));
  TM_ASSIGN(auto header, parse_batch_header(request.body));
  if (!header || header->size_bytes() != request.body.size())
    return user_error("append: the body is not one whole batch");
  if (header->control() || header->transactional()) return user_error("append: plain batches only");
  TM_ASSIGN(log::Appended appended, log.append(tp, request.body, /*sealed=*/true));
  if (!appended.duplicate) on_append(static_cast<uint64_t>(header->count), header->size_bytes());
  TM_ASSIGN(log::PartitionInfo info, log.partition(tp));
  reply(fmt::format("{} {} {}", appended.first.value(), appended.last.value(),
                    outer_ticket(info.leader_epoch, appended.sync_ticket)));
  return {};
}

}  // namespace

Status answer_log_request(log::Log& log, const std::vector<KafkaTopic>& in_kafka, Request& request,
                          const Reply& reply, const std::atomic<bool>& gone,
                          const std::function<void(uint64_t, uint64_t)>& on_append) {
  if (request.verb == "log.topics") {
    if (!reply_heading(request, reply)) return {};
    TM_TRY(list_kafka_topics(in_kafka, request, reply));
    return list_topics(log, request, reply);
  }
  if (request.verb == "log.read") {
    const std::string topic = request.get("topic");
    for (const KafkaTopic& known : in_kafka) {
      if (known.name == topic) return read_kafka_topic(known, request, reply, gone);
    }
    return read_log(log, in_kafka, request, reply, gone);
  }
  if (request.verb == "log.append") return append(log, request, reply, on_append);
  if (request.verb == "log.wait") return wait(log, request);
  if (request.verb == "log.init") {
    TM_ASSIGN(log::Producer producer, log.init_idempotent(request.get("name")));
    reply(fmt::format("{} {}", producer.id, producer.epoch));
    return {};
  }
  if (request.verb == "log.last_sequence") {
    TM_ASSIGN(TopicPartition tp, partition_of(request));
    log::Producer producer{request.number("id", -1), static_cast<int16_t>(request.number("epoch", -1))};
    TM_ASSIGN(auto last, log.last_sequence(tp, producer));
    if (last) reply(std::to_string(*last));
    return {};
  }
  if (request.verb == "log.end") {
    TM_ASSIGN(TopicPartition tp, partition_of(request));
    TM_ASSIGN(log::PartitionInfo info, log.partition(tp));
    reply(fmt::format("{} {}", info.last_stable.value(), info.log_end.value()));
    return {};
  }
  if (request.verb == "log.partitions") {
    TM_ASSIGN(log::TopicInfo topic, find_topic(log, in_kafka, request.get("topic")));
    reply(std::to_string(topic.config.partitions));
    return {};
  }
  return user_error("no such request: " + request.verb, Code::kNotFound);
}

}  // namespace tidemill::solution
