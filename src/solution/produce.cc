#include "solution/produce.h"

#include <poll.h>
#include <simdjson.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/logging.h"
#include "event/partitioner.h"
#include "event/record_batch.h"
#include "event/schema.h"

namespace tidemill::solution {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr int64_t kRetryPauseUs = 100'000;
constexpr int kStopLookUpMs = 100;  // a stop is seen within this time
constexpr int kLingerMs = 5;        // lines go out when no more came for so long
constexpr int64_t kLongestLingerNs = 100'000'000;
constexpr uint64_t kTellEvery = 100'000;
constexpr int kRetries = 600;  // a minute, which an owner that recovers may take

// One partition's batch on its way, and how many records this producer has stored there.
struct Lane {
  RecordBatchBuilder builder;
  int64_t stored = 0;
};

class Producer {
 public:
  Producer(simulate::Appender& appender, const ProduceOptions& options)
      : appender_(appender), options_(options), lanes_(static_cast<size_t>(appender.partitions())) {}

  Status open() {
    TM_ASSIGN(identity_, appender_.init(""));
    for (Lane& lane : lanes_) reset(lane);
    return {};
  }

  Status add(std::string_view line, Produced* counts) {
    std::optional<std::string> key;
    if (!options_.key_path.empty()) {
      key = key_of(line);
      if (!key) ++counts->without_key;
    }
    size_t partition =
        key ? static_cast<size_t>(partition_for_key(*key, appender_.partitions()).value()) : next_;
    Lane& lane = lanes_[partition];
    int64_t now_ms = Clock::system().wall_us() / 1000;
    lane.builder.add(now_ms, key ? std::optional<std::string_view>(*key) : std::nullopt, line);
    ++counts->events;
    counts->bytes += line.size();
    if (lane.builder.size_bytes() < options_.batch_bytes) return {};
    if (!key) next_ = (next_ + 1) % lanes_.size();
    return send(partition);
  }

  Status finish() {
    for (size_t p = 0; p < lanes_.size(); ++p) {
      if (!lanes_[p].builder.empty()) TM_TRY(send(p));
    }
    return {};
  }

 private:
  void reset(Lane& lane) {
    RecordBatchBuilder::Options batch;
    batch.producer_id = identity_.id;
    batch.producer_epoch = identity_.epoch;
    batch.base_sequence = static_cast<int32_t>(lane.stored & INT32_MAX);
    lane.builder.reset(batch);
  }

  // The batch's sequence number makes a repeated append harmless; each is acknowledged before the next.
  Status send(size_t partition) {
    Lane& lane = lanes_[partition];
    int32_t count = lane.builder.count();
    TM_ASSIGN(std::string batch, lane.builder.finish(false));
    for (int attempt = 0;; ++attempt) {
      auto ticket = appender_.append(static_cast<int32_t>(partition), batch);
      Status done = ticket.ok() ? appender_.wait(*ticket) : Status(std::move(ticket).error());
      if (done.ok()) break;
      if (!done.error().retryable || attempt >= kRetries) return done;
      if (attempt == 0) log_warning(done.error().message + "; trying again");
      Clock::system().sleep_us(kRetryPauseUs);
    }
    lane.stored += count;
    reset(lane);
    return {};
  }

  // On-Demand: what else the event holds, numbers beyond 64 bits for example, is as free as in the pipeline.
  std::optional<std::string> key_of(std::string_view line) {
    padded_.assign(line);
    padded_.append(simdjson::SIMDJSON_PADDING, ' ');
    ondemand::document document;
    ondemand::object object;
    if (parser_.iterate(padded_.data(), line.size(), padded_.size()).get(document) != simdjson::SUCCESS ||
        document.get_object().get(object) != simdjson::SUCCESS)
      return std::nullopt;
    ondemand::value at;
    for (size_t level = 0;; ++level) {
      if (!find_member(object, path_[level], &at)) return std::nullopt;
      if (level + 1 == path_.size()) return text_of(at);
      if (at.get_object().get(object) != simdjson::SUCCESS) return std::nullopt;
    }
  }

