// The reference's own check, with its formulas and limits as they are: best minutes, gaps instead of
// losses, and no look at what was sent (docs/verify.md, "Reference rules").
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "verify/run.h"

namespace tidemill::verify {
namespace {

constexpr int64_t kMinuteUs = 60'000'000;

struct Minute {
  uint64_t events = 0;
  double latency_sum_s = 0;
  uint64_t with_latency = 0;
};

int64_t minute_of(int64_t us) {
  return us / kMinuteUs - (us % kMinuteUs < 0 ? 1 : 0);
}

struct Item {
  Sum128 device;
  int64_t stored_us;
  int64_t sequence;
};

// Rows of one device, in any order.
void judge_device(std::vector<Item>::iterator begin, std::vector<Item>::iterator end, ReferenceResult* out) {
  std::sort(begin, end, [](const Item& a, const Item& b) {
    return std::tie(a.stored_us, a.sequence) < std::tie(b.stored_us, b.sequence);
  });
  for (auto at = begin; at != end && at + 1 != end; ++at) {
    if ((at + 1)->sequence - at->sequence > 1) ++out->out_of_sequence;
  }
  std::sort(begin, end, [](const Item& a, const Item& b) { return a.sequence < b.sequence; });
  auto rows = static_cast<double>(end - begin);
  const Item* before = nullptr;
  for (auto at = begin; at != end; ++at) {
    double ratio = static_cast<double>(at - begin + 1) / rows;
    if (ratio < 0.1 || ratio > 0.9) continue;
    if (before != nullptr && at->sequence - before->sequence > 1) ++out->missing;
    before = &*at;
  }
}

class ReferenceRules {
 public:
  explicit ReferenceRules(Run& run) : run_(run) {}

  Status go() {
    TM_TRY(find_fields());
    TM_TRY(read_minutes());
    // Ids and devices are taken class by class, so that sorting them fits into the memory.
    uint64_t bytes = rows_ * (sizeof(Item) + sizeof(Sum128));
    uint64_t memory = std::max<uint64_t>(1, run_.request.memory_bytes);
    uint64_t classes = std::max<uint64_t>(1, (bytes + memory - 1) / memory);
    for (uint64_t c = 0; c < classes; ++c) TM_TRY(read_class(c, classes));
    assert_limits();
    return ok_status();
  }

 private:
  Status find_fields() {
    for (size_t n = 0; n < run_.fields.size(); ++n) {
      const std::string& name = run_.fields[n].name;
      if (name == "eventId") id_ = n;
      if (name == "deviceId") device_ = n;
      if (name == "deviceSequenceNumber") sequence_ = n;
    }
    const StoreShape& shape = run_.rows->shape();
    for (size_t field : {id_, device_, sequence_}) {
      if (field == kNone || shape.has_field[field] == 0) {
        return user_error(
            "the reference's rules need eventId, deviceId and deviceSequenceNumber in the store");
      }
    }
    return ok_status();
  }
  Status each(const std::function<void(const StoredRow&)>& give) {
    TM_ASSIGN(auto rows, run_.rows->rows(true));
    StoredRow row;
    for (;;) {
      TM_ASSIGN(bool more, rows->next(&row));
      if (!more) return ok_status();
      size_t n = run_.input ? run_.input->find(row.partition) : Input::kNone;
      if (n != Input::kNone && row.offset && *row.offset < run_.input->span(n).start)
        continue;  // of an earlier run
      give(row);
    }
  }
  static std::string key(const FieldValue& value) { return display(value); }

  Status read_minutes() {
    run_.progress("reading the store", 0);
    return each([&](const StoredRow& row) {
      ++rows_;
      run_.measure(row, std::nullopt, row.enqueued_us);
      if (!row.stored_us) return;
      Minute& minute = minutes_[minute_of(*row.stored_us)];
      if (row.fields[id_].kind != FieldValue::Kind::kNull) ++minute.events;
      if (!row.enqueued_us) return;
      minute.latency_sum_s += static_cast<double>(*row.stored_us - *row.enqueued_us) / 1e6;
      ++minute.with_latency;
    });
  }

