#include "verify/kafka_copy.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "kafka/client.h"
#include "verify/segment_reader.h"
#include "verify/stoppable_files.h"

namespace tidemill::verify {
namespace {

using kafka::api;

constexpr size_t kBatchBytes = 256u << 10;
constexpr size_t kWriteBytes = 4u << 20;
constexpr int kAnswerMs = 30'000;
constexpr int64_t kSilenceNs = 60'000'000'000;
constexpr int16_t kAppendTimeBit = 1 << 3;

// Writes batches that cover every offset from `start` on, also those at which the topic has no record: what
// stands there in Kafka is the end of a transaction, or was aborted.
class SegmentWriter {
 public:
  SegmentWriter(std::unique_ptr<File> file, int64_t start) : file_(std::move(file)), base_(start) {}

  Status add(const rd_kafka_message_t& message) {
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const int64_t timestamp_ms = api().message_timestamp(&message, &type);
    const bool append_time = type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME;
    const bool fits = records_.size() < kBatchBytes && append_time == append_time_ &&
                      (!append_time || timestamp_ms == max_timestamp_ms_);
    if (count_ > 0 && !fits) TM_TRY(finish(message.offset));
    if (count_ == 0) {
      append_time_ = append_time;
      base_timestamp_ms_ = max_timestamp_ms_ = timestamp_ms;
    }
    max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);
    add_record(message, timestamp_ms);
    ++count_;
    return {};
  }

  Status close(int64_t end) {
    if (end > base_) TM_TRY(finish(end));
    return flush();
  }

 private:
  void add_sized(ByteWriter& writer, const void* bytes, size_t size, bool present) {
    writer.varint(present ? static_cast<int64_t>(size) : -1);
    if (present) writer.bytes({static_cast<const char*>(bytes), size});
  }

  void add_record(const rd_kafka_message_t& message, int64_t timestamp_ms) {
    record_.clear();
    ByteWriter writer(record_);
    writer.be<uint8_t>(0);
    writer.varint(timestamp_ms - base_timestamp_ms_);
    writer.varint(message.offset - base_);
    add_sized(writer, message.key, message.key_len, message.key != nullptr);
    add_sized(writer, message.payload, message.len, message.payload != nullptr);
    rd_kafka_headers_t* headers = nullptr;
    std::vector<std::array<std::string_view, 2>> all;
    std::vector<bool> null;
    if (api().message_headers(&message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
      const char* name = nullptr;
      const void* value = nullptr;
      size_t size = 0;
      for (size_t i = 0; api().header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
           ++i) {
        all.push_back({name, std::string_view(static_cast<const char*>(value), value == nullptr ? 0 : size)});
        null.push_back(value == nullptr);
      }
    }
    writer.varint(static_cast<int64_t>(all.size()));
    for (size_t i = 0; i < all.size(); ++i) {
      add_sized(writer, all[i][0].data(), all[i][0].size(), true);
      add_sized(writer, all[i][1].data(), all[i][1].size(), !null[i]);
    }
    ByteWriter sized(records_);
    sized.varint(static_cast<int64_t>(record_.size()));
    sized.bytes(record_);
  }

  // Ends the batch before offset `next`.
  Status finish(int64_t next) {
    std::string batch(kBatchHeaderSize, '\0');
    batch += records_;
    char* at = batch.data();
    store_be<int64_t>(at, base_);
    store_be<int32_t>(at + 8, static_cast<int32_t>(batch.size() - 12));
    store_be<int32_t>(at + 12, 0);
    at[16] = 2;
    store_be<int16_t>(at + 21, append_time_ ? kAppendTimeBit : int16_t{0});
    store_be<int32_t>(at + 23, static_cast<int32_t>(next - 1 - base_));
    store_be<int64_t>(at + 27, base_timestamp_ms_);
    store_be<int64_t>(at + 35, max_timestamp_ms_);
    store_be<int64_t>(at + 43, -1);
    store_be<int16_t>(at + 51, -1);
    store_be<int32_t>(at + 53, -1);
    store_be<int32_t>(at + 57, count_);
    store_be<uint32_t>(at + 17, crc32c(std::string_view(batch).substr(21)));
    pending_ += batch;
    base_ = next;
    count_ = 0;
    records_.clear();
    return pending_.size() >= kWriteBytes ? flush() : ok_status();
  }

  Status flush() {
    TM_TRY(file_->write_at(written_, pending_));
    written_ += pending_.size();
    pending_.clear();
    return {};
  }

  std::unique_ptr<File> file_;
  int64_t base_;  // of the batch that is being filled
  int32_t count_ = 0;
  bool append_time_ = false;
  int64_t base_timestamp_ms_ = 0;
  int64_t max_timestamp_ms_ = 0;
  std::string records_, record_, pending_;
  uint64_t written_ = 0;
};

class Consumer {
 public:
  static Result<std::unique_ptr<Consumer>> open(const kafka::Connection& connection, const char* isolation) {
    kafka::Client::Options options;
    options.role = kafka::Role::kConsumer;
    options.properties = {{"group.id", "tidemill-verify"},  {"enable.auto.commit", "false"},
                          {"enable.partition.eof", "true"}, {"isolation.level", isolation},
                          {"check.crcs", "true"},           {"auto.offset.reset", "error"},
                          {"fetch.wait.max.ms", "20"}};
    TM_ASSIGN(auto client, kafka::Client::open(connection, std::move(options)));
    return std::unique_ptr<Consumer>(new Consumer(std::move(client)));
  }
  ~Consumer() { api().queue_destroy(queue_); }

