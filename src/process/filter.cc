#include "process/filter.h"

#include <optional>

#include "base/text.h"
#include "process/expression.h"
#include "process/in_place.h"

namespace tidemill::process {
namespace {

class FilterInstance final : public InPlaceInstance {
 public:
  explicit FilterInstance(const Expression& where) : where_(where) {}

 private:
  Status transform(Batch& batch, pipeline::OperatorContext&) override {
    const ExpressionValues& values = where_.evaluate(batch, batch.selected);
    size_t kept = 0;
    for (size_t i = 0; i < batch.selected.size(); ++i) {
      batch.selected[kept] = batch.selected[i];
      kept += values.valid[i] != 0 && values.integers[i] != 0 ? 1 : 0;
    }
    batch.dropped += batch.selected.size() - kept;
    batch.selected.resize(kept);
    return {};
  }

  ExpressionRun where_;
};

class Filter final : public pipeline::Operator {
 public:
  explicit Filter(std::string where) : text_(std::move(where)) {}

  std::string name() const override { return "filter"; }
  Status bind(Schema* schema) override {
    auto bound = Expression::bind(text_, *schema);
    if (!bound.ok()) return std::move(bound).error().within("where");
    if (bound->type() != Type::kBoolean) {
      return user_error("where: " + text_ + " is a " + std::string(type_name(bound->type())) +
                        "; a filter needs what is true or false, such as value > 50");
    }
    where_ = std::move(bound).value();
    return {};
  }
  std::vector<std::string> needs() const override { return where_->fields(); }
  std::unique_ptr<pipeline::OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<FilterInstance>(*where_);
  }
  std::string describe() const override { return "filter " + text_; }

 private:
  std::string text_;
  std::optional<Expression> where_;
};

}  // namespace

Result<std::unique_ptr<pipeline::Operator>> make_filter(std::string where) {
  if (trim(where).empty()) return user_error("where: is missing; give an expression, as value > 50");
  return std::unique_ptr<pipeline::Operator>(std::make_unique<Filter>(std::move(where)));
}

}  // namespace tidemill::process
