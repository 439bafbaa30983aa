#include "baseline/relay.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <simdjson.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "baseline/append.h"
#include "baseline/fail.h"
#include "baseline/record_batch.h"
#include "baseline/timestamp.h"

namespace baseline {
namespace {

constexpr size_t kBatchBytes = 1u << 18;
constexpr size_t kBufferBytes = 4u << 20;
constexpr char kEnqueued[] = R"(,"enqueuedAt":")";
constexpr char kProcessed[] = R"(","processedAt":")";
constexpr size_t kEnqueuedAt = sizeof kEnqueued - 1;
constexpr size_t kProcessedAt = kEnqueuedAt + kTimestampText + sizeof kProcessed - 1;
constexpr size_t kAdded = kProcessedAt + kTimestampText + 2;  // with the closing quote and brace

int64_t now_us() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

class Loop {
 public:
  explicit Loop(const std::string& output)
      : in_(new char[kBufferBytes]), out_(new char[kBufferBytes]), file_(output) {
    std::memcpy(added_, kEnqueued, kEnqueuedAt);
    std::memcpy(added_ + kEnqueuedAt + kTimestampText, kProcessed, sizeof kProcessed - 1);
    std::memcpy(added_ + kAdded - 2, "\"}", 2);
    begin();
  }

  void read(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail("open");
    // One read per batch: each brings the size of the next one along.
    off_t at = 0;
    ssize_t got = ::pread(fd, in_.get(), kBatchOverhead, at);
    while (got == static_cast<ssize_t>(kBatchOverhead)) {
      size_t size = batch_size(in_.get());
      if (size + kBatchOverhead + simdjson::SIMDJSON_PADDING > kBufferBytes)
        fail("a batch that is too large");
      ssize_t all = ::pread(fd, in_.get(), size + kBatchOverhead, at);
      if (all < static_cast<ssize_t>(size)) fail("read");
      if (!is_control(in_.get())) batch();
      at += static_cast<off_t>(size);
      got = all - static_cast<ssize_t>(size);
      if (got > 0) std::memmove(in_.get(), in_.get() + size, static_cast<size_t>(got));
    }
    ::close(fd);
  }

  Relayed end() {
    flush();
    return done_;
  }

 private:
  void batch() {
    auto enqueued_ms = static_cast<int64_t>(load_be64(in_.get() + 35));
    write_timestamp(enqueued_ms * 1000, added_ + kEnqueuedAt);
    write_timestamp(now_us(), added_ + kProcessedAt);
    for_each_record(in_.get(), [this](const RecordView& record) { one(record); });
  }

  void one(const RecordView& record) {
    simdjson::ondemand::document event;
    std::string_view id;
    std::string_view device;
    size_t capacity = record.value_size + simdjson::SIMDJSON_PADDING;
    if (parser_.iterate(record.value, record.value_size, capacity).get(event) != simdjson::SUCCESS ||
        event.find_field("eventId").get_string().get(id) != simdjson::SUCCESS ||
        event.find_field("deviceId").get_string().get(device) != simdjson::SUCCESS) {
      fail("an event that On-Demand does not read");
    }
    done_.ids += load_be64(id.data()) + load_be64(device.data());

    size_t value = record.value_size - 1 + kAdded;
    size_t body = 1 + 1 + varint_size(count_) + varint_size(record.key_size) + record.key_size +
                  varint_size(static_cast<int64_t>(value)) + value + 1;
    char* to = write_varint(to_, static_cast<int64_t>(body));
    *to++ = 0;
    *to++ = 0;
    to = write_varint(to, count_++);
    to = write_varint(to, record.key_size);
    std::memcpy(to, record.key, record.key_size);
    to = write_varint(to + record.key_size, static_cast<int64_t>(value));
    std::memcpy(to, record.value, record.value_size - 1);
    to += record.value_size - 1;
    std::memcpy(to, added_, kAdded);
    to += kAdded;
    *to++ = 0;
    to_ = to;
    if (static_cast<size_t>(to_ - out_.get()) >= kBatchBytes) flush();
  }

  void begin() {
    to_ = out_.get() + kBatchHeader;
    count_ = 0;
  }

  void flush() {
    if (count_ == 0) return;
    char* batch = out_.get();
    auto size = static_cast<uint32_t>(to_ - batch);
    store_be64(batch, done_.records);
    store_be32(batch + 8, size - kBatchOverhead);
    store_be32(batch + 12, 0);
    batch[16] = 2;
    store_be16(batch + 21, 0x08);
    store_be32(batch + 23, static_cast<uint32_t>(count_ - 1));
    store_be64(batch + 27, 0);
    store_be64(batch + 35, static_cast<uint64_t>(now_us() / 1000));
    store_be64(batch + 43, ~uint64_t{0});
    store_be16(batch + 51, 0xffff);
    store_be32(batch + 53, ~uint32_t{0});
    store_be32(batch + 57, static_cast<uint32_t>(count_));
    auto* checked = reinterpret_cast<unsigned char*>(batch + kBatchChecked);
    store_be32(batch + 17, ~crc32_iscsi(checked, static_cast<int>(size - kBatchChecked), ~0u));
    file_.write({batch, size});
    done_.records += static_cast<uint64_t>(count_);
    done_.bytes += size;
    begin();
  }

  std::unique_ptr<char[]> in_, out_;
  PlainFile file_;
  simdjson::ondemand::parser parser_;
  char added_[kAdded];
  char* to_ = nullptr;
  int64_t count_ = 0;
  Relayed done_;
};

}  // namespace

Relayed relay(const std::vector<std::string>& files, const std::string& output) {
  Loop loop(output);
  for (const std::string& file : files) loop.read(file);
  return loop.end();
}

}  // namespace baseline
