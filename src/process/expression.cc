#include "process/expression.h"

#include <algorithm>

#include "event/timestamp.h"
#include "process/expression_program.h"
#include "process/expression_syntax.h"
#include "process/schema_fields.h"

namespace tidemill::process {
namespace {

using Kind = SyntaxNode::Kind;

// Names and types; builds the program.
class Binder {
 public:
  explicit Binder(const Schema& schema) : schema_(schema), program_(std::make_shared<ExpressionProgram>()) {}

  Result<std::shared_ptr<const ExpressionProgram>> bind(const SyntaxNode& root) {
    TM_ASSIGN(Typed result, walk(root));
    if (result.untyped_null) return expression_error(root.column, "is always NULL");
    // The result stands last, also where it is a step that was used before.
    TM_CHECK(result.step + 1 == program_->steps.size());
    return std::shared_ptr<const ExpressionProgram>(std::move(program_));
  }

 private:
  struct Typed {
    uint32_t step = 0;
    Type type = Type::kBoolean;
    bool untyped_null = false;  // the word null: it takes the type that is needed
    const SyntaxNode* node = nullptr;
  };

  static bool is_number(Type type) { return type == Type::kBigint || type == Type::kDouble; }
  static std::string name_of(const Typed& value) {
    const SyntaxNode& node = *value.node;
    std::string what = node.kind == Kind::kField  ? node.text
                       : node.kind == Kind::kText ? "'" + node.text + "'"
                                                  : "the value at column " + std::to_string(node.column);
    return what + " is a " + std::string(type_name(value.type));
  }

  uint32_t add(ExpressionStep step) {
    program_->steps.push_back(std::move(step));
    return static_cast<uint32_t>(program_->steps.size() - 1);
  }
  Typed add(StepKind kind, Type type, const SyntaxNode& node, const Typed& a, const Typed& b) {
    ExpressionStep step;
    step.kind = kind;
    step.type = type;
    step.a = a.step;
    step.b = b.step;
    return Typed{add(std::move(step)), type, false, &node};
  }

  Result<Typed> walk(const SyntaxNode& node) {
    switch (node.kind) {
      case Kind::kField:
        return field(node);
      case Kind::kInteger:
      case Kind::kNumber:
      case Kind::kText:
      case Kind::kTrue:
      case Kind::kFalse:
      case Kind::kNull:
        return literal(node);
      case Kind::kNegate:
        return negate(node);
      case Kind::kNot:
      case Kind::kAnd:
      case Kind::kOr:
        return logic(node);
      case Kind::kEqual:
      case Kind::kUnequal:
      case Kind::kLess:
      case Kind::kLessEqual:
      case Kind::kGreater:
      case Kind::kGreaterEqual:
        return comparison(node);
      case Kind::kAdd:
      case Kind::kSubtract:
      case Kind::kMultiply:
      case Kind::kDivide:
        return arithmetic(node);
      case Kind::kIsNull: {
        TM_ASSIGN(Typed operand, walk(*node.children[0]));
        return add(StepKind::kIsNull, Type::kBoolean, node, operand, operand);
      }
      case Kind::kIn:
        return in(node);
      case Kind::kLike:
        return like(node);
    }
    TM_CHECK(false, "a kind of the enumeration");
    return Typed{};
  }

  Result<Typed> field(const SyntaxNode& node) {
    int index = schema_.find(node.text);
    if (index < 0) {
      return expression_error(node.column,
                              "no field " + node.text + suggest_name(node.text, field_names(schema_)));
    }
    const Field& found = schema_.fields[static_cast<size_t>(index)];
    if (std::find(program_->fields.begin(), program_->fields.end(), found.name) == program_->fields.end()) {
      program_->fields.push_back(found.name);
    }
    ExpressionStep step;
    step.kind = StepKind::kField;
    step.type = found.type == Type::kInteger ? Type::kBigint : found.type;
    step.text = found.name;
    Type type = step.type;
    return Typed{add(std::move(step)), type, false, &node};
  }

