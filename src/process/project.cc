#include "process/project.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "process/added_column.h"
#include "process/expression.h"
#include "process/in_place.h"
#include "process/schema_fields.h"

namespace tidemill::process {
namespace {

bool covers(const std::string& name, const std::string& field) {
  return field == name ||
         (field.size() > name.size() && field[name.size()] == '.' && field.starts_with(name));
}
bool any_covers(const std::vector<std::string>& names, const std::string& field) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return covers(name, field); });
}

struct BoundField {
  std::string name;
  Expression expression;
};

// What instances share; bound, immutable.
struct ProjectPlan {
  std::vector<BoundField> add;
  std::set<std::string, std::less<>> gone;  // names that the schema has no more
};

// Values of the selected rows as a column of the batch: NULL in the others.
Column to_column(const std::string& name, Type type, const ExpressionValues& values, const Batch& batch) {
  Column column(name, type);
  column.reserve(batch.size());
  size_t next = 0;
  for (uint32_t row = 0; row < batch.size(); ++row) {
    bool selected = next < batch.selected.size() && batch.selected[next] == row;
    size_t at = next;
    next += selected ? 1 : 0;
    if (!selected || values.valid[at] == 0) {
      column.append_null();
    } else if (column.is_text()) {
      column.append_text(values.texts[at]);
    } else if (type == Type::kDouble) {
      column.append_double(values.doubles[at]);
    } else if (type == Type::kBoolean) {
      column.append_bool(values.integers[at] != 0);
    } else {
      column.append_int64(values.integers[at]);
    }
  }
  return column;
}

class ProjectInstance final : public InPlaceInstance {
 public:
  explicit ProjectInstance(const ProjectPlan& plan) : plan_(plan) {
    for (const BoundField& field : plan.add) runs_.emplace_back(field.expression);
  }

 private:
  Status transform(Batch& batch, pipeline::OperatorContext&) override {
    std::vector<Column> computed;
    computed.reserve(runs_.size());
    for (size_t i = 0; i < runs_.size(); ++i) {
      const ExpressionValues& values = runs_[i].evaluate(batch, batch.selected);
      computed.push_back(to_column(plan_.add[i].name, plan_.add[i].expression.type(), values, batch));
    }
    std::erase_if(batch.added,
                  [&](uint32_t index) { return plan_.gone.contains(batch.columns[index].name()); });
    for (Column& column : computed) add_column(batch, std::move(column));
    return {};
  }

  const ProjectPlan& plan_;
  std::vector<ExpressionRun> runs_;
};

class Project final : public pipeline::Operator {
 public:
  explicit Project(ProjectOptions options) : options_(std::move(options)) {}

  std::string name() const override { return "project"; }

  Status bind(Schema* schema) override {
    TM_TRY(check_names(*schema, options_.keep, "keep"));
    TM_TRY(check_names(*schema, options_.drop, "drop"));
    for (const ComputedField& field : options_.add) {
      auto bound = Expression::bind(field.expression, *schema);
      if (!bound.ok()) return std::move(bound).error().within("add." + field.name);
      plan_.add.push_back({field.name, std::move(bound).value()});
    }
    std::vector<Field> kept;
    for (Field& field : schema->fields) {
      bool keep = (options_.keep.empty() || any_covers(options_.keep, field.name)) &&
                  !any_covers(options_.drop, field.name);
      if (keep) {
        kept.push_back(std::move(field));
      } else {
        plan_.gone.insert(field.name);
      }
    }
    schema->fields = std::move(kept);
    for (const BoundField& field : plan_.add) {
      TM_TRY(add_field(schema, field));
      plan_.gone.erase(field.name);
    }
    if (schema->fields.empty()) return user_error("leaves no field; keep or add one");
    for (std::string* role :
         {&schema->id_field, &schema->key_field, &schema->sequence_field, &schema->time_field}) {
      if (plan_.gone.contains(*role)) role->clear();
    }
    return {};
  }

  std::vector<std::string> needs() const override {
    std::vector<std::string> fields;
    for (const BoundField& field : plan_.add) {
      fields.insert(fields.end(), field.expression.fields().begin(), field.expression.fields().end());
    }
    return fields;
  }
  std::vector<std::string> adds() const override {
    std::vector<std::string> names;
    for (const ComputedField& field : options_.add) names.push_back(field.name);
    return names;
  }
  std::unique_ptr<pipeline::OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<ProjectInstance>(plan_);
  }
  std::string describe() const override {
    std::string text = "project";
    if (!options_.keep.empty()) text += ", keep " + join(options_.keep, ", ");
    if (!options_.drop.empty()) text += ", drop " + join(options_.drop, ", ");
    for (const ComputedField& field : options_.add) text += ", add " + field.name + " = " + field.expression;
    return text.size() > 7 ? "project " + text.substr(9) : text;
  }

 private:
  static Status check_names(const Schema& schema, const std::vector<std::string>& names, const char* option) {
    for (const std::string& name : names) {
      bool known = std::any_of(schema.fields.begin(), schema.fields.end(),
                               [&](const Field& field) { return covers(name, field.name); });
      if (known) continue;
      TM_ASSIGN(const Field* field, find_field(schema, name, option));
      (void)field;
    }
    return {};
  }

  // A new field stands in the object that its dots name; one that replaces another stands in its place.
  static Status add_field(Schema* schema, const BoundField& added) {
    Field field{added.name, split_path(added.name), added.expression.type(), true};
    int index = schema->find(added.name);
    if (index >= 0) {
      field.path = schema->fields[static_cast<size_t>(index)].path;
      schema->fields[static_cast<size_t>(index)] = std::move(field);
      return {};
    }
    for (const Field& other : schema->fields) {
      if (!covers(added.name, other.name) && !covers(other.name, added.name)) continue;
      return user_error("add." + added.name + ": " + other.name +
                        " is a field; one cannot be a member of the other");
    }
    schema->fields.push_back(std::move(field));
    return {};
  }

  ProjectOptions options_;
  ProjectPlan plan_;
};

}  // namespace

Result<std::unique_ptr<pipeline::Operator>> make_project(ProjectOptions options) {
  if (options.keep.empty() && options.drop.empty() && options.add.empty()) {
    return user_error("does nothing; give keep, drop or add");
  }
  std::set<std::string> names;
  for (const ComputedField& field : options.add) {
    if (field.name.empty()) return user_error("add: a field without a name");
    if (!names.insert(field.name).second) return user_error("add: " + field.name + " stands there twice");
  }
  return std::unique_ptr<pipeline::Operator>(std::make_unique<Project>(std::move(options)));
}

}  // namespace tidemill::process