  Status read_class(uint64_t c, uint64_t classes) {
    run_.progress("comparing", static_cast<double>(c) / static_cast<double>(classes));
    std::vector<Sum128> ids;
    std::vector<Item> items;
    auto in_class = [&](Sum128 hash) { return static_cast<uint64_t>(hash >> 64) % classes == c; };
    TM_TRY(each([&](const StoredRow& row) {
      const FieldValue& id = row.fields[id_];
      if (id.kind == FieldValue::Kind::kText) {
        Sum128 hash = content_hash(id.text);
        if (in_class(hash)) ids.push_back(hash);
      }
      const FieldValue& device = row.fields[device_];
      Sum128 hash = device.kind == FieldValue::Kind::kText ? content_hash(device.text) : 0;
      if (in_class(hash) && row.fields[sequence_].kind == FieldValue::Kind::kInteger) {
        items.push_back({hash, row.stored_us.value_or(0), row.fields[sequence_].integer});
      }
    }));
    std::sort(ids.begin(), ids.end());
    for (size_t n = 0; n < ids.size();) {
      size_t end = n;
      while (end < ids.size() && ids[end] == ids[n]) ++end;
      if (end - n > 1) ++result_.duplicates;
      n = end;
    }
    std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.device < b.device; });
    for (auto at = items.begin(); at != items.end();) {
      auto end = std::find_if(at, items.end(), [&](const Item& item) { return item.device != at->device; });
      judge_device(at, end, &result_);
      at = end;
    }
    return ok_status();
  }

  static std::string number(double value) {
    char buffer[40];
    snprintf(buffer, sizeof buffer, "%.6g", value);
    return buffer;
  }
  void fail(const std::string& line) { result_.failures.push_back(line); }
  // Above `limit` fails; 0/0 compares false, as it does in the original.
  void at_most(const char* what, uint64_t count, std::optional<double> limit) {
    if (!limit) return;
    double ratio = static_cast<double>(count) / static_cast<double>(rows_);
    if (ratio > *limit) fail(std::string(what) + " is " + number(ratio) + ", the limit " + number(*limit));
  }

  void assert_limits() {
    const ReferenceLimits& limits = run_.request.reference;
    for (const auto& [start, minute] : minutes_) {
      double rate = static_cast<double>(minute.events) / 60.0;
      result_.events_per_second = std::max(result_.events_per_second.value_or(0), rate);
      if (minute.with_latency == 0) continue;
      double latency = minute.latency_sum_s / static_cast<double>(minute.with_latency) * 1000.0;
      result_.latency_ms = std::min(result_.latency_ms.value_or(latency), latency);
    }
    if (limits.events_per_second && !(result_.events_per_second >= *limits.events_per_second)) {
      fail("events per second of the best minute are " + number(result_.events_per_second.value_or(0)) +
           ", the limit " + number(*limits.events_per_second));
    }
    if (limits.latency_ms && !(result_.latency_ms && *result_.latency_ms <= *limits.latency_ms)) {
      fail("mean latency of the best minute is " +
           (result_.latency_ms ? number(*result_.latency_ms) + " ms" : std::string("unknown")) +
           ", the limit " + number(*limits.latency_ms));
    }
    at_most("the fraction of duplicated ids", result_.duplicates, limits.duplicates);
    at_most("the fraction out of sequence", result_.out_of_sequence, limits.out_of_sequence);
    at_most("the fraction missing", result_.missing, 0.0);
    Verdict& verdict = run_.verdict;
    verdict.expected = verdict.stored = rows_;
    verdict.duplicated = result_.duplicates;
    verdict.out_of_order = result_.out_of_sequence;
    verdict.lost = result_.missing;
    verdict.why = result_.failures;
    verdict.reference = std::move(result_);
  }

  static constexpr size_t kNone = SIZE_MAX;
  Run& run_;
  size_t id_ = kNone, device_ = kNone, sequence_ = kNone;
  uint64_t rows_ = 0;
  std::map<int64_t, Minute> minutes_;
  ReferenceResult result_;
};

}  // namespace

Status apply_reference_rules(Run& run) {
  return ReferenceRules(run).go();
}

}  // namespace tidemill::verify