  Result<Typed> literal(const SyntaxNode& node) {
    ExpressionStep step;
    step.integer = node.kind == Kind::kTrue ? 1 : node.integer;
    step.number = node.number;
    step.valid = node.kind != Kind::kNull;
    step.type = node.kind == Kind::kInteger  ? Type::kBigint
                : node.kind == Kind::kNumber ? Type::kDouble
                : node.kind == Kind::kText   ? Type::kVarchar
                                             : Type::kBoolean;
    if (node.kind == Kind::kText) step.text = node.text;
    Type type = step.type;
    return Typed{add(std::move(step)), type, node.kind == Kind::kNull, &node};
  }

  Result<Typed> negate(const SyntaxNode& node) {
    TM_ASSIGN(Typed operand, walk(*node.children[0]));
    if (!is_number(operand.type)) {
      return expression_error(node.column, name_of(operand) + "; - takes a number");
    }
    return add(StepKind::kNegate, operand.type, node, operand, operand);
  }

  Result<Typed> truth(const SyntaxNode& node) {
    TM_ASSIGN(Typed operand, walk(node));
    if (operand.type != Type::kBoolean) {
      return expression_error(node.column, name_of(operand) + "; and, or and not take what is true or false");
    }
    return operand;
  }

  Result<Typed> logic(const SyntaxNode& node) {
    TM_ASSIGN(Typed a, truth(*node.children[0]));
    if (node.kind == Kind::kNot) return add(StepKind::kNot, Type::kBoolean, node, a, a);
    TM_ASSIGN(Typed b, truth(*node.children[1]));
    return add(node.kind == Kind::kAnd ? StepKind::kAnd : StepKind::kOr, Type::kBoolean, node, a, b);
  }

  // Gives an untyped NULL the other's type; text that stands for a timestamp becomes one.
  Status settle(Typed* value, Type other) {
    ExpressionStep& step = program_->steps[value->step];
    if (value->untyped_null) {
      step.type = value->type = other;
      value->untyped_null = false;
    } else if (value->node->kind == Kind::kText && other == Type::kTimestamp) {
      std::optional<int64_t> time = parse_timestamp_us(step.text);
      if (!time) {
        return expression_error(value->node->column,
                                "'" + step.text + "' is not a timestamp; write it as '2026-01-31T12:00:00Z'");
      }
      step.integer = *time;
      step.type = value->type = Type::kTimestamp;
    }
    return {};
  }
  Status settle(Typed* a, Typed* b) {
    if (a->untyped_null && b->untyped_null) return {};
    TM_TRY(settle(a, b->type));
    return settle(b, a->type);
  }

  // What the sides are settled to is the caller's as well: in compares one operand again and again.
  Result<Typed> compare(Comparison how, const SyntaxNode& node, Typed& a, Typed& b) {
    TM_TRY(settle(&a, &b));
    for (const Typed* side : {&a, &b}) {
      if (side->type == Type::kJson) {
        return expression_error(side->node->column,
                                name_of(*side) + ", which has no order; compare a member of it");
      }
    }
    if (a.type != b.type && !(is_number(a.type) && is_number(b.type))) {
      return expression_error(node.column, name_of(a) + ", " + name_of(b) + "; they cannot be compared");
    }
    Typed result = add(StepKind::kCompare, Type::kBoolean, node, a, b);
    program_->steps[result.step].comparison = how;
    return result;
  }

  Result<Typed> comparison(const SyntaxNode& node) {
    TM_ASSIGN(Typed a, walk(*node.children[0]));
    TM_ASSIGN(Typed b, walk(*node.children[1]));
    auto how = static_cast<Comparison>(static_cast<int>(node.kind) - static_cast<int>(Kind::kEqual));
    return compare(how, node, a, b);
  }

  // x in (a, b) is x = a or x = b, with its NULLs.
  Result<Typed> in(const SyntaxNode& node) {
    TM_ASSIGN(Typed operand, walk(*node.children[0]));
    Typed any;
    for (size_t i = 1; i < node.children.size(); ++i) {
      TM_ASSIGN(Typed item, walk(*node.children[i]));
      TM_ASSIGN(Typed equal, compare(Comparison::kEqual, *node.children[i], operand, item));
      any = i == 1 ? equal : add(StepKind::kOr, Type::kBoolean, node, any, equal);
    }
    return any;
  }

