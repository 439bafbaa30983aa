#include "duck/types.h"

#include <fmt/format.h>

#include <cctype>
#include <string_view>

#include "duck/handles.h"

namespace tidemill::duck {
namespace {

const char* simple_name(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_BOOLEAN:
      return "BOOLEAN";
    case DUCKDB_TYPE_TINYINT:
      return "TINYINT";
    case DUCKDB_TYPE_SMALLINT:
      return "SMALLINT";
    case DUCKDB_TYPE_INTEGER:
      return "INTEGER";
    case DUCKDB_TYPE_BIGINT:
      return "BIGINT";
    case DUCKDB_TYPE_UTINYINT:
      return "UTINYINT";
    case DUCKDB_TYPE_USMALLINT:
      return "USMALLINT";
    case DUCKDB_TYPE_UINTEGER:
      return "UINTEGER";
    case DUCKDB_TYPE_UBIGINT:
      return "UBIGINT";
    case DUCKDB_TYPE_HUGEINT:
      return "HUGEINT";
    case DUCKDB_TYPE_UHUGEINT:
      return "UHUGEINT";
    case DUCKDB_TYPE_BIGNUM:
      return "BIGNUM";
    case DUCKDB_TYPE_FLOAT:
      return "FLOAT";
    case DUCKDB_TYPE_DOUBLE:
      return "DOUBLE";
    case DUCKDB_TYPE_TIMESTAMP:
      return "TIMESTAMP";
    case DUCKDB_TYPE_TIMESTAMP_S:
      return "TIMESTAMP_S";
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return "TIMESTAMP_MS";
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return "TIMESTAMP_NS";
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return "TIMESTAMP WITH TIME ZONE";
    case DUCKDB_TYPE_DATE:
      return "DATE";
    case DUCKDB_TYPE_TIME:
      return "TIME";
    case DUCKDB_TYPE_TIME_NS:
      return "TIME_NS";
    case DUCKDB_TYPE_TIME_TZ:
      return "TIME WITH TIME ZONE";
    case DUCKDB_TYPE_INTERVAL:
      return "INTERVAL";
    case DUCKDB_TYPE_VARCHAR:
      return "VARCHAR";
    case DUCKDB_TYPE_BLOB:
      return "BLOB";
    case DUCKDB_TYPE_UUID:
      return "UUID";
    case DUCKDB_TYPE_BIT:
      return "BIT";
    case DUCKDB_TYPE_SQLNULL:
      return "\"NULL\"";
    default:
      return "UNKNOWN";
  }
}

// A field's name as SQL needs it inside a type. Quoting one that needs none is harmless, so only the
// plainest names go without.
std::string field_name(const std::string& name) {
  bool plain = !name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) == 0;
  std::string quoted = "\"";
  for (char c : name) {
    plain = plain && (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_');
    quoted += c;
    if (c == '"') quoted += c;
  }
  return plain ? name : quoted + "\"";
}

std::string enum_name(duckdb_logical_type type) {
  std::string members;
  for (uint32_t i = 0; i < api().enum_dictionary_size(type); ++i) {
    members += i == 0 ? "'" : ", '";
    for (char c : take_text(api().enum_dictionary_value(type, i)))
      members += c == '\'' ? "''" : std::string(1, c);
    members += "'";
  }
  return fmt::format("ENUM({})", members);
}

std::string struct_name(duckdb_logical_type type) {
  std::string fields;
  for (idx_t i = 0; i < api().struct_type_child_count(type); ++i) {
    OwnedType child(api().struct_type_child_type(type, i));
    fields +=
        fmt::format("{}{} {}", i == 0 ? "" : ", ",
                    field_name(take_text(api().struct_type_child_name(type, i))), type_name(child.get()));
  }
  return fmt::format("STRUCT({})", fields);
}

std::string union_name(duckdb_logical_type type) {
  std::string members;
  for (idx_t i = 0; i < api().union_type_member_count(type); ++i) {
    OwnedType member(api().union_type_member_type(type, i));
    members +=
        fmt::format("{}{} {}", i == 0 ? "" : ", ",
                    field_name(take_text(api().union_type_member_name(type, i))), type_name(member.get()));
  }
  return fmt::format("UNION({})", members);
}

}  // namespace

std::string type_name(duckdb_logical_type type) {
  // JSON is a VARCHAR under another name.
  if (std::string alias = take_text(api().logical_type_get_alias(type)); !alias.empty()) return alias;
  switch (api().get_type_id(type)) {
    case DUCKDB_TYPE_DECIMAL:
      return fmt::format("DECIMAL({},{})", api().decimal_width(type), api().decimal_scale(type));
    case DUCKDB_TYPE_ENUM:
      return enum_name(type);
    case DUCKDB_TYPE_LIST: {
      OwnedType child(api().list_type_child_type(type));
      return type_name(child.get()) + "[]";
    }
    case DUCKDB_TYPE_ARRAY: {
      OwnedType child(api().array_type_child_type(type));
      return fmt::format("{}[{}]", type_name(child.get()), api().array_type_array_size(type));
    }
    case DUCKDB_TYPE_MAP: {
      OwnedType key(api().map_type_key_type(type));
      OwnedType value(api().map_type_value_type(type));
      return fmt::format("MAP({}, {})", type_name(key.get()), type_name(value.get()));
    }
    case DUCKDB_TYPE_STRUCT:
      return struct_name(type);
    case DUCKDB_TYPE_UNION:
      return union_name(type);
    default:
      return simple_name(api().get_type_id(type));
  }
}

Kind kind_of(duckdb_type type) {
  switch (type) {
    case DUCKDB_TYPE_SQLNULL:
      return Kind::kNull;
    case DUCKDB_TYPE_BOOLEAN:
      return Kind::kBoolean;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
      return Kind::kInteger;
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
      return Kind::kDouble;
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return Kind::kTimestamp;
    case DUCKDB_TYPE_VARCHAR:
      return Kind::kText;
    default:
      return Kind::kOther;
  }
}

}  // namespace tidemill::duck
