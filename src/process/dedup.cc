#include "process/dedup.h"

#include "process/dead_letter.h"
#include "process/field_bytes.h"
#include "process/horizon_store.h"
#include "process/in_place.h"
#include "process/lru_store.h"
#include "process/schema_fields.h"

namespace tidemill::process {
namespace {

constexpr int64_t kDefaultLast = 100;
constexpr size_t kMostShownKey = 80;
// Records under a wrong key before they tell of a wrongly keyed topic.
constexpr uint64_t kFewWrongKeys = 10;
// 17 bytes an id of a run, of which there are 4096, and a few for lengths and times.
static_assert(TouchWriter::kDeltaBytes + kMostTouchBytes + (96u << 10) <= pipeline::kMostDeltaBytes);
// How far ahead of the touch the index and the record are fetched: far enough for a cache miss, near enough
// to still be there.
constexpr size_t kIndexAhead = 24, kRecordAhead = 12;

// What both kinds of horizon share; bound, immutable.
struct DedupPlan {
  std::string id_field;
  std::string key_field;
  bool check_key = true;
  uint32_t last = 0;        // 0: by time
  uint64_t horizon_ms = 0;  // by time
};

std::string show(const Record& record) {
  if (!record.has_key) return "has no key";
  bool cut = record.key.size() > kMostShownKey;
  return "has the key \"" + std::string(record.key.substr(0, kMostShownKey)) + (cut ? "…\"" : "\"");
}

Status apply_to(LruStore& store, DeltaKind kind, std::string_view rest) {
  switch (kind) {
    case DeltaKind::kTouches:
      return read_touches(rest, false, [&](const Touch& touch) { store.touch(touch); });
    case DeltaKind::kRecords:
      return store.load(rest);
    case DeltaKind::kTimedTouches:
      return user_error(
          "the state was kept by time, the solution now says `last`; restore `horizon`, or start a new run");
  }
  return internal_error("a dedup delta of an unknown kind", Code::kCorrupt);
}

Status apply_to(HorizonStore& store, DeltaKind kind, std::string_view rest) {
  switch (kind) {
    case DeltaKind::kTimedTouches:
      return read_touches(rest, true, [&](const Touch& touch) { store.touch(touch); });
    case DeltaKind::kTouches:
    case DeltaKind::kRecords:
      return user_error(
          "the state was kept by count, the solution now says `horizon`; restore `last`, or start a new run");
  }
  return internal_error("a dedup delta of an unknown kind", Code::kCorrupt);
}

void snapshot_of(const LruStore& store, pipeline::DeltaWriter& deltas) {
  const char head = static_cast<char>(DeltaKind::kRecords);
  store.snapshot({&head, 1}, TouchWriter::kDeltaBytes, [&](std::string_view piece) { deltas.add(piece); });
}
void snapshot_of(const HorizonStore& store, pipeline::DeltaWriter& deltas) {
  store.snapshot(deltas);
}

template <class Store>
class DedupInstance final : public InPlaceInstance {
 public:
  template <class Limit>
  DedupInstance(const DedupPlan& plan, Limit limit, bool timed)
      : plan_(plan), store_(limit), writer_(std::make_unique<TouchWriter>(timed)) {}

  Status apply(std::string_view delta) override {
    if (delta.empty()) return internal_error("an empty dedup delta", Code::kCorrupt);
    return apply_to(store_, static_cast<DeltaKind>(delta.front()), delta.substr(1));
  }
  void snapshot(pipeline::DeltaWriter& deltas) override { snapshot_of(store_, deltas); }
  size_t state_bytes() const override { return store_.memory_bytes(); }

 private:
  Status transform(Batch& batch, pipeline::OperatorContext& context) override {
    TM_TRY(collect(batch));
    decide(batch, *context.deltas);
    touches_.clear();
    rows_.clear();
    return {};
  }

  // The touches of the selected rows, in order. Nothing is changed before all keys are checked.
  Status collect(Batch& batch) {
    const Column* ids = batch.column(plan_.id_field);
    const Column* keys = batch.column(plan_.key_field);
    TM_CHECK(ids != nullptr && keys != nullptr, "the fields that it needs are decoded");
    id_bytes_.start(*ids);
    key_bytes_.start(*keys);
    const std::vector<Record>& records = batch.records();
    for (uint32_t row : batch.selected) {
      const Record& record = records[row];
      bool has_id = ids->valid(row);
      if (!has_id || !keys->valid(row)) {
        add_dead_letter(batch, row,
                        (has_id ? plan_.key_field : plan_.id_field) + ": NULL, and dedup needs it");
        continue;
      }
      std::string_view key = key_bytes_.at(row);
      if (plan_.check_key) {
        const bool right = record.has_key && record.key == key;
        ++(right ? right_keys_ : wrong_keys_);
        if (!right && wrong_keys_ > kFewWrongKeys && wrong_keys_ > right_keys_)
          return wrong_topic(batch, record, key);
        if (!right) {
          add_dead_letter(batch, row, wrong_key(record, key) + "; a copy may lie in another partition");
          continue;
        }
      }
      std::string_view id = id_bytes_.at(row);
      if (key.size() + id.size() > kMostTouchBytes) {
        add_dead_letter(batch, row,
                        plan_.key_field + " and " + plan_.id_field + " have " +
                            std::to_string(key.size() + id.size()) + " bytes; dedup remembers at most " +
                            std::to_string(kMostTouchBytes));
        continue;
      }
      bool same_key = !touches_.empty() && touches_.back().key == key;
      uint64_t hash = same_key ? touches_.back().key_hash : hash_key(key);
      touches_.push_back(Touch{key, hash, Id(id), record.timestamp_ms});
      rows_.push_back(row);
    }
    return {};
  }