  Result<Typed> like(const SyntaxNode& node) {
    TM_ASSIGN(Typed operand, walk(*node.children[0]));
    if (operand.type != Type::kVarchar)
      return expression_error(node.column, name_of(operand) + "; like takes a VARCHAR");
    Typed result = add(StepKind::kLike, Type::kBoolean, node, operand, operand);
    program_->steps[result.step].text = node.children[1]->text;
    return result;
  }

  Typed to_double(const Typed& value) {
    if (value.type == Type::kDouble) return value;
    return add(StepKind::kToDouble, Type::kDouble, *value.node, value, value);
  }

  Result<Typed> arithmetic(const SyntaxNode& node) {
    TM_ASSIGN(Typed a, walk(*node.children[0]));
    TM_ASSIGN(Typed b, walk(*node.children[1]));
    // A NULL or text beside a timestamp could be a time or a difference: only numbers settle NULL.
    if (a.untyped_null && is_number(b.type)) TM_TRY(settle(&a, b.type));
    if (b.untyped_null && is_number(a.type)) TM_TRY(settle(&b, a.type));
    if (a.type == Type::kTimestamp || b.type == Type::kTimestamp) return time_arithmetic(node, a, b);
    for (const Typed* side : {&a, &b}) {
      if (!is_number(side->type))
        return expression_error(side->node->column, name_of(*side) + "; + - * / take numbers");
    }
    // As in DuckDB, / is never an integer division.
    bool divide = node.kind == Kind::kDivide;
    if (!divide && a.type == Type::kBigint && b.type == Type::kBigint) {
      return add(operation(node.kind), Type::kBigint, node, a, b);
    }
    a = to_double(a);
    b = to_double(b);
    return add(operation(node.kind), Type::kDouble, node, a, b);
  }

  // Timestamps are microseconds: t - t is a BIGINT of them, t + n and t - n a TIMESTAMP.
  Result<Typed> time_arithmetic(const SyntaxNode& node, Typed a, Typed b) {
    bool minus = node.kind == Kind::kSubtract;
    if (minus && a.type == Type::kTimestamp)
      TM_TRY(settle(&b, b.node->kind == Kind::kText ? Type::kTimestamp : b.type));
    if (minus && b.type == Type::kTimestamp)
      TM_TRY(settle(&a, a.node->kind == Kind::kText ? Type::kTimestamp : a.type));
    bool difference = minus && a.type == Type::kTimestamp && b.type == Type::kTimestamp;
    bool shifted =
        (minus || node.kind == Kind::kAdd) && a.type == Type::kTimestamp && b.type == Type::kBigint;
    bool shifted_left = node.kind == Kind::kAdd && a.type == Type::kBigint && b.type == Type::kTimestamp;
    if (difference) return add(StepKind::kSubtract, Type::kBigint, node, a, b);
    if (shifted || shifted_left) return add(operation(node.kind), Type::kTimestamp, node, a, b);
    return expression_error(
        node.column,
        name_of(a) + ", " + name_of(b) + "; a time takes + or - a whole number of microseconds, or - a time");
  }

  static StepKind operation(Kind kind) {
    return kind == Kind::kAdd        ? StepKind::kAdd
           : kind == Kind::kSubtract ? StepKind::kSubtract
           : kind == Kind::kMultiply ? StepKind::kMultiply
                                     : StepKind::kDivide;
  }

  const Schema& schema_;
  std::shared_ptr<ExpressionProgram> program_;
};

}  // namespace

Result<Expression> Expression::bind(std::string_view text, const Schema& schema) {
  TM_ASSIGN(SyntaxTree tree, parse_expression(text));
  TM_ASSIGN(auto program, Binder(schema).bind(*tree));
  return Expression(std::move(program));
}

Type Expression::type() const {
  return program_->steps.back().type;
}

const std::vector<std::string>& Expression::fields() const {
  return program_->fields;
}

}  // namespace tidemill::process
