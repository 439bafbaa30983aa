#include "serve/files_sink.h"

#include <cctype>
#include <utility>

#include "serve/files_output.h"

namespace tidemill::serve {
namespace {

class FilesPartition final : public JournaledPartition {
 public:
  FilesPartition(FileSystem& files, const std::string& directory, const std::string& dead_directory)
      : JournaledPartition(files, dead_directory), rows(files, directory) {}
  Status recover_rows() override { return rows.recover(state.rows); }
  Status cut_rows() override { return rows.cut(); }
  void accept_rows(const PartitionState& next) override {
    if (next.rows) rows.accept(*next.rows);
    roll_chain(rows);
  }
  FilesChain rows;
};

JournaledSinkOptions journaled(const FilesSinkOptions& options) {
  JournaledSinkOptions out;
  out.directory = options.directory;
  out.dead_directory =
      join_path(options.directory, options.dead_folder.empty() ? "dead-letters" : options.dead_folder);
  out.roll_bytes = options.roll_bytes;
  out.roll_interval_us = options.roll_interval_us;
  out.setting = "serve.files.directory";
  out.journal = options.journal;
  return out;
}

}  // namespace

class FilesWriter final : public JournaledWriter {
 public:
  explicit FilesWriter(FilesSink& sink) : JournaledWriter(sink), sink_(sink) {}
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(
        std::make_unique<FilesOutput>(sink_.options_.form, sink_.fields_));
  }

 private:
  Status write_rows(pipeline::SinkOutput& output, const TopicPartition& source, Offset start,
                    JournaledPartition& partition, PartitionState* next) override {
    TM_ASSIGN(next->rows, write_chain(static_cast<FilesPartition&>(partition).rows, start,
                                      static_cast<FilesOutput&>(output).lines(source)));
    return {};
  }
  FilesSink& sink_;
};

FilesSink::FilesSink(FileSystem& files, Clock& clock, FilesSinkOptions options)
    : JournaledSink(files, clock, journaled(options)), options_(std::move(options)) {}

pipeline::SinkTraits FilesSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "files in " + options_.directory;
  traits.preferred_rows = 50'000;
  traits.visibility_delay_us = options_.roll_interval_us;
  return traits;
}

pipeline::SinkNeeds FilesSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.added_members = options_.form == JsonForm::kSplice;
  needs.all_columns = options_.form == JsonForm::kRebuild;
  return needs;
}

Status FilesSink::prepare(const Schema& schema) {
  const std::string& dead = options_.dead_folder;
  if (dead.starts_with('.') || dead.find('/') != std::string::npos ||
      (!dead.empty() && std::isdigit(static_cast<unsigned char>(dead.back())) != 0)) {
    return user_error("dead_letters.name: " + dead +
                      " cannot be a folder beside the partitions' folders; choose a name without '/', not "
                      "beginning with '.' and not ending in a digit");
  }
  fields_ = schema.fields;
  return open_journal();
}

Result<std::unique_ptr<pipeline::SinkWriter>> FilesSink::open_writer(int) {
  TM_CHECK(journal_open(), "prepare() comes first");
  return std::unique_ptr<pipeline::SinkWriter>(std::make_unique<FilesWriter>(*this));
}

std::unique_ptr<JournaledPartition> FilesSink::make_partition(const TopicPartition& source,
                                                              const std::string& dead_directory) {
  return std::make_unique<FilesPartition>(files_, join_path(options_.directory, folder_name(source)),
                                          dead_directory);
}

}  // namespace tidemill::serve
