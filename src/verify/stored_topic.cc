// Rows and dead letters in topics.
#include <charconv>

#include "verify/stored_json.h"
#include "verify/stores.h"

namespace tidemill::verify {
namespace {

// Goes through the partitions one after another.
class TopicReader {
 public:
  explicit TopicReader(const TopicPartitions& topic) : topic_(topic) {}
  // nullptr at the end. `partition` is the number of the one that the record is of.
  Result<const LogRecord*> next(int32_t* partition) {
    for (;; reader_.reset(), ++at_) {
      if (at_ >= topic_.files.size()) return static_cast<const LogRecord*>(nullptr);
      if (!reader_) {
        reader_ = std::make_unique<RecordReader>(*topic_.files[at_]);
        TM_TRY(reader_->seek(topic_.spans[at_].start));
      }
      TM_ASSIGN(const LogRecord* record, reader_->next());
      *partition = topic_.spans[at_].partition;
      if (record != nullptr) return record;
    }
  }

 private:
  const TopicPartitions& topic_;
  size_t at_ = 0;
  std::unique_ptr<RecordReader> reader_;
};

class TopicRows final : public StoredRows {
 public:
  TopicRows(const TopicPartitions& topic, const JsonLayout& layout, const std::vector<FieldSpec>& fields)
      : reader_(topic), json_(layout, fields) {}

  Result<bool> next(StoredRow* row) override {
    TM_ASSIGN(const LogRecord* record, reader_.next(&row->output_partition));
    if (record == nullptr) return false;
    row->place = record->offset;
    row->stored_us = record->timestamp_ms * 1000;
    row->has_key = record->has_key;
    row->key = record->has_key ? record->key : std::string_view();
    json_.read(record->value, row);
    return true;
  }

 private:
  TopicReader reader_;
  JsonRows json_;
};

class TopicRowStore final : public RowStore {
 public:
  TopicRowStore(TopicPartitions topic, std::string name, JsonLayout layout,
                const std::vector<FieldSpec>& fields, const std::vector<std::string>& projected)
      : topic_(std::move(topic)),
        name_(std::move(name)),
        layout_(std::move(layout)),
        fields_(stored_fields(fields, projected, &shape_.has_field)) {
    shape_.whole = projected.empty();
    shape_.keys = true;
  }

  Status prepare() {
    shape_.in_order = true;
    shape_.stored_at = true;
    TM_ASSIGN(auto first, rows(true));
    StoredRow row;
    TM_ASSIGN(bool any, first->next(&row));
    if (!any) return ok_status();
    shape_.positions = row.partition.has_value() && row.offset.has_value();
    shape_.enqueued_at = row.enqueued_us.has_value();
    return ok_status();
  }
  const StoreShape& shape() const override { return shape_; }
  Result<std::unique_ptr<StoredRows>> rows(bool) override {
    return std::unique_ptr<StoredRows>(std::make_unique<TopicRows>(topic_, layout_, fields_));
  }
  std::string describe(const StoredRow& row) const override {
    return name_ + "-" + std::to_string(row.output_partition) + " offset " + std::to_string(row.place);
  }

 private:
  TopicPartitions topic_;
  std::string name_;
  JsonLayout layout_;
  StoreShape shape_;
  std::vector<FieldSpec> fields_;
};

class TopicDeadLetterRows final : public DeadLetterRows {
 public:
  explicit TopicDeadLetterRows(const TopicPartitions& topic) : reader_(topic) {}
  Result<bool> next(DeadLetter* letter) override {
    int32_t from = 0;
    TM_ASSIGN(const LogRecord* record, reader_.next(&from));
    if (record == nullptr) return false;
    std::string_view partition, offset;
    bool readable = find_header(record->headers, "reason", &letter->reason) &&
                    find_header(record->headers, "topic", &letter->topic) &&
                    find_header(record->headers, "partition", &partition) &&
                    find_header(record->headers, "offset", &offset);
    if (!readable)
      return internal_error("dead letter at offset " + std::to_string(record->offset) + ": broken headers");
    letter->partition = static_cast<int32_t>(number(partition));
    letter->offset = number(offset);
    letter->value = record->value;
    std::string_view cut;
    letter->whole_bytes.reset();
    if (find_header(record->headers, "cut", &cut)) letter->whole_bytes = whole_bytes(cut);
    return true;
  }

