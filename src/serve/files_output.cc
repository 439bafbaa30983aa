#include "serve/files_output.h"

#include <cstring>

namespace tidemill::serve {
namespace {

// In valid JSON a line break can only be white space between tokens: a space means the same.
void break_no_lines(char* text, size_t size) {
  for (char breaking : {'\n', '\r'}) {
    char* at = text;
    while ((at = static_cast<char*>(std::memchr(at, breaking, static_cast<size_t>(text + size - at)))) !=
           nullptr) {
      *at++ = ' ';
    }
  }
}

}  // namespace

Status FilesOutput::write(BatchPtr& batch) {
  std::vector<std::string>& lines = lines_[batch->source];
  json_.begin(*batch);
  for (uint32_t row : batch->selected) write_row(row, &lines);
  note(*batch);
  batch.reset();
  return {};
}

void FilesOutput::write_row(uint32_t row, std::vector<std::string>* pieces) {
  std::string& to = piece(pieces);
  size_t before = to.size();
  EventJson::Parts value = json_.value(row);
  if (value.count == 0) to += "null";
  for (size_t i = 0; i < value.count; ++i) to += value.parts[i];
  break_no_lines(to.data() + before, to.size() - before);
  to += '\n';
  bytes_ += to.size() - before;
}

}  // namespace tidemill::serve