  Result<int32_t> partitions(const std::string& topic) {
    const rd_kafka_metadata_t* metadata = nullptr;
    auto code = api().metadata(client_->get(), 1, nullptr, &metadata, kAnswerMs);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("topic " + topic, code);
    int32_t count = 0;
    for (int i = 0; i < metadata->topic_cnt; ++i) {
      if (metadata->topics[i].topic == topic) count = metadata->topics[i].partition_cnt;
    }
    api().metadata_destroy(metadata);
    if (count == 0) return client_->error("topic " + topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    return count;
  }
  // First and last offset that there is, the latter exclusive and of all records.
  Status ends(const std::string& topic, int32_t partition, int64_t* begin, int64_t* end) {
    auto code =
        api().query_watermark_offsets(client_->get(), topic.c_str(), partition, begin, end, kAnswerMs);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("offsets of topic " + topic, code);
    return {};
  }
  Status read(const std::string& topic, int32_t partition, int64_t from, int64_t to, SegmentWriter& writer,
              const std::function<bool()>& stop) {
    {
      kafka::PartitionList list(1);
      list.add(topic, partition, from);
      auto code = api().assign(client_->get(), list.get());
      if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("topic " + topic, code);
    }
    int64_t heard_ns = Clock::system().steady_ns();
    for (int64_t at = from; at < to;) {
      if (stop && stop()) return stopped();
      rd_kafka_message_t* message = api().consume_queue(queue_, 100);
      if (message == nullptr) {
        if (Clock::system().steady_ns() - heard_ns > kSilenceNs) {
          return client_->error(topic + "-" + std::to_string(partition) + ": offset " + std::to_string(at) +
                                    " of " + std::to_string(to),
                                RD_KAFKA_RESP_ERR__TIMED_OUT);
        }
        continue;
      }
      Status taken;
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        at = std::max(at, message->offset);
      } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        Error error = client_->error("topic " + topic, message->err);
        if (!error.retryable) taken = error;
      } else if (message->offset < to) {
        heard_ns = Clock::system().steady_ns();
        taken = writer.add(*message);
        at = message->offset + 1;
      } else {
        at = to;
      }
      api().message_destroy(message);
      TM_TRY(taken);
    }
    return {};
  }

 private:
  explicit Consumer(std::unique_ptr<kafka::Client> client) : client_(std::move(client)) {
    api().poll_set_consumer(client_->get());
    queue_ = api().queue_get_consumer(client_->get());
  }
  std::unique_ptr<kafka::Client> client_;
  rd_kafka_queue_t* queue_ = nullptr;
};

std::string segment_name(int64_t base) {
  std::array<char, 32> name{};
  (void)std::snprintf(name.data(), name.size(), "%020lld.log", static_cast<long long>(base));
  return name.data();
}

}  // namespace

Result<TopicFiles> copy_topic(const kafka::Connection& connection, const std::string& topic,
                              FileSystem& files, const std::string& directory,
                              const std::function<bool()>& stop) {
  TM_ASSIGN(auto consumer, Consumer::open(connection, "read_committed"));
  // Its ends are those of all records: a transaction whose commit was answered may be marked so a moment
  // later.
  TM_ASSIGN(auto looking, Consumer::open(connection, "read_uncommitted"));
  TopicFiles copy;
  copy.directory = directory;
  copy.topic = topic;
  TM_ASSIGN(int32_t partitions, consumer->partitions(topic));
  // The ends of all first: what comes meanwhile is not of this verification.
  for (int32_t p = 0; p < partitions; ++p) {
    PartitionSpan span;
    span.partition = p;
    TM_TRY(looking->ends(topic, p, &span.start, &span.visible_end));
    copy.partitions.push_back(span);
  }
  for (const PartitionSpan& span : copy.partitions) {
    const std::string folder = join_path(directory, topic + "-" + std::to_string(span.partition));
    TM_TRY(files.create_directories(folder));
    TM_ASSIGN(auto file, files.open(join_path(folder, segment_name(span.start)), OpenMode::kCreateNew));
    SegmentWriter writer(std::move(file), span.start);
    TM_TRY(consumer->read(topic, span.partition, span.start, span.visible_end, writer, stop));
    TM_TRY(writer.close(span.visible_end));
  }
  return copy;
}

}  // namespace tidemill::verify
