#include "verify/duck_sql.h"

namespace tidemill::verify {

namespace dom = simdjson::dom;

std::string sql_quoted(std::string_view text, char quote) {
  std::string out(1, quote);
  for (char c : text) {
    if (c == quote) out.push_back(c);
    out.push_back(c);
  }
  return out + quote;
}

std::string pattern_literal(std::string_view path, std::string_view pattern) {
  std::string out;
  for (char c : path)
    out += c == '[' || c == '*' || c == '?' ? std::string("[") + c + "]" : std::string(1, c);
  return sql_quoted(out + std::string(pattern), '\'');
}

std::string sql_type(dom::element type) {
  std::string_view name;
  if (type.get_string().get(name) == simdjson::SUCCESS) {
    if (name == "string") return "VARCHAR";
    if (name == "long") return "BIGINT";
    if (name == "timestamp") return "TIMESTAMP WITH TIME ZONE";
    if (name == "binary") return "BLOB";
    return std::string(name);  // integer, double, boolean
  }
  dom::array fields;
  if (type["fields"].get_array().get(fields) != simdjson::SUCCESS) return "VARCHAR";
  std::string sql = "STRUCT(";
  for (dom::element field : fields) {
    dom::element inside;
    if (field["name"].get_string().get(name) != simdjson::SUCCESS ||
        field["type"].get(inside) != simdjson::SUCCESS)
      continue;
    if (sql.back() != '(') sql += ", ";
    sql += sql_quoted(name) + " " + sql_type(inside);
  }
  return sql + ")";
}

}  // namespace tidemill::verify
