#include "pipeline/testing/harness_events.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "event/json_splice.h"
#include "event/timestamp.h"

namespace tidemill::pipeline::testing {
namespace {

constexpr TimestampUs kStartUs = 1'700'000'000'000'000;

// Text that sinks get wrong: quotes, line breaks, two- to four-byte characters, NUL, the empty string, and
// lengths around the 12 bytes that DuckDB keeps inline.
std::string text_of(Offset offset) {
  static const std::string kTexts[] = {"",
                                       "plain",
                                       "twelve bytes",
                                       "thirteen byte",
                                       "it's \"quoted\" \\ and\nbroken\r\tup",
                                       "Grüße, 水車 🌊",
                                       std::string("nul\0inside", 10),
                                       std::string(300, 'x') + "; DROP TABLE events; --"};
  return kTexts[static_cast<size_t>(offset.value()) % std::size(kTexts)];
}
std::string any_of(Offset offset) {
  static const std::string kValues[] = {"[1,2,{\"x\":null}]", "\"a \\\"string\\\"\"", "3.25", "{}", "true"};
  return kValues[static_cast<size_t>(offset.value()) % std::size(kValues)];
}
double ratio_of(Offset offset) {
  return 1.0 / (1.0 + static_cast<double>(offset.value()));
}
bool null_at(Offset offset, int64_t every) {
  return offset.value() % every == 0;
}

std::string number(double value) {
  char buffer[32];
  auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

void fill_column(const Field& field, Partition partition, Offset offset, Column* column) {
  if (field.name == "id") {
    column->append_text(std::to_string(partition.value()) + "/" + std::to_string(offset.value()));
  } else if (field.name == "n") {
    column->append_int64(INT64_MAX - offset.value());
  } else if (field.name == "small") {
    null_at(offset, 3) ? column->append_null() : column->append_int64(-(offset.value() % 1000));
  } else if (field.name == "ratio") {
    null_at(offset, 5) ? column->append_null() : column->append_double(ratio_of(offset));
  } else if (field.name == "flag") {
    null_at(offset, 7) ? column->append_null() : column->append_bool(offset.value() % 2 == 0);
  } else if (field.name == "at") {
    column->append_int64(kStartUs + offset.value());
  } else if (field.name == "text") {
    null_at(offset, 9) ? column->append_null() : column->append_text(text_of(offset));
  } else if (field.name == "any") {
    null_at(offset, 4) ? column->append_null() : column->append_text(any_of(offset));
  } else if (field.name == "nested.a") {
    column->append_double(ratio_of(offset) * 100);
  } else if (field.name == "nested.deep.b") {
    null_at(offset, 6) ? column->append_null() : column->append_int64(offset.value() * 2);
  } else {
    TM_CHECK(field.name == "processedAt");
    column->append_int64(harness_processed_at(offset));
  }
}

}  // namespace

Schema harness_schema() {
  Schema schema;
  schema.name = "harness";
  auto add = [&](const char* name, Type type, bool nullable) {
    schema.fields.push_back({name, split_path(name), type, nullable});
  };
  add("id", Type::kVarchar, false);
  add("n", Type::kBigint, false);
  add("small", Type::kInteger, true);
  add("ratio", Type::kDouble, true);
  add("flag", Type::kBoolean, true);
  add("at", Type::kTimestamp, false);
  add("text", Type::kVarchar, true);
  add("any", Type::kJson, true);
  add("nested.a", Type::kDouble, true);
  add("nested.deep.b", Type::kBigint, true);
  add("processedAt", Type::kTimestamp, true);
  schema.id_field = "id";
  schema.sequence_field = "n";
  schema.time_field = "at";
  return schema;
}

Fate harness_fate(Offset offset) {
  if (offset.value() % 13 == 5) return Fate::kDead;
  if (offset.value() % 17 == 3) return Fate::kDropped;
  return Fate::kStored;
}

std::string harness_key(Offset offset) {
  return "key " + std::to_string(offset.value() % 10);
}
TimestampUs harness_processed_at(Offset offset) {
  return kStartUs + 1'000'000 + offset.value();
}
std::string harness_dead_reason(Offset offset) {
  return "n: not a \"number\": 'x" + std::to_string(offset.value()) + "'";
}
std::string harness_dead_value(Offset offset) {
  return "{\"id\": broken\n\xff\xfe " + std::to_string(offset.value());
}

std::string harness_json(Partition partition, Offset offset) {
  std::string json = "{\"id\":\"" + std::to_string(partition.value()) + "/" + std::to_string(offset.value()) +
                     "\", \"n\":" + std::to_string(INT64_MAX - offset.value());
  json += ",\"small\":" + (null_at(offset, 3) ? "null" : std::to_string(-(offset.value() % 1000)));
  json += ",\"ratio\":" + (null_at(offset, 5) ? "null" : number(ratio_of(offset)));
  if (!null_at(offset, 7)) json += offset.value() % 2 == 0 ? ",\"flag\":true" : ",\"flag\":false";
  json += ",\"at\":\"" + format_timestamp(kStartUs + offset.value()) + "\"";
  if (!null_at(offset, 9)) {
    json += ",\"text\":";
    append_json_string(text_of(offset), &json);
  }
  if (!null_at(offset, 4)) json += ",\"any\":" + any_of(offset);
  json += ",\n \"nested\":{\"a\":" + number(ratio_of(offset) * 100) +
          ",\"deep\":{\"b\":" + (null_at(offset, 6) ? "null" : std::to_string(offset.value() * 2)) + "}}}";
  return json;
}

std::optional<HarnessId> parse_harness_id(std::string_view text) {
  constexpr std::string_view kMember = "\"id\":\"";
  if (size_t at = text.find(kMember); at != std::string_view::npos) text.remove_prefix(at + kMember.size());
  int32_t partition = 0;
  int64_t offset = 0;
  auto slash = std::from_chars(text.data(), text.data() + text.size(), partition);
  if (slash.ec != std::errc{} || slash.ptr == text.data() + text.size() || *slash.ptr != '/') return {};
  if (std::from_chars(slash.ptr + 1, text.data() + text.size(), offset).ec != std::errc{}) return {};
  return HarnessId{Partition(partition), Offset(offset)};
}

BatchPtr harness_batch(const TopicPartition& source, Offset first, size_t count, const SinkNeeds& needs,
                       bool wire) {
  struct Texts {
    std::vector<std::string> values, keys;
    std::string headers;
  };
  auto texts = std::make_shared<Texts>();
  texts->headers = encode_headers({{"trace", "t-1"}, {"empty", std::nullopt}});
  for (size_t i = 0; i < count; ++i) {
    Offset offset = first.next(static_cast<int64_t>(i));
    bool dead = harness_fate(offset) == Fate::kDead;
    texts->values.push_back(dead ? harness_dead_value(offset) : harness_json(source.partition, offset));
    texts->keys.push_back(harness_key(offset));
  }
  auto timestamp_ms = [&](size_t i) { return kStartUs / 1000 + first.value() + static_cast<int64_t>(i); };

  auto batch = std::make_unique<Batch>();
  batch->source = source;
  batch->first = first;
  batch->end = {first.next(static_cast<int64_t>(count)), LeaderEpoch(1)};
  if (wire && count > 0) {
    RecordBatchBuilder builder;
    for (size_t i = 0; i < count; ++i) {
      builder.add(timestamp_ms(i), texts->keys[i], texts->values[i], texts->headers);
    }
    auto bytes = std::make_shared<std::string>(builder.finish().value());
    set_batch_position(bytes->data(), first.value(), 1);
    TM_CHECK(batch->set_record_batches(bytes, first, SIZE_MAX).ok());
  } else {
    std::vector<Record> records;
    for (size_t i = 0; i < count; ++i) {
      records.push_back({first.next(static_cast<int64_t>(i)), timestamp_ms(i), texts->keys[i],
                         texts->values[i], texts->headers, 1, true, true});
    }
    batch->set_records(std::move(records), texts);
  }

  Schema schema = harness_schema();
  for (const Field& field : schema.fields) {
    bool added = field.name == "processedAt";
    bool needed = needs.all_columns ||
                  std::find(needs.columns.begin(), needs.columns.end(), field.name) != needs.columns.end();
    if (!added && !needed) continue;
    Column column(field.name, field.type);
    for (size_t i = 0; i < count; ++i) {
      Offset offset = first.next(static_cast<int64_t>(i));
      // A record that could not be decoded has a row of nulls.
      if (harness_fate(offset) == Fate::kDead && !added) {
        column.append_null();
      } else {
        fill_column(field, source.partition, offset, &column);
      }
    }
    if (added) batch->added.push_back(static_cast<uint32_t>(batch->columns.size()));
    batch->columns.push_back(std::move(column));
  }
  for (size_t i = 0; i < count; ++i) {
    Offset offset = first.next(static_cast<int64_t>(i));
    switch (harness_fate(offset)) {
      case Fate::kStored:
        batch->selected.push_back(static_cast<uint32_t>(i));
        break;
      case Fate::kDropped:
        ++batch->dropped;
        break;
      case Fate::kDead:
        batch->dead_letters.push_back({source, offset, timestamp_ms(i), harness_dead_reason(offset),
                                       texts->keys[i], true, texts->values[i]});
        break;
    }
  }
  return batch;
}

}  // namespace tidemill::pipeline::testing
