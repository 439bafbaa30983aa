// A checked expression as a list of steps, each after those that it uses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "event/schema.h"

namespace tidemill::process {

enum class StepKind : uint8_t {
  kField,    // text: the column's name
  kLiteral,  // valid, integer, number or text
  kToDouble,
  kNegate,
  kNot,
  kAnd,
  kOr,
  kCompare,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kIsNull,
  kLike,  // text: the pattern
};
enum class Comparison : uint8_t { kEqual, kUnequal, kLess, kLessEqual, kGreater, kGreaterEqual };

struct ExpressionStep {
  StepKind kind = StepKind::kLiteral;
  Comparison comparison = Comparison::kEqual;
  Type type = Type::kBoolean;  // of its result; integers of fields are BIGINT here
  bool valid = true;           // a literal that is not NULL
  uint32_t a = 0, b = 0;       // the steps that it uses
  int64_t integer = 0;
  double number = 0;
  std::string text;
};

class ExpressionProgram {
 public:
  std::vector<ExpressionStep> steps;  // the last one is the result
  std::vector<std::string> fields;
};

// SQL's LIKE: % is any text, _ one character (of UTF-8).
bool matches_like(std::string_view text, std::string_view pattern);

}  // namespace tidemill::process
