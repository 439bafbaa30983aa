#include "event/testing/json_documents.h"

#include <array>
#include <bit>
#include <cstdio>
#include <memory>

namespace tidemill::testing {
namespace {

constexpr std::array<std::string_view, 12> kNames = {
    "a",        "b",         "c",           "eventId",
    "deviceId", "createdAt", "complexData", "moreData7",
    "",         "x.y",       "naïve",       "a name that is longer than what fits one comparison"};
constexpr std::array<Type, 7> kTypes = {Type::kBoolean,   Type::kInteger, Type::kBigint, Type::kDouble,
                                        Type::kTimestamp, Type::kVarchar, Type::kJson};

template <class List>
auto pick(const List& list, SeededRandom& random) {
  return list[random.below(list.size())];
}

std::string space(SeededRandom& random) {
  static constexpr std::array<std::string_view, 5> kSpaces = {" ", "\n", "\t", "\r\n", "  \n  "};
  return random.below(8) == 0 ? std::string(pick(kSpaces, random)) : "";
}

std::string random_name(SeededRandom& random) {
  std::string name(pick(kNames, random));
  if (random.below(16) == 0 && !name.empty() && name[0] == 'a') return "\\u0061" + name.substr(1);
  if (random.below(16) == 0) return name + "\\n";
  if (random.below(8) == 0) name += std::to_string(random.below(4));
  return name;
}

std::string random_string(SeededRandom& random) {
  static constexpr std::array<std::string_view, 16> kPieces = {"x",          "contoso-device-id-000154",
                                                               "\\\"",       "\\\\",
                                                               "\\/",        "\\u00e9",
                                                               "é",          "\\ud83d\\ude00",
                                                               "😀",          "\\t\\n",
                                                               "{[,:]}",     "\\u0000",
                                                               "1234567890", " ",
                                                               "\\b\\f\\r",  "0.5"};
  if (random.below(6) == 0) return "\"2026-11-21T09:07:00.123456Z\"";
  std::string text = "\"";
  for (uint64_t left = random.below(4); left > 0; --left) text += pick(kPieces, random);
  return text + "\"";
}

std::string random_number(SeededRandom& random) {
  static constexpr std::array<std::string_view, 14> kSpecial = {"0",
                                                                "-0",
                                                                "0.0",
                                                                "1e3",
                                                                "1.0",
                                                                "9223372036854775807",
                                                                "9223372036854775808",
                                                                "2147483647",
                                                                "-2147483649",
                                                                "1e400",
                                                                "-1e-400",
                                                                "5E-1",
                                                                "123456789012345678901234567890",
                                                                "0.1e1"};
  if (random.below(4) == 0) return std::string(pick(kSpecial, random));
  std::string text = random.below(4) == 0 ? "-" : "";
  text += std::to_string(random.below(uint64_t{1} << random.below(40)));
  if (random.below(3) != 0) text += "." + std::to_string(random.below(uint64_t{1} << (1 + random.below(60))));
  return text;
}

std::string random_value(SeededRandom& random, int depth);

std::string random_members(SeededRandom& random, int depth) {
  std::string text = "{" + space(random);
  for (uint64_t left = random.below(depth == 0 ? 10 : 5); left > 0; --left) {
    text += "\"" + random_name(random) + "\"" + space(random) + ":" + space(random) +
            random_value(random, depth + 1) + space(random);
    if (left > 1) text += "," + space(random);
  }
  return text + "}";
}

std::string random_value(SeededRandom& random, int depth) {
  uint64_t kind = random.below(depth > 4 ? 7 : 10);
  if (kind < 3) return random_number(random);
  if (kind < 5) return random_string(random);
  if (kind == 5) return random.below(2) == 0 ? "true" : "false";
  if (kind == 6) return "null";
  if (kind < 9) return random_members(random, depth);
  std::string text = "[" + space(random);
  for (uint64_t left = random.below(4); left > 0; --left) {
    text += random_value(random, depth + 1) + space(random);
    if (left > 1) text += "," + space(random);
  }
  return text + "]";
}

bool is_malformed(std::string_view reason) {
  return reason.starts_with("malformed JSON");
}

std::string cell(const Column& column, size_t row) {
  if (!column.valid(row)) return "NULL";
  if (column.is_text()) return "'" + std::string(column.text_at(row)) + "'";
  if (column.type() == Type::kBoolean) return column.bool_at(row) ? "true" : "false";
  return std::to_string(column.words()[row]);  // doubles by their bits
}

// What the slow decoder says of every text.
struct Expected {
  std::vector<Column> columns;
  std::vector<std::string> reasons;  // empty: good
};

Expected decode_all_slowly(const DecodePlan& plan, const std::vector<std::string>& texts) {
  Expected expected;
  for (const Field& field : plan.fields) expected.columns.emplace_back(field.name, field.type);
  for (const std::string& text : texts) {
    Status status = decode_json_slowly(plan, text, &expected.columns);
    expected.reasons.push_back(status.ok() ? "" : status.error().message);
    if (status.ok()) continue;
    for (Column& column : expected.columns) column.append_null();
  }
  return expected;
}

std::string compare(const Expected& expected, const Batch& batch) {
  size_t selected = 0;
  size_t dead = 0;
  for (size_t row = 0; row < expected.reasons.size(); ++row) {
    const std::string& reason = expected.reasons[row];
    std::string at = "row " + std::to_string(row) + ": ";
    bool is_selected = selected < batch.selected.size() && batch.selected[selected] == row;
    if (is_selected != reason.empty()) {
      std::string fast_reason =
          is_selected || dead >= batch.dead_letters.size() ? "" : batch.dead_letters[dead].reason;
      return at + "slow says '" + reason + "', fast says '" + fast_reason + "'";
    }
    for (size_t i = 0; i < batch.columns.size(); ++i) {
      std::string slow_cell = cell(expected.columns[i], row);
      std::string fast_cell = cell(batch.columns[i], row);
      if (slow_cell != fast_cell) {
        return at + batch.columns[i].name() + ": slow has " + slow_cell + ", fast has " + fast_cell;
      }
    }
    if (is_selected) {
      ++selected;
      continue;
    }
    const std::string& fast_reason = batch.dead_letters.at(dead).reason;
    bool same = is_malformed(reason) ? is_malformed(fast_reason) : reason == fast_reason;
    if (!same) return at + "slow says '" + reason + "', fast says '" + fast_reason + "'";
    ++dead;
  }
  for (const Column& column : batch.columns) {
    if (column.size() != expected.reasons.size()) return column.name() + " has another number of rows";
  }
  return selected == batch.selected.size() && dead == batch.dead_letters.size() ? ""
                                                                                : "another number of rows";
}

}  // namespace

std::string random_object(SeededRandom& random) {
  return space(random) + random_members(random, 0) + space(random);
}

DecodePlan random_plan(SeededRandom& random) {
  DecodePlan plan;
  for (uint64_t left = random.below(8); left > 0; --left) {
    Field field;
    for (uint64_t depth = random.below(3) + 1; depth > 0; --depth)
      field.path.emplace_back(pick(kNames, random));
    for (const std::string& name : field.path) field.name += (field.name.empty() ? "" : ".") + name;
    field.type = pick(kTypes, random);
    field.nullable = random.below(4) != 0;
    plan.fields.push_back(std::move(field));
  }
  if (random.below(3) == 0) plan.added_names.emplace_back(pick(kNames, random));
  return plan;
}

const std::vector<std::string_view>& json_dictionary() {
  static const std::vector<std::string_view> kDictionary = {"{",
                                                            "}",
                                                            "[",
                                                            "]",
                                                            ",",
                                                            ":",
                                                            "\"",
                                                            "\\",
                                                            "\\u",
                                                            "\\ud800",
                                                            "\\udc00",
                                                            "null",
                                                            "true",
                                                            "false",
                                                            "-",
                                                            ".",
                                                            "e",
                                                            "E+",
                                                            "0",
                                                            "00",
                                                            "1e999",
                                                            " ",
                                                            "\n",
                                                            "\x01",
                                                            "\x0c",
                                                            "\x1a",
                                                            "\xff",
                                                            "\xc3",
                                                            "\xc3\xa9",
                                                            "\xed\xa0\x80",
                                                            "\xef\xbb\xbf",
                                                            "\"a\":1",
                                                            "\"a\":{}",
                                                            "\"complexData\":{",
                                                            "{}",
                                                            "[]",
                                                            "[[[[[[[[[[[[[[[[",
                                                            "{\"a\":{\"a\":{\"a\":{\"a\":",
                                                            "//",
                                                            "NaN",
                                                            "1\"2\"",
                                                            "--1",
                                                            "-0",
                                                            "1.2.3"};
  return kDictionary;
}

std::string telemetry_event(SeededRandom& random, int complex_count) {
  auto number = [&random] {
    std::string digits = std::to_string(10'000'000'000'000'000 + random.below(90'000'000'000'000'000));
    return digits.insert(2, ".");
  };
  char text[128];
  std::snprintf(text, sizeof text, "%08x-%04x-4%03x-a%03x-%012llx",
                static_cast<unsigned>(random.below(1u << 31)), static_cast<unsigned>(random.below(1 << 16)),
                static_cast<unsigned>(random.below(1 << 12)), static_cast<unsigned>(random.below(1 << 12)),
                static_cast<unsigned long long>(random.below(uint64_t{1} << 48)));
  std::string event = "{\"eventId\":\"" + std::string(text) + "\",\"complexData\":{";
  for (int i = 0; i < complex_count; ++i) {
    event += (i == 0 ? "\"moreData" : ",\"moreData") + std::to_string(i) + "\":" + number();
  }
  std::snprintf(
      text, sizeof text,
      ",\"deviceId\":\"contoso-device-id-%06d\",\"deviceSequenceNumber\":%d,\"type\":\"%s\",\"createdAt\":"
      "\"2026-11-21T09:%02d:%02d.%06dZ\"}",
      static_cast<int>(random.below(1000)), static_cast<int>(random.below(100'000)),
      random.below(2) == 0 ? "TEMP" : "CO2", static_cast<int>(random.below(60)),
      static_cast<int>(random.below(60)), static_cast<int>(random.below(1'000'000)));
  return event + "},\"value\":" + number() + text;
}

std::string compare_decoders(JsonDecoder& fast, const DecodePlan& plan,
                             const std::vector<std::string>& texts) {
  Expected expected = decode_all_slowly(plan, texts);
  RecordBatchBuilder builder;
  // Every text in memory of exactly its size, so that a sanitizer sees a read behind it.
  auto memory = std::make_shared<std::vector<std::unique_ptr<char[]>>>();
  std::vector<Record> views;
  for (const std::string& text : texts) {
    builder.add(0, std::nullopt, text);
    memory->push_back(std::make_unique<char[]>(text.size()));
    text.copy(memory->back().get(), text.size());
    Record record;
    record.value = std::string_view(memory->back().get(), text.size());
    record.has_value = true;
    views.push_back(record);
  }
  Batch of_views;
  of_views.set_records(std::move(views), memory);
  of_views.select_all();
  fast.decode(of_views);
  std::string problem = compare(expected, of_views);
  if (!problem.empty()) return "views: " + problem;

  std::string built = builder.finish().value();
  built.shrink_to_fit();
  Batch of_records;
  auto set = of_records.set_record_batches(std::make_shared<const std::string>(std::move(built)), Offset(0),
                                           SIZE_MAX);
  if (!set.ok()) return set.error().message;
  of_records.select_all();
  fast.decode(of_records);
  problem = compare(expected, of_records);
  return problem.empty() ? "" : "record batch: " + problem;
}

}  // namespace tidemill::testing
