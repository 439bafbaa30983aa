#include "serve/event_json.h"

#include <utility>

#include "event/json_splice.h"

namespace tidemill::serve {

std::vector<std::string> member_path(const Field& field) {
  return field.path.empty() ? std::vector<std::string>{field.name} : field.path;
}

namespace {

// Fields in the order in which they are written: those of one object together.
void group(const std::vector<Field>& fields, const std::vector<size_t>& members, size_t depth,
           std::vector<size_t>* order) {
  std::vector<bool> done(members.size(), false);
  for (size_t i = 0; i < members.size(); ++i) {
    if (done[i]) continue;
    std::vector<std::string> path = member_path(fields[members[i]]);
    if (path.size() == depth + 1) {
      order->push_back(members[i]);
      continue;
    }
    std::vector<size_t> same;
    for (size_t j = i; j < members.size(); ++j) {
      std::vector<std::string> other = member_path(fields[members[j]]);
      if (done[j] || other.size() <= depth + 1 || other[depth] != path[depth]) continue;
      done[j] = true;
      same.push_back(members[j]);
    }
    group(fields, same, depth + 1, order);
  }
}

}  // namespace

JsonWriter::JsonWriter(const std::vector<Field>& fields) {
  std::vector<size_t> all(fields.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  std::vector<size_t> order;
  group(fields, all, 0, &order);
  std::vector<std::string> open;  // the objects that the last value stands in
  std::string before = "{";
  bool first = true;
  for (size_t field : order) {
    std::vector<std::string> path = member_path(fields[field]);
    size_t shared = 0;
    while (shared < open.size() && shared + 1 < path.size() && open[shared] == path[shared]) ++shared;
    before.append(open.size() - shared, '}');
    open.resize(shared);
    if (!first) before += ',';
    for (size_t depth = shared; depth + 1 < path.size(); ++depth) {
      append_json_string(path[depth], &before);
      before += ":{";
      open.push_back(path[depth]);
    }
    append_json_string(path.back(), &before);
    before += ':';
    steps_.push_back({std::exchange(before, {}), field});
    first = false;
  }
  after_ = before + std::string(open.size() + 1, '}');
}

void JsonWriter::append(const std::vector<const Column*>& columns, uint32_t row, std::string* out) const {
  for (const Step& step : steps_) {
    *out += step.before;
    append_json_value(columns[step.field], row, out);
  }
  *out += after_;
}

size_t EventJson::Parts::size_bytes() const {
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i) bytes += parts[i].size();
  return bytes;
}

EventJson::EventJson(JsonForm form, std::vector<Field> fields)
    : form_(form),
      fields_(std::move(fields)),
      writer_(form == JsonForm::kRebuild ? JsonWriter(fields_) : JsonWriter()) {}

void EventJson::begin(const Batch& batch) {
  batch_ = &batch;
  replaced_at_ = 0;
  columns_.clear();
  added_names_.clear();
  if (form_ == JsonForm::kRebuild) {
    for (const Field& field : fields_) columns_.push_back(batch.column(field.name));
  }
  for (uint32_t column : batch.added) added_names_.push_back(batch.columns[column].name());
  added_.begin(batch);
}

EventJson::Parts EventJson::value(uint32_t row) {
  const Record& record = batch_->records()[row];
  if (form_ == JsonForm::kRebuild) {
    members_.clear();
    writer_.append(columns_, row, &members_);
    return {{members_}, 1};
  }
  if (!record.has_value) return {};
  if (batch_->added.empty()) return {{record.value}, 1};
  std::string_view object = record.value;
  const std::vector<uint32_t>& replaced = batch_->has_added_member;
  while (replaced_at_ < replaced.size() && replaced[replaced_at_] < row) ++replaced_at_;
  if (replaced_at_ < replaced.size() && replaced[replaced_at_] == row) {
    cut_ = remove_members(object, added_names_);
    object = cut_;
  }
  SplicePoint point = find_splice_point(object);
  std::string_view added = added_.text(row);
  return {{point.head, added.substr(point.comma ? 0 : 1)}, 2};
}

}  // namespace tidemill::serve
