// Any value as JSON: structs and maps as objects, lists and arrays as arrays, numbers by all their digits;
// what JSON has no form for (times, blobs, not a number) as the text that DuckDB makes of it.
#include <string>
#include <string_view>

#include "duck/cells.h"
#include "duck/handles.h"
#include "duck/types.h"
#include "event/json_splice.h"

namespace tidemill::duck {
namespace {

void append_elements(duckdb_logical_type type, duckdb_vector vector, size_t first, size_t count,
                     std::string* out) {
  *out += '[';
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) *out += ',';
    append_json(type, vector, first + i, out);
  }
  *out += ']';
}

void append_struct(duckdb_logical_type type, duckdb_vector vector, size_t row, std::string* out) {
  *out += '{';
  for (idx_t i = 0; i < api().struct_type_child_count(type); ++i) {
    OwnedType child(api().struct_type_child_type(type, i));
    if (i > 0) *out += ',';
    append_json_string(take_text(api().struct_type_child_name(type, i)), out);
    *out += ':';
    append_json(child.get(), api().struct_vector_get_child(vector, i), row, out);
  }
  *out += '}';
}

void append_map(duckdb_logical_type type, duckdb_vector vector, size_t row, std::string* out) {
  const auto entry = cell<duckdb_list_entry>(api().vector_get_data(vector), row);
  OwnedType key_type(api().map_type_key_type(type));
  OwnedType value_type(api().map_type_value_type(type));
  duckdb_vector entries = api().list_vector_get_child(vector);
  *out += '{';
  for (size_t i = 0; i < entry.length; ++i) {
    if (i > 0) *out += ',';
    append_json_string(
        display_text(key_type.get(), api().struct_vector_get_child(entries, 0), entry.offset + i), out);
    *out += ':';
    append_json(value_type.get(), api().struct_vector_get_child(entries, 1), entry.offset + i, out);
  }
  *out += '}';
}

void append_union(duckdb_logical_type type, duckdb_vector vector, size_t row, std::string* out) {
  const size_t tag = cell<uint8_t>(api().vector_get_data(api().struct_vector_get_child(vector, 0)), row);
  OwnedType member(api().union_type_member_type(type, tag));
  append_json(member.get(), api().struct_vector_get_child(vector, tag + 1), row, out);
}

// A value of type JSON as it stands, but on one line: a line end in it is white space between two tokens.
void append_embedded(std::string_view json, std::string* out) {
  for (char c : json) *out += c == '\n' || c == '\r' ? ' ' : c;
}

bool is_json(duckdb_logical_type type) {
  return take_text(api().logical_type_get_alias(type)) == "JSON";
}

// A number that JSON can hold: not nan, not inf.
bool is_number(std::string_view text) {
  return text.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
}

void append_scalar(duckdb_logical_type type, duckdb_vector vector, size_t row, std::string* out) {
  const std::string text = display_text(type, vector, row);
  if (is_json(type)) return append_embedded(text, out);
  const duckdb_type id = api().get_type_id(type);
  const Kind kind = kind_of(id);
  const bool wide = id == DUCKDB_TYPE_HUGEINT || id == DUCKDB_TYPE_UHUGEINT || id == DUCKDB_TYPE_BIGNUM ||
                    id == DUCKDB_TYPE_DECIMAL;
  const bool number = kind == Kind::kInteger || kind == Kind::kDouble || wide;
  if (kind == Kind::kBoolean || (number && is_number(text))) {
    *out += text;
    return;
  }
  append_json_string(text, out);
}

}  // namespace

void append_json(duckdb_logical_type type, duckdb_vector vector, size_t row, std::string* out) {
  if (null_cell(api().vector_get_validity(vector), row)) {
    *out += "null";
    return;
  }
  switch (api().get_type_id(type)) {
    case DUCKDB_TYPE_SQLNULL:
      *out += "null";
      return;
    case DUCKDB_TYPE_LIST: {
      const auto entry = cell<duckdb_list_entry>(api().vector_get_data(vector), row);
      OwnedType child(api().list_type_child_type(type));
      return append_elements(child.get(), api().list_vector_get_child(vector), entry.offset, entry.length,
                             out);
    }
    case DUCKDB_TYPE_ARRAY: {
      const size_t size = api().array_type_array_size(type);
      OwnedType child(api().array_type_child_type(type));
      return append_elements(child.get(), api().array_vector_get_child(vector), row * size, size, out);
    }
    case DUCKDB_TYPE_STRUCT:
      return append_struct(type, vector, row, out);
    case DUCKDB_TYPE_MAP:
      return append_map(type, vector, row, out);
    case DUCKDB_TYPE_UNION:
      return append_union(type, vector, row, out);
    default:
      return append_scalar(type, vector, row, out);
  }
}

}  // namespace tidemill::duck
