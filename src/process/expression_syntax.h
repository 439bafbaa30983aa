// The text of an expression into a tree. Grammar: docs/operators.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::process {

struct SyntaxNode {
  enum class Kind : uint8_t {
    kField,    // text: its name
    kInteger,  // integer
    kNumber,   // number
    kText,     // text
    kTrue,
    kFalse,
    kNull,
    kNegate,  // - a
    kNot,
    kAnd,
    kOr,
    kEqual,
    kUnequal,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kIsNull,
    kIn,    // children[0] in (children[1] …)
    kLike,  // children[0] like children[1], which is a text
  };
  Kind kind = Kind::kNull;
  size_t column = 1;  // where it begins; for an operator between two, where that stands
  std::string text;
  int64_t integer = 0;
  double number = 0;
  std::vector<std::unique_ptr<SyntaxNode>> children;
};
using SyntaxTree = std::unique_ptr<SyntaxNode>;

// Parentheses and operators may nest this deep.
inline constexpr int kMaxExpressionDepth = 100;
inline constexpr size_t kMaxExpressionBytes = 16 * 1024;

// Errors: kUser, "column 7: …" (columns count characters from 1).
Result<SyntaxTree> parse_expression(std::string_view text);

Error expression_error(size_t column, const std::string& what);

}  // namespace tidemill::process
