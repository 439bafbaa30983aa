// Client libraries that are loaded when a solution first needs them, each as a table of its functions.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/result.h"

namespace tidemill {

// Finds a library's functions by their names.
class SymbolBinder {
 public:
  explicit SymbolBinder(void* library) : library_(library) {}
  template <class Function>
  void operator()(const char* symbol, Function& function) {
    function = reinterpret_cast<Function>(find(symbol));
  }
  // The first that was not found; empty: none.
  const std::string& missing() const { return missing_; }

 private:
  void* find(const char* symbol);

  void* library_;
  std::string missing_;
};

// Where a library is looked for, in order. What the environment variable names is then the only place; else
// beside the program, in ../lib/tidemill, at `found` (where CMake found it; empty: nowhere) and in the
// system.
std::vector<std::string> library_places(const char* variable, const std::string& file,
                                        const std::string& found = {});

// Loads the first that `fill` accepts, for as long as the process lives: its threads may outlive who uses it.
// `fill` returns what is wrong, or an empty text. nullopt: loaded; else all places with what was wrong there,
// one to a line.
std::optional<std::string> load_library(const std::vector<std::string>& places,
                                        const std::function<std::string(SymbolBinder&)>& fill);

// A table that is filled once. Thread-safe.
template <class Table>
class LibraryTable {
 public:
  // Later calls give what the first success gave, and try again after a failure.
  Result<const Table*> load(const std::vector<std::string>& places,
                            const std::function<std::string(SymbolBinder&, Table&)>& fill,
                            const std::function<Error(const std::string& tried)>& failed) {
    if (const Table* table = loaded_.load(std::memory_order_acquire)) return table;
    std::lock_guard lock(mutex_);
    if (const Table* table = loaded_.load(std::memory_order_acquire)) return table;
    auto tried = load_library(places, [&](SymbolBinder& bind) { return fill(bind, table_); });
    if (tried) return failed(*tried);
    loaded_.store(&table_, std::memory_order_release);
    return &table_;
  }
  // Precondition: loaded.
  const Table& get() const {
    const Table* table = loaded_.load(std::memory_order_acquire);
    TM_CHECK(table != nullptr, "a client library used before it was loaded");
    return *table;
  }

 private:
  std::mutex mutex_;
  Table table_;
  std::atomic<const Table*> loaded_{nullptr};
};

}  // namespace tidemill
