// Expressions over the fields of an event: value > 50 and type in ('TEMP', 'CO2').
//
// Bound once against a schema: names and types are checked there, so that evaluating cannot fail.
// Evaluated a batch at a time, column by column. SQL's three-valued logic: NULL where something is
// unknown. A division by zero, an integer that leaves 64 bits and a double that is not finite are
// NULL as well. Language: docs/operators.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/batch.h"
#include "event/schema.h"

namespace tidemill::process {

// Values of one column, one for each evaluated row. Only the vector of its type is filled, and NULL
// rows hold zero there.
struct ExpressionValues {
  std::vector<uint8_t> valid;
  std::vector<int64_t> integers;  // BIGINT; TIMESTAMP in microseconds; BOOLEAN as 0 or 1
  std::vector<double> doubles;
  std::vector<std::string_view> texts;  // borrowed from the batch or the expression
};

class ExpressionProgram;  // the checked form; immutable

class Expression {
 public:
  // Errors: kUser, "column 7: …", with the nearest field where one is unknown.
  static Result<Expression> bind(std::string_view text, const Schema& schema);

  // BOOLEAN, BIGINT, DOUBLE, TIMESTAMP, VARCHAR, or JSON (a field as it is).
  Type type() const;
  // The fields that it reads, each once.
  const std::vector<std::string>& fields() const;

 private:
  friend class ExpressionRun;
  explicit Expression(std::shared_ptr<const ExpressionProgram> program) : program_(std::move(program)) {}
  std::shared_ptr<const ExpressionProgram> program_;
};

// The buffers of one user of an expression, kept between batches. Not thread-safe.
class ExpressionRun {
 public:
  explicit ExpressionRun(const Expression& expression);
  ~ExpressionRun();
  ExpressionRun(ExpressionRun&&) noexcept;

  // The values for these rows, in their order; good until the next call. The batch has the fields' columns.
  const ExpressionValues& evaluate(const Batch& batch, std::span<const uint32_t> rows);

 private:
  std::shared_ptr<const ExpressionProgram> program_;
  std::vector<ExpressionValues> values_;  // of each step of the program
};

}  // namespace tidemill::process
