// Any value as text: it is built as a duckdb_value, which DuckDB then casts to VARCHAR. So nested
// values, decimals, dates and intervals read exactly as DuckDB writes them.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "duck/cells.h"
#include "duck/handles.h"
#include "duck/types.h"

namespace tidemill::duck {
namespace {

duckdb_value make_value(duckdb_logical_type type, duckdb_vector vector, size_t row);

duckdb_hugeint hugeint_cell(const void* data, size_t row) {
  return cell<duckdb_hugeint>(data, row);
}

duckdb_hugeint widened(int64_t value) {
  return {static_cast<uint64_t>(value), value < 0 ? int64_t{-1} : int64_t{0}};
}

duckdb_value decimal_value(duckdb_logical_type type, const void* data, size_t row) {
  duckdb_decimal decimal{api().decimal_width(type), api().decimal_scale(type), {}};
  switch (api().decimal_internal_type(type)) {
    case DUCKDB_TYPE_SMALLINT:
      decimal.value = widened(cell<int16_t>(data, row));
      break;
    case DUCKDB_TYPE_INTEGER:
      decimal.value = widened(cell<int32_t>(data, row));
      break;
    case DUCKDB_TYPE_BIGINT:
      decimal.value = widened(cell<int64_t>(data, row));
      break;
    default:
      decimal.value = hugeint_cell(data, row);
  }
  return api().create_decimal(decimal);
}

duckdb_value enum_value(duckdb_logical_type type, const void* data, size_t row) {
  switch (api().enum_internal_type(type)) {
    case DUCKDB_TYPE_UTINYINT:
      return api().create_enum_value(type, cell<uint8_t>(data, row));
    case DUCKDB_TYPE_USMALLINT:
      return api().create_enum_value(type, cell<uint16_t>(data, row));
    default:
      return api().create_enum_value(type, cell<uint32_t>(data, row));
  }
}

duckdb_value uuid_value(const void* data, size_t row) {
  // Stored with the highest bit flipped, so that UUIDs sort as signed numbers do.
  duckdb_hugeint stored = hugeint_cell(data, row);
  return api().create_uuid({stored.lower, static_cast<uint64_t>(stored.upper) ^ (uint64_t{1} << 63)});
}

duckdb_value bignum_value(const void* data, size_t row) {
  // Three bytes of header, whose first bit is clear for negative numbers, then the magnitude, most
  // significant byte first; all bits of a negative number are inverted. The API takes it in that order.
  std::string_view stored = text_cell(data, row);
  constexpr size_t kHeader = 3;
  if (stored.size() <= kHeader) return api().create_null_value();
  bool negative = (static_cast<uint8_t>(stored[0]) & 0x80) == 0;
  std::string magnitude(stored.substr(kHeader));
  if (negative) {
    for (char& byte : magnitude) byte = static_cast<char>(~byte);
  }
  return api().create_bignum({reinterpret_cast<uint8_t*>(magnitude.data()), magnitude.size(), negative});
}

// Values that are handed to a create function together, and destroyed after it.
class Values {
 public:
  // At least one, since the API takes no null pointer even for an empty list.
  explicit Values(size_t count) { values_.reserve(std::max<size_t>(count, 1)); }
  ~Values() {
    for (duckdb_value& value : values_) api().destroy_value(&value);
  }
  Values(const Values&) = delete;
  Values& operator=(const Values&) = delete;
  void add(duckdb_logical_type type, duckdb_vector vector, size_t row) {
    values_.push_back(make_value(type, vector, row));
  }
  duckdb_value* data() { return values_.data(); }
  size_t size() const { return values_.size(); }

