#include <cmath>
#include <utility>

#include "process/expression.h"
#include "process/expression_program.h"

namespace tidemill::process {
namespace {

// -1, 0, 1. Exact: no 64-bit integer is rounded to a double.
int order(int64_t a, double b) {
  constexpr double kTwo63 = 9223372036854775808.0;
  if (b >= kTwo63) return -1;
  if (b < -kTwo63) return 1;
  auto whole = static_cast<int64_t>(b);
  if (a != whole) return a < whole ? -1 : 1;
  double rest = b - static_cast<double>(whole);
  return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}
int order(double a, int64_t b) {
  return -order(b, a);
}
template <class T>
int order(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

bool holds(Comparison comparison, int order) {
  switch (comparison) {
    case Comparison::kEqual:
      return order == 0;
    case Comparison::kUnequal:
      return order != 0;
    case Comparison::kLess:
      return order < 0;
    case Comparison::kLessEqual:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    case Comparison::kGreaterEqual:
      return order >= 0;
  }
  TM_CHECK(false, "a comparison of the enumeration");
  return false;
}

bool is_text(Type type) {
  return type == Type::kVarchar || type == Type::kJson;
}

// Evaluates one step after another into `values`.
class Evaluation {
 public:
  Evaluation(const ExpressionProgram& program, const Batch& batch, std::span<const uint32_t> rows,
             std::vector<ExpressionValues>* values)
      : program_(program), batch_(batch), rows_(rows), values_(*values) {}

  void run() {
    for (size_t i = 0; i < program_.steps.size(); ++i) {
      const ExpressionStep& step = program_.steps[i];
      evaluate(step, values_[step.a], values_[step.b], &values_[i]);
    }
  }

 private:
  using Values = ExpressionValues;
  size_t size() const { return rows_.size(); }

  void evaluate(const ExpressionStep& step, const Values& a, const Values& b, Values* out) {
    prepare(step.type, out);
    switch (step.kind) {
      case StepKind::kField:
        return field(step, out);
      case StepKind::kLiteral:
        return literal(step, out);
      case StepKind::kToDouble:
        out->valid = a.valid;
        for (size_t i = 0; i < size(); ++i) out->doubles[i] = static_cast<double>(a.integers[i]);
        return;
      case StepKind::kNegate:
        return negate(step, a, out);
      case StepKind::kNot:
        out->valid = a.valid;
        for (size_t i = 0; i < size(); ++i) out->integers[i] = a.valid[i] & (a.integers[i] ^ 1);
        return;
      case StepKind::kAnd:
      case StepKind::kOr:
        return logic(step.kind == StepKind::kOr, a, b, out);
      case StepKind::kCompare:
        return compare(step, a, b, out);
      case StepKind::kAdd:
      case StepKind::kSubtract:
      case StepKind::kMultiply:
      case StepKind::kDivide:
        return step.type == Type::kDouble ? doubles(step.kind, a, b, out) : integers(step.kind, a, b, out);
      case StepKind::kIsNull:
        for (size_t i = 0; i < size(); ++i) {
          out->valid[i] = 1;
          out->integers[i] = a.valid[i] ^ 1;
        }
        return;
      case StepKind::kLike:
        out->valid = a.valid;
        for (size_t i = 0; i < size(); ++i)
          out->integers[i] = a.valid[i] != 0 && matches_like(a.texts[i], step.text);
        return;
    }
  }

  void prepare(Type type, Values* out) const {
    out->valid.resize(size());
    if (is_text(type)) {
      out->texts.resize(size());
    } else if (type == Type::kDouble) {
      out->doubles.resize(size());
    } else {
      out->integers.resize(size());
    }
  }

  void field(const ExpressionStep& step, Values* out) const {
    const Column* column = batch_.column(step.text);
    TM_CHECK(column != nullptr, "the fields of an expression are decoded");
    for (size_t i = 0; i < size(); ++i) out->valid[i] = column->valid(rows_[i]) ? 1 : 0;
    if (column->is_text()) {
      for (size_t i = 0; i < size(); ++i) out->texts[i] = column->text_at(rows_[i]);
    } else if (column->type() == Type::kDouble) {
      // Not finite is NULL, as of what is computed: no source's NaN reaches a comparison.
      for (size_t i = 0; i < size(); ++i) {
        double value = out->valid[i] != 0 ? column->double_at(rows_[i]) : 0;
        if (!std::isfinite(value)) out->valid[i] = 0;
        out->doubles[i] = out->valid[i] != 0 ? value : 0;
      }
    } else if (column->type() == Type::kBoolean) {
      for (size_t i = 0; i < size(); ++i) out->integers[i] = out->valid[i] != 0 && column->bool_at(rows_[i]);
    } else {
      for (size_t i = 0; i < size(); ++i)
        out->integers[i] = out->valid[i] != 0 ? column->int64_at(rows_[i]) : 0;
    }
  }

  void literal(const ExpressionStep& step, Values* out) const {
    out->valid.assign(size(), step.valid ? 1 : 0);
    if (is_text(step.type)) {
      out->texts.assign(size(), step.text);
    } else if (step.type == Type::kDouble) {
      out->doubles.assign(size(), step.number);
    } else {
      out->integers.assign(size(), step.integer);
    }
  }

  void negate(const ExpressionStep& step, const Values& a, Values* out) const {
    out->valid = a.valid;
    if (step.type == Type::kDouble) {
      for (size_t i = 0; i < size(); ++i) out->doubles[i] = -a.doubles[i];
      return;
    }
    for (size_t i = 0; i < size(); ++i) {
      if (__builtin_sub_overflow(int64_t{0}, a.integers[i], &out->integers[i]))
        nullify(out->integers, i, out);
    }
  }

  // `decisive` is the value that decides alone: false for and, true for or. Two values that do not decide
  // give the other one; a NULL beside them NULL.
  void logic(bool decisive, const Values& a, const Values& b, Values* out) const {
    for (size_t i = 0; i < size(); ++i) {
      bool decided = (a.valid[i] != 0 && (a.integers[i] != 0) == decisive) ||
                     (b.valid[i] != 0 && (b.integers[i] != 0) == decisive);
      out->valid[i] = decided || (a.valid[i] & b.valid[i]) != 0 ? 1 : 0;
      out->integers[i] = decided ? decisive : out->valid[i] != 0 && !decisive;
    }
  }

  template <class A, class B>
  void compare(Comparison how, const std::vector<A>& a, const std::vector<B>& b, Values* out) const {
    for (size_t i = 0; i < size(); ++i) {
      out->integers[i] = out->valid[i] != 0 && holds(how, order(a[i], b[i]));
    }
  }
  void compare(const ExpressionStep& step, const Values& a, const Values& b, Values* out) const {
    both_valid(a, b, out);
    Type left = program_.steps[step.a].type;
    Type right = program_.steps[step.b].type;
    if (is_text(left)) return compare(step.comparison, a.texts, b.texts, out);
    if (left == Type::kDouble && right == Type::kDouble)
      return compare(step.comparison, a.doubles, b.doubles, out);
    if (left == Type::kDouble) return compare(step.comparison, a.doubles, b.integers, out);
    if (right == Type::kDouble) return compare(step.comparison, a.integers, b.doubles, out);
    compare(step.comparison, a.integers, b.integers, out);
  }

  void integers(StepKind kind, const Values& a, const Values& b, Values* out) const {
    both_valid(a, b, out);
    for (size_t i = 0; i < size(); ++i) {
      int64_t* to = &out->integers[i];
      bool overflow = kind == StepKind::kAdd ? __builtin_add_overflow(a.integers[i], b.integers[i], to)
                      : kind == StepKind::kSubtract
                          ? __builtin_sub_overflow(a.integers[i], b.integers[i], to)
                          : __builtin_mul_overflow(a.integers[i], b.integers[i], to);
      if (overflow || out->valid[i] == 0) nullify(out->integers, i, out);
    }
  }

  void doubles(StepKind kind, const Values& a, const Values& b, Values* out) const {
    both_valid(a, b, out);
    for (size_t i = 0; i < size(); ++i) {
      double x = a.doubles[i];
      double y = b.doubles[i];
      bool by_zero = kind == StepKind::kDivide && y == 0;
      double result = kind == StepKind::kAdd        ? x + y
                      : kind == StepKind::kSubtract ? x - y
                      : kind == StepKind::kMultiply ? x * y
                      : by_zero                     ? 0
                                                    : x / y;
      out->doubles[i] = result;
      if (by_zero || !std::isfinite(result) || out->valid[i] == 0) nullify(out->doubles, i, out);
    }
  }

  void both_valid(const Values& a, const Values& b, Values* out) const {
    for (size_t i = 0; i < size(); ++i) out->valid[i] = a.valid[i] & b.valid[i];
  }
  template <class T>
  static void nullify(std::vector<T>& values, size_t row, Values* out) {
    values[row] = 0;
    out->valid[row] = 0;
  }

  const ExpressionProgram& program_;
  const Batch& batch_;
  std::span<const uint32_t> rows_;
  std::vector<ExpressionValues>& values_;
};

size_t character_bytes(std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
  return end - at;
}

}  // namespace

bool matches_like(std::string_view text, std::string_view pattern) {
  // Goes back to the last % only: what an earlier one matched need not change.
  size_t at = 0;
  size_t in_pattern = 0;
  size_t last_percent = std::string_view::npos;
  size_t retry_at = 0;
  while (at < text.size()) {
    if (in_pattern < pattern.size() && pattern[in_pattern] == '%') {
      last_percent = in_pattern++;
      retry_at = at;
    } else if (in_pattern < pattern.size() && pattern[in_pattern] == '_') {
      at += character_bytes(text, at);
      ++in_pattern;
    } else if (in_pattern < pattern.size() && pattern[in_pattern] == text[at]) {
      ++at;
      ++in_pattern;
    } else if (last_percent != std::string_view::npos) {
      retry_at += character_bytes(text, retry_at);
      at = retry_at;
      in_pattern = last_percent + 1;
    } else {
      return false;
    }
  }
  while (in_pattern < pattern.size() && pattern[in_pattern] == '%') ++in_pattern;
  return in_pattern == pattern.size();
}

ExpressionRun::ExpressionRun(const Expression& expression)
    : program_(expression.program_), values_(program_->steps.size()) {}
ExpressionRun::~ExpressionRun() = default;
ExpressionRun::ExpressionRun(ExpressionRun&&) noexcept = default;

const ExpressionValues& ExpressionRun::evaluate(const Batch& batch, std::span<const uint32_t> rows) {
  Evaluation(*program_, batch, rows, &values_).run();
  return values_.back();
}

}  // namespace tidemill::process
