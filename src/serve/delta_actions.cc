#include "serve/delta_actions.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "event/json_splice.h"

namespace tidemill::serve {
namespace {

namespace dom = simdjson::dom;

bool is_scheme(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && letter(text.front()) && std::all_of(text.begin(), text.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
  });
}

// Of a URI as the log has it: relative, without ".." once it is decoded.
bool is_below_table(std::string_view uri) {
  if (const size_t colon = uri.find(":/"); colon != std::string_view::npos && is_scheme(uri.substr(0, colon)))
    return false;
  const std::string path = delta_path(uri);
  if (path.starts_with('/') || path.find('\0') != std::string::npos) return false;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (std::string_view(path).substr(at, end - at) == "..") return false;
    at = end + 1;
  }
  return true;
}

std::string json_quoted(std::string_view value) {
  std::string out;
  append_json_string(value, &out);
  return out;
}

template <class T>
T value_or(const dom::object& object, const char* key, T otherwise) {
  T value{};
  return object[key].get(value) == simdjson::SUCCESS ? value : otherwise;
}

bool member(const dom::object& object, const char* key, dom::object* found) {
  return object[key].get_object().get(*found) == simdjson::SUCCESS;
}

std::string whole(const char* action, const dom::object& object) {
  // Members that a checkpoint gives as null are as good as missing.
  std::string out = fmt::format("{{\"{}\":{{", action);
  bool first = true;
  for (dom::key_value_pair one : object) {
    if (one.value.is_null()) continue;
    out += (first ? "" : ",") + json_quoted(one.key) + ":" + std::string(simdjson::minify(one.value));
    first = false;
  }
  return out + "}}";
}

DeltaPartition partition_of(const dom::object& add) {
  DeltaPartition partition;
  dom::object values;
  if (!member(add, "partitionValues", &values)) return partition;
  for (dom::key_value_pair one : values) {
    std::string_view value;
    if (one.value.get_string().get(value) == simdjson::SUCCESS && !value.empty()) {
      partition[std::string(one.key)] = std::string(value);
    } else {
      partition[std::string(one.key)] = std::nullopt;  // an empty text is NULL, too
    }
  }
  return partition;
}

DeltaMetaData meta_data_of(const dom::object& object) {
  DeltaMetaData data;
  data.id = value_or<std::string_view>(object, "id", "");
  data.schema = value_or<std::string_view>(object, "schemaString", "");
  dom::array columns;
  if (object["partitionColumns"].get_array().get(columns) == simdjson::SUCCESS) {
    for (dom::element one : columns) {
      std::string_view name;
      if (one.get_string().get(name) == simdjson::SUCCESS) data.partition_columns.emplace_back(name);
    }
  }
  dom::object configuration;
  if (member(object, "configuration", &configuration)) {
    for (dom::key_value_pair one : configuration) {
      std::string_view value;
      if (one.value.get_string().get(value) == simdjson::SUCCESS)
        data.configuration[std::string(one.key)] = std::string(value);
    }
  }
  data.json = whole("metaData", object);
  return data;
}

// It is read, copied and removed at that path below the table: one that leads out of it must not be followed.
Status take_path(const char* action, const dom::object& object, std::string* path) {
  constexpr size_t kMostCited = 200;
  *path = value_or<std::string_view>(object, "path", "");
  if (path->empty()) return internal_error(fmt::format("{}: no path", action), Code::kCorrupt);
  if (is_below_table(*path)) return {};
  return user_error(
      fmt::format("{}: the path {} is not below the table; tables whose files are elsewhere, as "
                  "those of shallow clones, are not supported",
                  action, json_quoted(std::string_view(*path).substr(0, kMostCited))),
      Code::kCorrupt);
}

Status parse_line(dom::parser& parser, std::string_view line, DeltaActions* into) {
  dom::object action, object;
  if (parser.parse(line.data(), line.size()).get_object().get(action) != simdjson::SUCCESS)
    return internal_error("a line is no JSON object", Code::kCorrupt);
  if (member(action, "add", &object)) {
    DeltaAdd add;
    TM_TRY(take_path("add", object, &add.path));
    add.partition = partition_of(object);
    add.size_bytes = value_or<int64_t>(object, "size", 0);
    add.modified_ms = value_or<int64_t>(object, "modificationTime", 0);
    add.data_change = value_or<bool>(object, "dataChange", true);
    dom::object vector;
    add.deletion_vector = member(object, "deletionVector", &vector);
    add.json = whole("add", object);
    into->adds.push_back(std::move(add));
  } else if (member(action, "remove", &object)) {
    DeltaRemove remove;
    TM_TRY(take_path("remove", object, &remove.path));
    remove.deleted_ms = value_or<int64_t>(object, "deletionTimestamp", 0);
    remove.json = whole("remove", object);
    into->removes.push_back(std::move(remove));
  } else if (member(action, "txn", &object)) {
    DeltaTxn txn;
    txn.app = value_or<std::string_view>(object, "appId", "");
    txn.version = value_or<int64_t>(object, "version", 0);
    txn.json = whole("txn", object);
    into->txns.push_back(std::move(txn));
  } else if (member(action, "metaData", &object)) {
    into->meta_data = meta_data_of(object);
  } else if (member(action, "protocol", &object)) {
    into->protocol =
        DeltaProtocol{value_or<int64_t>(object, "minReaderVersion", 0),
                      value_or<int64_t>(object, "minWriterVersion", 0), whole("protocol", object)};
  } else if (member(action, "commitInfo", &object)) {
    into->time_ms = value_or<int64_t>(object, "timestamp", -1);
    into->commit_id = value_or<std::string_view>(object, "txnId", "");
  }
  return {};
}

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '-' ||
         c == '_' || c == '.' || c == '~' || c == '=';
}
int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

