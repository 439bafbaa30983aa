#include "simulate/log_appender.h"

namespace tidemill::simulate {
namespace {

class LogAppender final : public Appender {
 public:
  LogAppender(log::Log& log, std::string topic, int32_t partitions)
      : log_(log), topic_(std::move(topic)), partitions_(partitions) {}

  int32_t partitions() const override { return partitions_; }
  Result<Offset> end_offset(int32_t partition) override {
    TM_ASSIGN(const log::PartitionInfo info, log_.partition(at(partition)));
    return info.log_end;
  }
  Result<Producer> init(const std::string& name) override {
    TM_ASSIGN(producer_, log_.init_idempotent(name));
    return Producer{producer_.id, producer_.epoch};
  }
  Result<std::optional<int32_t>> last_sequence(int32_t partition) override {
    return log_.last_sequence(at(partition), producer_);
  }
  Result<uint64_t> append(int32_t partition, std::string& batch) override {
    TM_ASSIGN(const log::Appended appended, log_.append(at(partition), batch, false));
    return appended.sync_ticket;
  }
  Status wait(uint64_t ticket) override { return log_.wait_durable(ticket); }

 private:
  TopicPartition at(int32_t partition) const { return {topic_, Partition(partition)}; }

  log::Log& log_;
  std::string topic_;
  int32_t partitions_;
  log::Producer producer_;
};

}  // namespace

Result<std::unique_ptr<Appender>> make_log_appender(log::Log& log, const std::string& topic) {
  TM_ASSIGN(const log::TopicInfo info, log.topic(topic));
  return std::unique_ptr<Appender>(std::make_unique<LogAppender>(log, topic, info.config.partitions));
}

AppenderFactory log_appenders(log::Log& log) {
  return [&log](const std::string& topic, int32_t) { return make_log_appender(log, topic); };
}

}  // namespace tidemill::simulate