 private:
  static int64_t number(std::string_view text) {
    int64_t value = -1;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? value : -1;
  }
  // "key of 3 bytes, value of 17 bytes"; one that says something else is no cut.
  static std::optional<uint64_t> whole_bytes(std::string_view cut) {
    constexpr std::string_view kBefore = ", value of ", kBehind = " bytes";
    const size_t at = cut.find(kBefore);
    if (at == std::string_view::npos || !cut.ends_with(kBehind)) return std::nullopt;
    cut.remove_prefix(at + kBefore.size());
    if (cut.size() < kBehind.size()) return std::nullopt;
    const int64_t bytes = number(cut.substr(0, cut.size() - kBehind.size()));
    if (bytes < 0) return std::nullopt;
    return static_cast<uint64_t>(bytes);
  }
  TopicReader reader_;
};

class TopicDeadLetterStore final : public DeadLetterStore {
 public:
  explicit TopicDeadLetterStore(TopicPartitions topic) : topic_(std::move(topic)) {}
  Result<std::unique_ptr<DeadLetterRows>> rows() override {
    return std::unique_ptr<DeadLetterRows>(std::make_unique<TopicDeadLetterRows>(topic_));
  }

 private:
  TopicPartitions topic_;
};

class JoinedDeadLetterRows final : public DeadLetterRows {
 public:
  explicit JoinedDeadLetterRows(const std::vector<std::unique_ptr<DeadLetterStore>>& stores)
      : stores_(stores) {}
  Result<bool> next(DeadLetter* letter) override {
    for (; at_ < stores_.size(); ++at_, rows_ = nullptr) {
      if (!rows_) {
        TM_ASSIGN(rows_, stores_[at_]->rows());
      }
      TM_ASSIGN(bool more, rows_->next(letter));
      if (more) return true;
    }
    return false;
  }

 private:
  const std::vector<std::unique_ptr<DeadLetterStore>>& stores_;
  size_t at_ = 0;
  std::unique_ptr<DeadLetterRows> rows_;
};

class JoinedDeadLetters final : public DeadLetterStore {
 public:
  explicit JoinedDeadLetters(std::vector<std::unique_ptr<DeadLetterStore>> stores)
      : stores_(std::move(stores)) {}
  Result<std::unique_ptr<DeadLetterRows>> rows() override {
    return std::unique_ptr<DeadLetterRows>(std::make_unique<JoinedDeadLetterRows>(stores_));
  }

 private:
  std::vector<std::unique_ptr<DeadLetterStore>> stores_;
};

}  // namespace

std::unique_ptr<DeadLetterStore> join_dead_letters(std::vector<std::unique_ptr<DeadLetterStore>> stores) {
  return std::make_unique<JoinedDeadLetters>(std::move(stores));
}

Result<TopicPartitions> open_topic(FileSystem& files, const TopicFiles& topic) {
  TopicPartitions out;
  for (const PartitionSpan& span : topic.partitions) {
    std::string directory = join_path(topic.directory, topic.topic + "-" + std::to_string(span.partition));
    TM_ASSIGN(auto partition, PartitionFiles::open(files, directory, span.visible_end));
    out.spans.push_back(span);
    out.files.push_back(std::move(partition));
  }
  return out;
}

Result<std::unique_ptr<RowStore>> open_topic_rows(FileSystem& files, const TopicFiles& topic,
                                                  const StoreColumns& columns,
                                                  const std::vector<std::string>& added,
                                                  const std::vector<FieldSpec>& fields,
                                                  const std::vector<std::string>& projected) {
  TM_ASSIGN(TopicPartitions partitions, open_topic(files, topic));
  auto store = std::make_unique<TopicRowStore>(std::move(partitions), topic.topic, JsonLayout(columns, added),
                                               fields, projected);
  TM_TRY(store->prepare());
  return std::unique_ptr<RowStore>(std::move(store));
}

Result<std::unique_ptr<DeadLetterStore>> open_topic_dead_letters(FileSystem& files, const TopicFiles& topic) {
  TM_ASSIGN(TopicPartitions partitions, open_topic(files, topic));
  return std::unique_ptr<DeadLetterStore>(std::make_unique<TopicDeadLetterStore>(std::move(partitions)));
}

}  // namespace tidemill::verify
