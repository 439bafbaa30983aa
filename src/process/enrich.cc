#include "process/enrich.h"

#include <set>

#include "event/timestamp.h"
#include "process/added_column.h"
#include "process/in_place.h"
#include "process/schema_fields.h"

namespace tidemill::process {
namespace {

const std::vector<std::string>& kind_names() {
  static const std::vector<std::string> names = {"enqueuedAt", "processedAt", "partition", "offset"};
  return names;
}

Type type_of(EnrichKind kind) {
  switch (kind) {
    case EnrichKind::kEnqueuedAt:
    case EnrichKind::kProcessedAt:
      return Type::kTimestamp;
    case EnrichKind::kPartition:
      return Type::kInteger;
    case EnrichKind::kOffset:
      return Type::kBigint;
  }
  TM_CHECK(false, "a kind of the enumeration");
  return Type::kBigint;
}

void append_timestamp(Column* column, int64_t timestamp_ms) {
  if (const auto time_us = record_time_us(timestamp_ms)) {
    column->append_int64(*time_us);
  } else {
    column->append_null();
  }
}

class EnrichInstance final : public InPlaceInstance {
 public:
  explicit EnrichInstance(std::vector<EnrichField> fields) : fields_(std::move(fields)) {}

 private:
  Status transform(Batch& batch, pipeline::OperatorContext& context) override {
    for (const EnrichField& field : fields_) {
      Column column(field.name, type_of(field.kind));
      column.reserve(batch.size());
      switch (field.kind) {
        case EnrichKind::kEnqueuedAt:
          for (const Record& record : batch.records()) append_timestamp(&column, record.timestamp_ms);
          break;
        case EnrichKind::kProcessedAt:
          for (size_t i = 0; i < batch.size(); ++i) column.append_int64(context.now_us);
          break;
        case EnrichKind::kPartition:
          for (size_t i = 0; i < batch.size(); ++i) column.append_int64(batch.source.partition.value());
          break;
        case EnrichKind::kOffset:
          for (const Record& record : batch.records()) column.append_int64(record.offset.value());
          break;
      }
      add_column(batch, std::move(column));
    }
    return {};
  }

  std::vector<EnrichField> fields_;
};

class Enrich final : public pipeline::Operator {
 public:
  explicit Enrich(std::vector<EnrichField> fields) : fields_(std::move(fields)) {}

  std::string name() const override { return "enrich"; }
  Status bind(Schema* schema) override {
    for (const EnrichField& field : fields_) {
      set_field(schema, field.name, type_of(field.kind), field.kind == EnrichKind::kEnqueuedAt);
    }
    return {};
  }
  std::vector<std::string> needs() const override { return {}; }
  std::vector<std::string> adds() const override {
    std::vector<std::string> names;
    for (const EnrichField& field : fields_) names.push_back(field.name);
    return names;
  }
  std::unique_ptr<pipeline::OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<EnrichInstance>(fields_);
  }
  std::string describe() const override {
    std::string text = "enrich";
    for (size_t i = 0; i < fields_.size(); ++i) {
      const std::string& kind = kind_names()[static_cast<size_t>(fields_[i].kind)];
      text += (i == 0 ? " " : ", ") + fields_[i].name;
      if (fields_[i].name != kind) text += " (" + kind + ")";
    }
    return text;
  }

 private:
  std::vector<EnrichField> fields_;
};

}  // namespace

Result<EnrichKind> parse_enrich_kind(std::string_view name) {
  const auto& names = kind_names();
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<EnrichKind>(i);
  }
  return user_error("enrich cannot add " + std::string(name) + suggest_name(name, names));
}

Result<std::unique_ptr<pipeline::Operator>> make_enrich(std::vector<EnrichField> fields) {
  if (fields.empty())
    return user_error("enrich adds nothing; name at least one of enqueuedAt, processedAt, partition, offset");
  std::set<std::string> names;
  for (EnrichField& field : fields) {
    if (field.name.empty()) field.name = kind_names()[static_cast<size_t>(field.kind)];
    if (!names.insert(field.name).second)
      return user_error("enrich adds " + field.name + " twice; give one another name");
  }
  return std::unique_ptr<pipeline::Operator>(std::make_unique<Enrich>(std::move(fields)));
}

}  // namespace tidemill::process
