#include "solution/produce.h"

#include <simdjson.h>

#include <vector>

#include "base/clock.h"
#include "event/partitioner.h"
#include "event/record_batch.h"
#include "event/schema.h"

namespace tidemill::solution {
namespace {

constexpr int64_t kRetryPauseUs = 100'000;
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
      Clock::system().sleep_us(kRetryPauseUs);
    }
    lane.stored += count;
    reset(lane);
    return {};
  }

  std::optional<std::string> key_of(std::string_view line) {
    simdjson::dom::element at;
    if (parser_.parse(line.data(), line.size()).get(at) != simdjson::SUCCESS) return std::nullopt;
    for (const std::string& member : path_) {
      simdjson::dom::element next;
      if (at[member].get(next) != simdjson::SUCCESS) return std::nullopt;
      at = next;
    }
    std::string_view text;
    if (at.get_string().get(text) == simdjson::SUCCESS) return std::string(text);
    if (at.is_null() || at.is_object() || at.is_array()) return std::nullopt;
    return simdjson::minify(at);
  }

  simulate::Appender& appender_;
  const ProduceOptions& options_;
  const std::vector<std::string> path_ = split_path(options_.key_path);
  simulate::Appender::Producer identity_;
  std::vector<Lane> lanes_;
  size_t next_ = 0;
  simdjson::dom::parser parser_;
};

}  // namespace

Result<Produced> produce_lines(std::istream& in, simulate::Appender& appender, const ProduceOptions& options,
                               const std::function<void(uint64_t)>& told) {
  Producer producer(appender, options);
  TM_TRY(producer.open());
  Produced counts;
  uint64_t number = 0;
  std::string line;
  std::string buffer(64u << 10, '\0');
  auto take_line = [&]() -> Status {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) TM_TRY(producer.add(line, &counts));
    line.clear();
    if (counts.events % 100'000 == 0 && counts.events > 0) told(counts.events);
    return {};
  };
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
    std::string_view rest(buffer.data(), static_cast<size_t>(in.gcount()));
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      line.append(rest.substr(0, end));
      rest.remove_prefix(end + 1);
      TM_TRY(take_line());
    }
    line.append(rest);
    if (line.size() > options.max_line_bytes) {
      return user_error("line " + std::to_string(number + 1) + " is longer than " +
                        std::to_string(options.max_line_bytes) + " bytes; events are one line each. The " +
                        std::to_string(counts.events) + " events before it are in the log");
    }
  }
  if (!line.empty()) TM_TRY(take_line());
  TM_TRY(producer.finish());
  return counts;
}

}  // namespace tidemill::solution
