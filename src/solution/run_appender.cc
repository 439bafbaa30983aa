#include "solution/run_appender.h"

#include <charconv>

#include "event/record_batch.h"

namespace tidemill::solution {
namespace {

std::vector<int64_t> numbers(std::string_view text) {
  std::vector<int64_t> all;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    int64_t value = 0;
    auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) break;
    all.push_back(value);
    at = next + 1;
  }
  return all;
}

class RunAppender final : public simulate::Appender {
 public:
  RunAppender(RunAccess& access, std::string topic)
      : calls_(access), waits_(access), topic_(std::move(topic)) {}

  Status open() {
    TM_ASSIGN(std::string answer, calls_.ask({"log.partitions", {{"topic", topic_}}, ""}));
    auto found = numbers(answer);
    if (found.size() != 1) return external_error("the run's owner gave no number of partitions");
    partitions_ = static_cast<int32_t>(found[0]);
    return {};
  }

  int32_t partitions() const override { return partitions_; }
  Result<Offset> end_offset(int32_t partition) override {
    TM_ASSIGN(std::string answer, calls_.ask({"log.end", arguments(partition), ""}));
    auto found = numbers(answer);
    if (found.size() != 2) return external_error("the run's owner gave no end offset");
    return Offset(found[1]);
  }
  Result<Producer> init(const std::string& name) override {
    TM_ASSIGN(std::string answer, calls_.ask({"log.init", {{"name", name}}, ""}));
    auto found = numbers(answer);
    if (found.size() != 2) return external_error("the run's owner gave no producer id");
    producer_ = {found[0], static_cast<int16_t>(found[1])};
    return producer_;
  }
  Result<std::optional<int32_t>> last_sequence(int32_t partition) override {
    auto asked = arguments(partition);
    asked["id"] = std::to_string(producer_.id);
    asked["epoch"] = std::to_string(producer_.epoch);
    TM_ASSIGN(std::string answer, calls_.ask({"log.last_sequence", asked, ""}));
    auto found = numbers(answer);
    if (found.empty()) return std::optional<int32_t>();
    return std::optional<int32_t>(static_cast<int32_t>(found[0]));
  }
  Result<uint64_t> append(int32_t partition, std::string& batch) override {
    seal_batch(batch.data(), batch.size());
    TM_ASSIGN(std::string answer, calls_.ask({"log.append", arguments(partition), batch}));
    auto found = numbers(answer);
    if (found.size() != 3) return external_error("the run's owner did not say where it appended");
    return static_cast<uint64_t>(found[2]);
  }
  Status wait(uint64_t ticket) override {
    auto answer = waits_.ask({"log.wait", {{"topic", topic_}, {"ticket", std::to_string(ticket)}}, ""});
    if (!answer.ok()) return std::move(answer).error();
    return {};
  }

 private:
  std::map<std::string, std::string> arguments(int32_t partition) const {
    return {{"topic", topic_}, {"partition", std::to_string(partition)}};
  }
  Line calls_;
  Line waits_;  // used by the thread that waits
  std::string topic_;
  int32_t partitions_ = 0;
  Producer producer_;
};

}  // namespace

simulate::AppenderFactory run_appenders(RunAccess& access) {
  return [&access](const std::string& topic, int32_t) -> Result<std::unique_ptr<simulate::Appender>> {
    auto appender = std::make_unique<RunAppender>(access, topic);
    TM_TRY(appender->open());
    return std::unique_ptr<simulate::Appender>(std::move(appender));
  };
}

}  // namespace tidemill::solution
