#include "events.h"

#include <fmt/format.h>

#include <charconv>

namespace tidemill::sim {

int64_t Events::make(SeededRandom& chance, int partition) {
  int64_t serial = count();
  Event event;
  event.partition = partition;
  // A device stays in one partition: dedup is exact per partition.
  uint64_t device = chance.below(static_cast<uint64_t>(scenario_.devices));
  event.key = fmt::format("p{}d{}", partition, device);
  std::string id = fmt::format("id{}", chance.below(scenario_.ids));
  std::string pad(chance.below(chance.below(10) == 0 ? 400 : 60), '.');
  switch (chance.below(25)) {
    case 0:
      event.value = fmt::format(R"(not JSON "n":{} {})", serial, pad);
      break;
    case 1:
      event.value = fmt::format(R"({{"n":{},"deviceId":"{}","pad":"{}"}})", serial, event.key, pad);
      break;
    default:
      event.id = id;
      event.value =
          fmt::format(R"({{"n":{},"deviceId":"{}","id":"{}","pad":"{}"}})", serial, event.key, id, pad);
  }
  events_.push_back(std::move(event));
  return serial;
}

std::optional<int64_t> Events::serial_of(std::string_view value) const {
  size_t at = value.find("n\":");
  if (at == std::string_view::npos) at = value.find("n\\\":");  // inside a JSON string
  if (at == std::string_view::npos) return std::nullopt;
  at = value.find(':', at) + 1;
  int64_t serial = -1;
  auto parsed = std::from_chars(value.data() + at, value.data() + value.size(), serial);
  if (parsed.ec != std::errc{} || serial < 0 || serial >= count()) return std::nullopt;
  return serial;
}

std::string Events::row_of(int64_t serial) const {
  const Event& event = at(serial);
  if (!scenario_.enrich) return event.value;
  return fmt::format(R"({},"partition":{},"offset":{}}})",
                     std::string_view(event.value).substr(0, event.value.size() - 1), event.partition,
                     event.offset);
}

}  // namespace tidemill::sim
