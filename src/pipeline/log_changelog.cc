#include "pipeline/log_changelog.h"

#include <algorithm>
#include <utility>

#include "event/record_size.h"

namespace tidemill::pipeline {

std::string changelog_topic(const std::string& pipeline) {
  return "__changelog-" + pipeline;
}

Status create_changelog(log::Log& log, const std::string& pipeline, int32_t partitions) {
  log::TopicConfig config;
  config.partitions = partitions;
  auto created = log.create_topic(changelog_topic(pipeline), config);
  if (created.ok()) return {};
  return std::move(created).error().within("changelog of " + pipeline);
}

Result<std::vector<std::string>> changelog_batches(const std::vector<std::string>& records,
                                                   const RecordBatchBuilder::Options& options,
                                                   size_t max_bytes) {
  std::vector<std::string> batches;
  RecordBatchBuilder builder(options);
  auto finish = [&]() -> Status {
    if (builder.empty()) return {};
    TM_ASSIGN(std::string batch, builder.finish(false));
    batches.push_back(std::move(batch));
    builder.reset(options);
    return {};
  };
  for (const std::string& record : records) {
    size_t most = most_record_bytes(0, record.size(), 0);
    if (!builder.empty() && builder.size_bytes() + most > max_bytes) TM_TRY(finish());
    builder.add(0, std::nullopt, record);
  }
  TM_TRY(finish());
  return batches;
}

size_t LogChangelog::max_record_bytes() const {
  constexpr size_t kBatchOverheadBytes = record_batch_layout::kRecords + kRecordOverheadBytes;
  return max_batch_bytes_ - std::min(max_batch_bytes_, kBatchOverheadBytes);
}

Status LogChangelog::append(const TopicPartition& source, const std::vector<std::string>& records) {
  size_t max_bytes = std::min(kChangelogPartBytes, max_batch_bytes_);
  TM_ASSIGN(std::vector<std::string> batches, changelog_batches(records, {}, max_bytes));
  for (std::string& batch : batches) {
    TM_ASSIGN(log::Appended appended, log_.append(partition(source), batch, false));
    uint64_t newest = ticket_.load();
    while (newest < appended.sync_ticket && !ticket_.compare_exchange_weak(newest, appended.sync_ticket)) {
    }
  }
  return {};
}

Status LogChangelog::sync() {
  return log_.wait_durable(ticket_.load());
}

Status LogChangelog::read(const TopicPartition& source,
                          const std::function<Status(int64_t at, std::string_view value)>& each) {
  TM_ASSIGN(log::PartitionInfo info, log_.partition(partition(source)));
  constexpr size_t kReadBytes = 4u << 20;
  std::string scratch;
  std::vector<Record> records;
  for (Offset at = info.log_start; at < info.last_stable;) {
    TM_ASSIGN(log::Fetched fetched,
              log_.read(partition(source), at, kReadBytes, log::Isolation::kReadCommitted));
    std::string_view left = fetched.batches == nullptr ? std::string_view() : *fetched.batches;
    while (!left.empty()) {
      TM_ASSIGN(auto header, parse_batch_header(left));
      if (!header || header->size_bytes() > left.size()) {
        return internal_error(partition(source).to_string() + ": a batch is cut", Code::kCorrupt);
      }
      records.clear();
      TM_TRY(decode_records(*header, left.substr(0, header->size_bytes()), kMaxDecompressedBytes, &scratch,
                            &records));
      for (const Record& record : records) {
        if (record.offset < at) continue;
        TM_TRY(each(record.offset.value(), record.value));
      }
      left.remove_prefix(header->size_bytes());
    }
    if (fetched.end.offset <= at) break;
    at = fetched.end.offset;
  }
  return {};
}

Result<int64_t> LogChangelog::end(const TopicPartition& source) {
  TM_ASSIGN(log::PartitionInfo info, log_.partition(partition(source)));
  return info.log_end.value();
}

Status LogChangelog::truncate_before(const TopicPartition& source, int64_t at) {
  return log_.delete_records(partition(source), Offset(at));
}

}  // namespace tidemill::pipeline