 private:
  std::vector<duckdb_value> values_;
};

duckdb_value list_value(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  auto entry = cell<duckdb_list_entry>(api().vector_get_data(vector), row);
  OwnedType child_type(api().list_type_child_type(type));
  duckdb_vector child = api().list_vector_get_child(vector);
  Values values(entry.length);
  for (size_t i = 0; i < entry.length; ++i) values.add(child_type.get(), child, entry.offset + i);
  return api().create_list_value(child_type.get(), values.data(), values.size());
}

duckdb_value array_value(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  OwnedType child_type(api().array_type_child_type(type));
  duckdb_vector child = api().array_vector_get_child(vector);
  size_t size = api().array_type_array_size(type);
  Values values(size);
  for (size_t i = 0; i < size; ++i) values.add(child_type.get(), child, row * size + i);
  return api().create_array_value(child_type.get(), values.data(), values.size());
}

duckdb_value map_value(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  // A map is a list of structs of key and value.
  auto entry = cell<duckdb_list_entry>(api().vector_get_data(vector), row);
  OwnedType key_type(api().map_type_key_type(type));
  OwnedType value_type(api().map_type_value_type(type));
  duckdb_vector entries = api().list_vector_get_child(vector);
  Values keys(entry.length);
  Values values(entry.length);
  for (size_t i = 0; i < entry.length; ++i) {
    keys.add(key_type.get(), api().struct_vector_get_child(entries, 0), entry.offset + i);
    values.add(value_type.get(), api().struct_vector_get_child(entries, 1), entry.offset + i);
  }
  return api().create_map_value(type, keys.data(), values.data(), entry.length);
}

duckdb_value struct_value(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  size_t count = api().struct_type_child_count(type);
  Values values(count);
  for (size_t i = 0; i < count; ++i) {
    OwnedType child(api().struct_type_child_type(type, i));
    values.add(child.get(), api().struct_vector_get_child(vector, i), row);
  }
  return api().create_struct_value(type, values.data());
}

duckdb_value union_value(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  // A union is a struct: first the tag, then one field per member.
  size_t tag = cell<uint8_t>(api().vector_get_data(api().struct_vector_get_child(vector, 0)), row);
  OwnedType member_type(api().union_type_member_type(type, tag));
  OwnedValue member(make_value(member_type.get(), api().struct_vector_get_child(vector, tag + 1), row));
  return api().create_union_value(type, tag, member.get());
}

duckdb_value unknown_value(duckdb_logical_type type) {
  std::string text = fmt::format("({}; cast it to VARCHAR to see it)", type_name(type));
  return api().create_varchar_length(text.data(), text.size());
}

duckdb_value make_value(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  if (null_cell(api().vector_get_validity(vector), row)) return api().create_null_value();
  const void* data = api().vector_get_data(vector);
  switch (api().get_type_id(type)) {
    case DUCKDB_TYPE_SQLNULL:
      return api().create_null_value();
    case DUCKDB_TYPE_BOOLEAN:
      return api().create_bool(cell<bool>(data, row));
    case DUCKDB_TYPE_TINYINT:
      return api().create_int8(cell<int8_t>(data, row));
    case DUCKDB_TYPE_SMALLINT:
      return api().create_int16(cell<int16_t>(data, row));
    case DUCKDB_TYPE_INTEGER:
      return api().create_int32(cell<int32_t>(data, row));
    case DUCKDB_TYPE_BIGINT:
      return api().create_int64(cell<int64_t>(data, row));
    case DUCKDB_TYPE_UTINYINT:
      return api().create_uint8(cell<uint8_t>(data, row));
    case DUCKDB_TYPE_USMALLINT:
      return api().create_uint16(cell<uint16_t>(data, row));
    case DUCKDB_TYPE_UINTEGER:
      return api().create_uint32(cell<uint32_t>(data, row));
    case DUCKDB_TYPE_UBIGINT:
      return api().create_uint64(cell<uint64_t>(data, row));
    case DUCKDB_TYPE_HUGEINT:
      return api().create_hugeint(hugeint_cell(data, row));
    case DUCKDB_TYPE_UHUGEINT:
      return api().create_uhugeint(cell<duckdb_uhugeint>(data, row));
    case DUCKDB_TYPE_BIGNUM:
      return bignum_value(data, row);
    case DUCKDB_TYPE_DECIMAL:
      return decimal_value(type, data, row);
    case DUCKDB_TYPE_FLOAT:
      return api().create_float(cell<float>(data, row));
    case DUCKDB_TYPE_DOUBLE:
      return api().create_double(cell<double>(data, row));
    case DUCKDB_TYPE_DATE:
      return api().create_date(cell<duckdb_date>(data, row));
    case DUCKDB_TYPE_TIME:
      return api().create_time(cell<duckdb_time>(data, row));
    case DUCKDB_TYPE_TIME_NS:
      return api().create_time_ns(cell<duckdb_time_ns>(data, row));
    case DUCKDB_TYPE_TIME_TZ:
      return api().create_time_tz_value(cell<duckdb_time_tz>(data, row));
    case DUCKDB_TYPE_TIMESTAMP:
      return api().create_timestamp(cell<duckdb_timestamp>(data, row));
    case DUCKDB_TYPE_TIMESTAMP_TZ:
      return api().create_timestamp_tz(cell<duckdb_timestamp>(data, row));
    case DUCKDB_TYPE_TIMESTAMP_S:
      return api().create_timestamp_s(cell<duckdb_timestamp_s>(data, row));
    case DUCKDB_TYPE_TIMESTAMP_MS:
      return api().create_timestamp_ms(cell<duckdb_timestamp_ms>(data, row));
    case DUCKDB_TYPE_TIMESTAMP_NS:
      return api().create_timestamp_ns(cell<duckdb_timestamp_ns>(data, row));
    case DUCKDB_TYPE_INTERVAL:
      return api().create_interval(cell<duckdb_interval>(data, row));
    case DUCKDB_TYPE_UUID:
      return uuid_value(data, row);
    case DUCKDB_TYPE_VARCHAR: {
      std::string_view text = text_cell(data, row);
      return api().create_varchar_length(text.data(), text.size());
    }
    case DUCKDB_TYPE_BLOB: {
      std::string_view bytes = text_cell(data, row);
      return api().create_blob(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    }
    case DUCKDB_TYPE_BIT: {
      std::string bytes(text_cell(data, row));
      return api().create_bit({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    }
    case DUCKDB_TYPE_ENUM:
      return enum_value(type, data, row);
    case DUCKDB_TYPE_LIST:
      return list_value(type, vector, row);
    case DUCKDB_TYPE_ARRAY:
      return array_value(type, vector, row);
    case DUCKDB_TYPE_MAP:
      return map_value(type, vector, row);
    case DUCKDB_TYPE_STRUCT:
      return struct_value(type, vector, row);
    case DUCKDB_TYPE_UNION:
      return union_value(type, vector, row);
    default:
      return unknown_value(type);
  }
}

}  // namespace

std::string display_text(duckdb_logical_type type, duckdb_vector vector, size_t row) {
  if (null_cell(api().vector_get_validity(vector), row)) return "NULL";
  if (api().get_type_id(type) == DUCKDB_TYPE_VARCHAR) {
    return std::string(text_cell(api().vector_get_data(vector), row));
  }
  OwnedValue value(make_value(type, vector, row));
  if (!value) return fmt::format("({})", type_name(type));
  return take_text(api().get_varchar(value.get()));
}

}  // namespace tidemill::duck