Status parse_delta_actions(std::string_view lines, DeltaActions* into) {
  dom::parser parser;
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    TM_TRY(parse_line(parser, line, into));
  }
  return {};
}

std::string delta_protocol_line(int reader, int writer) {
  return fmt::format("{{\"protocol\":{{\"minReaderVersion\":{},\"minWriterVersion\":{}}}}}\n", reader,
                     writer);
}

std::string delta_meta_data_line(const std::string& id, const std::string& schema,
                                 const std::vector<std::string>& partition_columns,
                                 const std::map<std::string, std::string>& configuration,
                                 int64_t created_ms) {
  std::string columns, settings;
  for (const std::string& column : partition_columns)
    columns += (columns.empty() ? "" : ",") + json_quoted(column);
  for (const auto& [name, value] : configuration)
    settings += (settings.empty() ? "" : ",") + json_quoted(name) + ":" + json_quoted(value);
  return fmt::format(
      "{{\"metaData\":{{\"id\":{},\"format\":{{\"provider\":\"parquet\",\"options\":{{}}}},\"schemaString\":"
      "{},\"partitionColumns\":[{}],\"configuration\":{{{}}},\"createdTime\":{}}}}}\n",
      json_quoted(id), json_quoted(schema), columns, settings, created_ms);
}

std::string delta_txn_line(const std::string& app, int64_t version, int64_t now_ms) {
  return fmt::format("{{\"txn\":{{\"appId\":{},\"version\":{},\"lastUpdated\":{}}}}}\n", json_quoted(app),
                     version, now_ms);
}

namespace {
std::string partition_json(const DeltaPartition& partition) {
  std::string values;
  for (const auto& [column, value] : partition)
    values +=
        (values.empty() ? "" : ",") + json_quoted(column) + ":" + (value ? json_quoted(*value) : "null");
  return "{" + values + "}";
}
}  // namespace

std::string delta_add_line(const std::string& path, const DeltaPartition& partition, int64_t size_bytes,
                           int64_t now_ms, bool data_change, const std::string& stats) {
  return fmt::format(
      "{{\"add\":{{\"path\":{},\"partitionValues\":{},\"size\":{},\"modificationTime\":{},\"dataChange\":{}{}"
      "}}}}\n",
      json_quoted(path), partition_json(partition), size_bytes, now_ms, data_change,
      stats.empty() ? "" : ",\"stats\":" + json_quoted(stats));
}

std::string delta_remove_line(const DeltaAdd& file, int64_t now_ms, bool data_change) {
  return fmt::format(
      "{{\"remove\":{{\"path\":{},\"deletionTimestamp\":{},\"dataChange\":{},\"extendedFileMetadata\":true,"
      "\"partitionValues\":{},\"size\":{}}}}}\n",
      json_quoted(file.path), now_ms, data_change, partition_json(file.partition), file.size_bytes);
}

std::string delta_commit_info_line(const std::string& operation, const std::string& parameters,
                                   int64_t now_ms, const std::string& id) {
  return fmt::format(
      "{{\"commitInfo\":{{\"timestamp\":{},\"operation\":{},\"operationParameters\":{{{}}},\"isBlindAppend\":"
      "{},\"engineInfo\":\"tidemill\",\"txnId\":{}}}}}\n",
      now_ms, json_quoted(operation), parameters, operation == "WRITE", json_quoted(id));
}

std::string delta_uri(std::string_view path) {
  std::string out;
  for (char c : path) {
    if (plain(c)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string delta_path(std::string_view uri) {
  std::string out;
  for (size_t i = 0; i < uri.size(); ++i) {
    const bool coded =
        uri[i] == '%' && i + 2 < uri.size() && nibble(uri[i + 1]) >= 0 && nibble(uri[i + 2]) >= 0;
    if (!coded) {
      out += uri[i];
      continue;
    }
    out += static_cast<char>(nibble(uri[i + 1]) << 4 | nibble(uri[i + 2]));
    i += 2;
  }
  return out;
}

}  // namespace tidemill::serve
