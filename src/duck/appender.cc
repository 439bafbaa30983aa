#include <fmt/format.h>

#include <utility>

#include "duck/connection.h"
#include "duck/error.h"

namespace tidemill::duck {
namespace {

class AppenderImpl final : public Appender {
 public:
  AppenderImpl(std::shared_ptr<ConnectionHandle> connection, std::string table)
      : connection_(std::move(connection)), table_(std::move(table)) {}

  ~AppenderImpl() override {
    if (appender_ == nullptr) return;
    // Destroying an appender flushes it; what the caller did not flush must not reach the table.
    static_cast<void>(api().appender_clear(appender_));
    static_cast<void>(api().appender_destroy(&appender_));
  }

  Status start() {
    if (api().appender_create(connection_->connection, nullptr, table_.c_str(), &appender_) !=
        DuckDBSuccess) {
      return failure();
    }
    std::vector<OwnedType> types;
    std::vector<duckdb_logical_type> handles;
    for (idx_t i = 0; i < api().appender_column_count(appender_); ++i) {
      types.emplace_back(api().appender_column_type(appender_, i));
      handles.push_back(types.back().get());
    }
    chunk_ = OwnedChunk(api().create_data_chunk(handles.data(), handles.size()));
    if (!chunk_) return internal_error(fmt::format("table {}: cannot make a chunk of its columns", table_));
    return ok_status();
  }

  _duckdb_data_chunk* chunk() override { return chunk_.get(); }
  size_t vector_size() const override { return api().vector_size(); }

  Status append_chunk() override {
    bool done = api().append_data_chunk(appender_, chunk_.get()) == DuckDBSuccess;
    api().data_chunk_reset(chunk_.get());
    return done ? ok_status() : failure();
  }

  Status flush() override {
    return api().appender_flush(appender_) == DuckDBSuccess ? ok_status() : failure();
  }

 private:
  Status failure() {
    OwnedErrorData data(appender_ == nullptr ? nullptr : api().appender_error_data(appender_));
    const char* message = data ? api().error_data_message(data.get()) : nullptr;
    return error_of(text_or(message, "Catalog Error: cannot be appended to"))
        .within(fmt::format("table {}", table_));
  }

  std::shared_ptr<ConnectionHandle> connection_;
  std::string table_;
  duckdb_appender appender_ = nullptr;
  OwnedChunk chunk_;
};

}  // namespace

Result<std::unique_ptr<Appender>> make_appender(std::shared_ptr<ConnectionHandle> connection,
                                                const std::string& table) {
  auto appender = std::make_unique<AppenderImpl>(std::move(connection), table);
  TM_TRY(appender->start());
  return std::unique_ptr<Appender>(std::move(appender));
}

}  // namespace tidemill::duck
