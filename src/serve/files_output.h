// One epoch's rows and dead letters for the files sink, as lines.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "serve/event_json.h"
#include "serve/journaled_sink.h"

namespace tidemill::serve {

class FilesOutput final : public JournaledOutput {
 public:
  FilesOutput(JsonForm form, const std::vector<Field>& fields) : json_(form, fields) {}

  Status write(BatchPtr& batch) override;
  // Of one input partition. Pieces end anywhere; together they are whole lines.
  const std::vector<std::string>& lines(const TopicPartition& source) { return lines_[source]; }

 private:
  void write_row(uint32_t row, std::vector<std::string>* pieces);

  EventJson json_;
  std::map<TopicPartition, std::vector<std::string>> lines_;
};

}  // namespace tidemill::serve
