// Upkeep of a Delta table in the background: merges small files, and removes files that no version needs.
//
// A merge is a commit that adds one file and removes those whose rows it has, with dataChange false. It never
// conflicts with a commit that appends; where one of its files is gone meanwhile (another process merged it),
// or the table's columns have changed, it is given up. Readers of older versions still find the old files,
// until `retention` has passed.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "serve/delta_log.h"
#include "serve/delta_merges.h"
#include "serve/parquet_files.h"

namespace tidemill::serve {

struct DeltaUpkeepOptions {
  DeltaMergeRules merges;
  int64_t pause_us = 5'000'000;  // between two looks
  int64_t retention_us = 7ll * 24 * 3600 * 1'000'000;
  // Files that no version names are kept this long at least: the commit that names them may be yet to come.
  int64_t unnamed_us = 24ll * 3600 * 1'000'000;
  std::string codec = "snappy";
};

struct DeltaVacuum {
  // Versions that were the newest within this time stay whole.
  int64_t retention_us = 7ll * 24 * 3600 * 1'000'000;
  int64_t unnamed_us = 24ll * 3600 * 1'000'000;  // as above
  bool dry_run = false;                          // nothing is removed
  // Called with each file that is removed, or would be.
  std::function<void(const StoredObject&)> each;
};
struct DeltaVacuumed {
  size_t files = 0;
  int64_t bytes = 0;
};
// Removes the files of a table that no version within the retention needs: those that were taken out of it
// before, and those that no version names and that are older than that, too. Folders with a log of their own
// are other tables, and stay as they are. Beside writers and other vacuums.
Result<DeltaVacuumed> vacuum_delta(DeltaLog& log, Clock& clock, const DeltaVacuum& vacuum);

struct DeltaMerged {
  size_t files = 0;  // that became
  size_t into = 0;   // so many
};

class DeltaUpkeep {
 public:
  // All must outlive it.
  DeltaUpkeep(DeltaLog& log, std::shared_ptr<duck::Database> database, Clock& clock, Random& random,
              DeltaUpkeepOptions options);
  ~DeltaUpkeep();
  DeltaUpkeep(const DeltaUpkeep&) = delete;
  DeltaUpkeep& operator=(const DeltaUpkeep&) = delete;
  void start();  // the thread

  // One merge, where there is one to make; whether there was. Files that could not be merged are left alone
  // for a minute of the thread's looks, so that others are merged meanwhile.
  Result<bool> merge();
  // One merge after another until of the files that are there now one at most is small in each partition;
  // what others add meanwhile is left alone. Not while the thread runs.
  Result<DeltaMerged> merge_all();
  // With its options. Returns how many.
  Result<size_t> vacuum();

 private:
  void run();
  // Files that became one, and its path; none: nothing is worth it, or, `again`, somebody was first.
  struct Merge {
    std::vector<DeltaAdd> files;
    std::string path;
    bool again = false;
  };
  Result<Merge> merge_by(const DeltaMergeRules& rules, const std::set<std::string>* only);
  Result<ParquetFile> write_merged(const std::vector<DeltaAdd>& files, const DeltaMetaData& meta_data);

  DeltaLog& log_;
  const std::shared_ptr<duck::Database> database_;
  Clock& clock_;
  Random& random_;
  const DeltaUpkeepOptions options_;
  std::set<std::string> failed_;  // paths of files that could not be merged; of whoever merges
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace tidemill::serve
