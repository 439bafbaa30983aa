// The events that were ever sent, each with a serial number that stands in its bytes; and what became of
// each, as far as answers told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "scenario.h"

namespace tidemill::sim {

struct Event {
  std::string key;
  std::string value;
  int partition = 0;
  std::string id;  // for dedup; empty where the event becomes a dead letter
  int64_t transaction = -1;
  int64_t offset = -1;    // where it stands, once that is known
  bool in_doubt = false;  // sent, not answered: it may be there
};

class Events {
 public:
  explicit Events(const Scenario& scenario) : scenario_(scenario) {}

  // A new event for the partition: of one of its devices, with an id that may have been there before, or
  // one that cannot be processed. Returns its serial number.
  int64_t make(SeededRandom& chance, int partition);
  Event& at(int64_t serial) { return events_[static_cast<size_t>(serial)]; }
  const Event& at(int64_t serial) const { return events_[static_cast<size_t>(serial)]; }
  int64_t count() const { return static_cast<int64_t>(events_.size()); }
  // The serial number in an event's bytes; nullopt: these were never sent.
  std::optional<int64_t> serial_of(std::string_view value) const;
  // What a sink stores of the event.
  std::string row_of(int64_t serial) const;

 private:
  const Scenario& scenario_;
  std::vector<Event> events_;
};

}  // namespace tidemill::sim