  void decide(Batch& batch, pipeline::DeltaWriter& deltas) {
    batch.selected.clear();
    size_t count = touches_.size();
    for (size_t i = 0; i < std::min(kIndexAhead, count); ++i) store_.prefetch_index(touches_[i]);
    for (size_t i = 0; i < std::min(kRecordAhead, count); ++i) store_.prefetch_record(touches_[i]);
    for (size_t i = 0; i < count; ++i) {
      if (i + kIndexAhead < count) store_.prefetch_index(touches_[i + kIndexAhead]);
      if (i + kRecordAhead < count) store_.prefetch_record(touches_[i + kRecordAhead]);
      Touched touched = store_.touch(touches_[i]);
      if (touched != Touched::kUnchanged) writer_->add(touches_[i], deltas);
      if (touched == Touched::kNew) {
        batch.selected.push_back(rows_[i]);
      } else {
        ++batch.dropped;
      }
    }
    writer_->finish(deltas);
  }

  std::string wrong_key(const Record& record, std::string_view key) const {
    return "the record " + show(record) + ", its " + plan_.key_field + " is \"" +
           std::string(key.substr(0, kMostShownKey)) + "\"";
  }
  Status wrong_topic(const Batch& batch, const Record& record, std::string_view key) const {
    return user_error(
        "topic " + batch.source.topic + ", partition " + std::to_string(batch.source.partition.value()) +
        ", offset " + std::to_string(record.offset.value()) + ": " + wrong_key(record, key) +
        ", as with most records before it: the topic is not partitioned by " + plan_.key_field +
        ", so copies of an event may lie in different partitions; declare `rekey: " + plan_.key_field +
        "` before dedup, which sends the events through a topic of their own");
  }

  const DedupPlan& plan_;
  Store store_;
  std::unique_ptr<TouchWriter> writer_;
  FieldBytes id_bytes_;
  FieldBytes key_bytes_;
  uint64_t right_keys_ = 0, wrong_keys_ = 0;  // since it was opened
  std::vector<Touch> touches_;                // of the batch at hand
  std::vector<uint32_t> rows_;                // their rows
};

class Dedup final : public pipeline::Operator {
 public:
  explicit Dedup(DedupPlan plan) : plan_(std::move(plan)) {}

  std::string name() const override { return "dedup"; }
  Status bind(Schema* schema) override {
    TM_TRY(bind_field(*schema, "id", schema->id_field, &plan_.id_field));
    TM_TRY(bind_field(*schema, "key", schema->key_field, &plan_.key_field));
    const Field* key = &schema->fields[static_cast<size_t>(schema->find(plan_.key_field))];
    if (!plan_.check_key || key->type != Type::kTimestamp) return {};
    return user_error("key: field " + plan_.key_field +
                      " is a TIMESTAMP, which can be written in several ways, so that a topic's keys do not "
                      "partition it by that time; declare `rekey: " +
                      plan_.key_field + "` before dedup");
  }
  std::vector<std::string> needs() const override { return {plan_.id_field, plan_.key_field}; }
  std::string key_field() const override { return plan_.key_field; }
  bool stateful() const override { return true; }
  std::unique_ptr<pipeline::OperatorInstance> open(const TopicPartition&) override {
    if (plan_.last == 0) return std::make_unique<DedupInstance<HorizonStore>>(plan_, plan_.horizon_ms, true);
    return std::make_unique<DedupInstance<LruStore>>(plan_, plan_.last, false);
  }
  std::string describe() const override {
    std::string within =
        plan_.last == 0 ? std::to_string(plan_.horizon_ms) + " ms" : std::to_string(plan_.last);
    return "dedup " + plan_.id_field + " within " + plan_.key_field + ", last " + within;
  }

 private:
  static Status bind_field(const Schema& schema, const std::string& option, const std::string& role,
                           std::string* name) {
    if (name->empty()) *name = role;
    if (name->empty())
      return user_error(option + ": the schema names no " + option + " field; name one here");
    TM_ASSIGN(const Field* field, find_field(schema, *name, option));
    if (FieldBytes::can_hold(field->type)) return {};
    return user_error(option + ": field " + *name + " is a " + std::string(type_name(field->type)) +
                      "; dedup takes VARCHAR, BIGINT, INTEGER or TIMESTAMP");
  }

  DedupPlan plan_;
};

}  // namespace

Result<std::unique_ptr<pipeline::Operator>> make_dedup(DedupOptions options) {
  if (options.last && options.horizon_us)
    return user_error("dedup remembers by `last` or by `horizon`, not both; remove one");
  DedupPlan plan{std::move(options.id), std::move(options.key), options.check_key, 0, 0};
  if (options.horizon_us) {
    if (*options.horizon_us < 1000)
      return user_error("horizon: shorter than 1 ms, the resolution of the log's times");
    plan.horizon_ms = static_cast<uint64_t>(*options.horizon_us) / 1000;
  } else {
    int64_t last = options.last.value_or(kDefaultLast);
    if (last < 1 || last > LruStore::kMaxLast) {
      return user_error("last: " + std::to_string(last) + " is outside 1 … " +
                        std::to_string(LruStore::kMaxLast));
    }
    plan.last = static_cast<uint32_t>(last);
  }
  return std::unique_ptr<pipeline::Operator>(std::make_unique<Dedup>(std::move(plan)));
}

}  // namespace tidemill::process
