// Runs a stranger's SQL beside a pipeline that uses the same database, so that it can neither change the
// store nor hold the pipeline up (design point 13).
//
// - One statement that reads, in a read-only transaction, on a connection of its own; the database is locked
//   down (duck::Database::lock_down), and functions that act on it or on its file are refused.
// - When its time is over, its asker has left, or queries hold more memory than they may, DuckDB is told to
//   stop it. What does not stop within a moment (one function call on a huge value) is left to end by itself:
//   its asker gets the answer, and its place counts until it has ended.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "duck/duck.h"
#include "serve/object_store.h"
#include "solution/socket.h"

namespace tidemill::solution {

// How many queries run at once; those beyond wait. Thread-safe.
class QueryGate {
 public:
  static constexpr int kPlaces = 4;
  static std::shared_ptr<QueryGate> make();
  virtual ~QueryGate() = default;
  // Waits for a place until `until` says true; false: there was none.
  virtual bool enter(const std::function<bool()>& until) = 0;
  virtual void leave() = 0;
  // It, for whoever may outlive its owner.
  virtual std::shared_ptr<QueryGate> share() = 0;
};

struct QueryStore {
  std::vector<serve::LocalFiles> copies;  // of files elsewhere, which the database reads
  std::shared_ptr<duck::Database> database;
  std::string prepare;  // a statement for each connection; empty: none
  std::string
      own_file;  // of the database: no query opens it as a file, since closing it would give up its lock
};

struct QueryLimits {
  int64_t timeout_us = 0;
  int64_t memory_bytes = 0;  // of all queries of the database
};

// Hands the result's rows to `reply`; on a thread of the query's own.
using QueryPrint = std::function<Status(duck::Rows& rows, const Reply& reply)>;

// Errors: kInvalid for what is no reading statement; those of DuckDB; kStopped with the limit that was
// reached.
Status run_query(QueryGate& gate, QueryStore store, const QueryLimits& limits, const std::string& sql,
                 QueryPrint print, const Reply& reply, const std::atomic<bool>& gone);

// Queries that their askers have given up, and that have not ended yet.
int abandoned_queries();

}  // namespace tidemill::solution
