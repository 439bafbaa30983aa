// Opens what a request names.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "verify/rows.h"
#include "verify/segment_reader.h"
#include "verify/verify.h"

namespace tidemill::verify {

// One connection to DuckDB and one snapshot of the database for everything that is read.
class DuckSession {
 public:
  // Reading rows fails with stopped() once `stop` says so.
  static Result<std::shared_ptr<DuckSession>> open(const DuckTable& table, std::function<bool()> stop);
  ~DuckSession();
  duck::Connection& connection() { return *connection_; }
  Status go_on() const;

 private:
  std::function<bool()> stop_;
  std::shared_ptr<duck::Database> database_;
  std::unique_ptr<duck::Connection> connection_;
};

// `fields`: what the rows give, in this order.
Result<std::unique_ptr<RowStore>> open_duck_rows(std::shared_ptr<DuckSession> session, const DuckTable& table,
                                                 const StoreColumns& columns,
                                                 const std::vector<FieldSpec>& fields);
// The table's rows and its dead letters as views of a database in memory, as they are now.
Result<DuckTable> open_delta(const DeltaTable& table);
// The same of Parquet files; dead letters are not in it.
Result<DuckTable> open_parquet(FileSystem& files, const ParquetFolder& folder);
inline constexpr const char* kDeltaRows = "delta_rows";
inline constexpr const char* kDeltaDeadLetters = "delta_dead_letters";

// One connection to PostgreSQL and one snapshot of the database for everything that is read.
class PostgresSession;
Result<std::shared_ptr<PostgresSession>> open_postgres(const PostgresTable& table,
                                                       std::function<bool()> stop);
Result<std::unique_ptr<RowStore>> open_postgres_rows(std::shared_ptr<PostgresSession> session,
                                                     const StoreColumns& columns,
                                                     const std::vector<FieldSpec>& fields);
// Null where there is no such table.
Result<std::unique_ptr<DeadLetterStore>> open_postgres_dead_letters(std::shared_ptr<PostgresSession> session);

// `projected`: names of the fields that the records have; empty: all.
Result<std::unique_ptr<RowStore>> open_topic_rows(FileSystem& files, const TopicFiles& topic,
                                                  const StoreColumns& columns,
                                                  const std::vector<std::string>& added,
                                                  const std::vector<FieldSpec>& fields,
                                                  const std::vector<std::string>& projected);
// Whole files and what is committed of those that are still open.
Result<std::unique_ptr<RowStore>> open_file_rows(FileSystem& files, const FilesFolder& folder,
                                                 const StoreColumns& columns,
                                                 const std::vector<std::string>& added,
                                                 const std::vector<FieldSpec>& fields,
                                                 const std::vector<std::string>& projected);
Result<std::unique_ptr<DeadLetterStore>> open_file_dead_letters(FileSystem& files, const FilesFolder& folder);
// Null where there is no such table.
Result<std::unique_ptr<DeadLetterStore>> open_duck_dead_letters(std::shared_ptr<DuckSession> session,
                                                                const std::string& table);
Result<std::unique_ptr<DeadLetterStore>> open_topic_dead_letters(FileSystem& files, const TopicFiles& topic);
// The dead letters of several stores, one after another; of none: there are no dead letters.
std::unique_ptr<DeadLetterStore> join_dead_letters(std::vector<std::unique_ptr<DeadLetterStore>> stores);

// The partitions of a topic, scanned. A partition whose folder is missing is an error.
struct TopicPartitions {
  std::vector<PartitionSpan> spans;
  std::vector<std::unique_ptr<PartitionFiles>> files;
};
Result<TopicPartitions> open_topic(FileSystem& files, const TopicFiles& topic);

}  // namespace tidemill::verify
