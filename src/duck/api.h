// DuckDB's C API as a table of functions, filled from libduckdb.so at run time. Each member is the
// function of duckdb.h of the same name without its prefix: api().vector_get_data is
// duckdb_vector_get_data. For src/duck itself and for whoever fills an Appender's chunk; everybody
// else needs only duck.h.
#pragma once

#include <duckdb.h>

#include <string>
#include <vector>

#include "base/result.h"

// In the library, but not in the headers up to 1.4: drops what an appender holds.
extern "C" duckdb_state duckdb_appender_clear(duckdb_appender appender);

// clang-format off
#define TM_DUCK_FUNCTIONS(F)                                                                            \
  F(library_version) F(free) F(open_ext) F(close) F(connect) F(disconnect) F(interrupt)                 \
  F(create_config) F(set_config) F(destroy_config)                                                      \
  F(query) F(destroy_result) F(result_error) F(rows_changed)                                            \
  F(extract_statements) F(extract_statements_error) F(prepare_extracted_statement) F(destroy_extracted) \
  F(prepare_error) F(destroy_prepare) F(nparams) F(param_type) F(prepared_statement_type)                                          \
  F(bind_boolean) F(bind_int32) F(bind_int64) F(bind_double) F(bind_timestamp) F(bind_timestamp_tz)                   \
  F(bind_varchar_length) F(bind_null) F(execute_prepared_streaming) F(fetch_chunk)                      \
  F(pending_prepared) F(pending_error) F(pending_execute_task) F(pending_execution_is_finished)         \
  F(execute_pending) F(destroy_pending)                                                                 \
  F(column_count) F(column_name) F(column_logical_type)                                                 \
  F(get_type_id) F(logical_type_get_alias) F(destroy_logical_type) F(decimal_width) F(decimal_scale)    \
  F(decimal_internal_type) F(enum_internal_type) F(enum_dictionary_size) F(enum_dictionary_value)       \
  F(list_type_child_type) F(array_type_child_type) F(array_type_array_size)                             \
  F(map_type_key_type) F(map_type_value_type)                                                           \
  F(struct_type_child_count) F(struct_type_child_name) F(struct_type_child_type)                        \
  F(union_type_member_count) F(union_type_member_name) F(union_type_member_type)                        \
  F(create_data_chunk) F(destroy_data_chunk) F(data_chunk_reset) F(data_chunk_get_column_count)         \
  F(data_chunk_get_vector) F(data_chunk_get_size) F(data_chunk_set_size)                                \
  F(vector_size) F(vector_get_column_type) F(vector_get_data) F(vector_get_validity)                    \
  F(vector_ensure_validity_writable) F(vector_assign_string_element_len)                                \
  F(list_vector_get_child) F(list_vector_get_size) F(list_vector_set_size) F(list_vector_reserve)       \
  F(struct_vector_get_child) F(array_vector_get_child)                                                  \
  F(appender_create) F(appender_column_count) F(appender_column_type) F(appender_error_data)            \
  F(appender_flush) F(appender_clear) F(appender_destroy) F(append_data_chunk)                          \
  F(error_data_message) F(destroy_error_data)                                                           \
  F(create_table_function) F(destroy_table_function) F(register_table_function)                         \
  F(table_function_set_name) F(table_function_set_extra_info) F(table_function_set_bind)                \
  F(table_function_set_init) F(table_function_set_function)                                             \
  F(table_function_supports_projection_pushdown) F(bind_get_extra_info) F(bind_add_result_column)       \
  F(init_get_extra_info) F(init_set_init_data) F(init_get_column_count) F(init_get_column_index)        \
  F(init_set_error) F(init_set_max_threads) F(function_get_init_data) F(function_set_error)             \
  F(bind_set_error) F(table_function_get_client_context) F(connection_get_client_context)               \
  F(client_context_get_connection_id) F(destroy_client_context)                                         \
  F(create_null_value) F(create_bool) F(create_int8) F(create_int16) F(create_int32) F(create_int64)    \
  F(create_uint8) F(create_uint16) F(create_uint32) F(create_uint64) F(create_hugeint)                  \
  F(create_uhugeint) F(create_bignum) F(create_decimal) F(create_float) F(create_double)                \
  F(create_date) F(create_time) F(create_time_ns) F(create_time_tz_value) F(create_timestamp)           \
  F(create_timestamp_tz) F(create_timestamp_s) F(create_timestamp_ms) F(create_timestamp_ns)            \
  F(create_interval) F(create_blob) F(create_bit) F(create_uuid) F(create_varchar_length)               \
  F(create_enum_value) F(create_list_value) F(create_array_value) F(create_struct_value)                \
  F(create_map_value) F(create_union_value) F(get_varchar) F(destroy_value)
// clang-format on

namespace tidemill::duck {

struct Api {
#define TM_DUCK_MEMBER(name) decltype(&::duckdb_##name) name = nullptr;
  TM_DUCK_FUNCTIONS(TM_DUCK_MEMBER)
#undef TM_DUCK_MEMBER
};

// Loads the library once; later calls return the first outcome if it was a success and try again if
// it was not. Thread-safe. Errors: kUser, naming every place that was searched and what was wrong there.
Result<const Api*> load_api();

// Precondition: load_api() succeeded, as it has wherever a Database exists.
const Api& api();

// Where load_api() looks, in order. An explicit choice (TIDEMILL_DUCKDB) is the only candidate.
std::vector<std::string> library_candidates();

}  // namespace tidemill::duck
