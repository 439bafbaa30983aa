// One epoch's rows and dead letters for the files sink, as lines.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/sink.h"
#include "serve/event_json.h"

namespace tidemill::serve {

class FilesOutput final : public pipeline::SinkOutput {
 public:
  FilesOutput(JsonForm form, const std::vector<Field>& fields) : json_(form, fields) {}

  Status write(BatchPtr& batch) override;
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }

  // Of one input partition. Pieces end anywhere; together they are whole lines.
  struct Lines {
    std::optional<Offset> first;  // of the first batch
    std::vector<std::string> rows, dead;
  };
  const Lines& lines(const TopicPartition& source) { return lines_[source]; }

 private:
  void write_row(uint32_t row, std::vector<std::string>* pieces);

  EventJson json_;
  std::map<TopicPartition, Lines> lines_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tidemill::serve