  // The first of that name, as the pipeline's decoder has it, however the name is written.
  static bool find_member(ondemand::object& object, std::string_view name, ondemand::value* found) {
    for (auto member : object) {
      std::string_view key;
      if (member.unescaped_key().get(key) != simdjson::SUCCESS) return false;
      if (key == name) return member.value().get(*found) == simdjson::SUCCESS;
    }
    return false;
  }

  // A string's text, integers of 64 bits in decimals, other numbers and switches as they stand.
  static std::optional<std::string> text_of(ondemand::value& at) {
    ondemand::json_type type;
    if (at.type().get(type) != simdjson::SUCCESS) return std::nullopt;
    if (type == ondemand::json_type::string) {
      std::string_view text;
      if (at.get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
      return std::string(text);
    }
    if (type != ondemand::json_type::number && type != ondemand::json_type::boolean) return std::nullopt;
    std::string_view token = at.raw_json_token();
    token = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
    int64_t number = 0;
    const char* end = token.data() + token.size();
    const auto [stop, error] = std::from_chars(token.data(), end, number);
    return error == std::errc() && stop == end ? std::to_string(number) : std::string(token);
  }

  simulate::Appender& appender_;
  const ProduceOptions& options_;
  const std::vector<std::string> path_ = split_path(options_.key_path);
  simulate::Appender::Producer identity_;
  std::vector<Lane> lanes_;
  size_t next_ = 0;
  ondemand::parser parser_;
  std::string padded_;
};

}  // namespace

Result<Produced> produce_lines(int in, simulate::Appender& appender, const ProduceOptions& options,
                               const std::function<void(uint64_t)>& told, const std::atomic<bool>& stop) {
  Producer producer(appender, options);
  TM_TRY(producer.open());
  Produced counts;
  uint64_t number = 0, next_told = kTellEvery;
  std::string line;
  std::string buffer(256u << 10, '\0');
  auto take_line = [&]() -> Status {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) TM_TRY(producer.add(line, &counts));
    line.clear();
    return {};
  };
  int64_t waiting_since_ns = 0;  // when the first line since the last flush was read
  auto flush = [&]() -> Status {
    waiting_since_ns = 0;
    return producer.finish();
  };
  while (!stop) {
    pollfd ready{in, POLLIN, 0};
    const int64_t now_ns = Clock::system().steady_ns();
    const bool more = ::poll(&ready, 1, waiting_since_ns == 0 ? kStopLookUpMs : kLingerMs) > 0;
    if (waiting_since_ns != 0 && (!more || now_ns - waiting_since_ns > kLongestLingerNs)) TM_TRY(flush());
    if (!more) continue;
    if (waiting_since_ns == 0) waiting_since_ns = now_ns;
    const ssize_t got = ::read(in, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return external_error(std::string("standard input: ") + std::strerror(errno));
    if (got == 0) break;
    std::string_view rest(buffer.data(), static_cast<size_t>(got));
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      line.append(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      TM_TRY(take_line());
    }
    line.append(rest);
    if (line.size() > options.max_line_bytes) {
      TM_TRY(producer.finish());
      return user_error("line " + std::to_string(number + 1) + " is longer than " +
                        std::to_string(options.max_line_bytes) + " bytes; events are one line each. The " +
                        std::to_string(counts.events) + " events before it are in the log");
    }
    if (counts.events >= next_told) {
      told(counts.events);
      next_told = counts.events / kTellEvery * kTellEvery + kTellEvery;
    }
  }
  // A line that a stop cut in the middle is none.
  if (!line.empty() && !stop) TM_TRY(take_line());
  TM_TRY(producer.finish());
  return counts;
}

}  // namespace tidemill::solution
