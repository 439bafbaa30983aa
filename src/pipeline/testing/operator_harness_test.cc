#include "pipeline/testing/operator_harness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"

namespace tidemill::pipeline {
namespace {

using testing::HasSubstr;

enum class Fault { kNone, kDependsOnBatch, kNoDelta, kTwice, kClock, kLosesSnapshot, kLosesRow, kStuck };

// Numbers the events by a counter that is its state and drops every third.
class Counting final : public OperatorInstance {
 public:
  explicit Counting(Fault fault) : fault_(fault) {}

  Result<Progress> process(BatchPtr& batch, OperatorContext& context, Outbox& out) override {
    if (!transformed_ || fault_ == Fault::kTwice) transform(*batch, context);
    transformed_ = true;
    if (fault_ == Fault::kStuck) return Progress::kAgain;
    if (!out.push(batch)) return Progress::kAgain;
    transformed_ = false;
    return Progress::kDone;
  }
  Status apply(std::string_view delta) override {
    ByteReader reader(delta);
    count_ = reader.varuint();
    if (!reader.ok()) return internal_error("bad", Code::kCorrupt);
    return {};
  }
  void snapshot(DeltaWriter& deltas) override {
    if (fault_ != Fault::kLosesSnapshot) write(deltas);
  }

 private:
  void transform(Batch& batch, OperatorContext& context) {
    std::vector<uint32_t> rows;
    rows.swap(batch.selected);
    for (uint32_t row : rows) {
      ++count_;
      bool drop = fault_ == Fault::kDependsOnBatch ? row % 3 == 2 : count_ % 3 == 0;
      if (fault_ == Fault::kClock) drop = context.now_us == 0;
      if (!drop) {
        batch.selected.push_back(row);
      } else if (fault_ != Fault::kLosesRow) {
        ++batch.dropped;
      }
    }
    if (fault_ != Fault::kNoDelta) write(*context.deltas);
  }
  void write(DeltaWriter& deltas) {
    std::string delta;
    ByteWriter(delta).varuint(count_);
    deltas.add(delta);
  }

  Fault fault_;
  uint64_t count_ = 0;
  bool transformed_ = false;
};

class CountingOperator final : public Operator {
 public:
  explicit CountingOperator(Fault fault) : fault_(fault) {}
  std::string name() const override { return "counting"; }
  Status bind(Schema*) override { return {}; }
  std::vector<std::string> needs() const override { return {}; }
  bool stateful() const override { return true; }
  std::unique_ptr<OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<Counting>(fault_);
  }

 private:
  Fault fault_;
};

Status check(Fault fault) {
  OperatorCase test_case;
  test_case.make = [fault]() -> Result<std::unique_ptr<Operator>> {
    return std::unique_ptr<Operator>(std::make_unique<CountingOperator>(fault));
  };
  for (int i = 0; i < 30; ++i)
    test_case.events.push_back({"k", "{\"i\":" + std::to_string(i) + "}", 1000 + i});
  return check_operator(test_case);
}

TEST(OperatorHarness, AcceptsAnOperatorThatKeepsTheContract) {
  Status status = check(Fault::kNone);
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
}

TEST(OperatorHarness, FindsPlantedFaults) {
  const std::pair<Fault, const char*> faults[] = {
      {Fault::kDependsOnBatch, "batches of"},
      {Fault::kNoDelta, "its deltas, applied to a copy"},
      {Fault::kTwice, "full outbox"},
      {Fault::kClock, "another wall clock"},
      {Fault::kLosesSnapshot, "restart"},
      {Fault::kLosesRow, "accounted for"},
      {Fault::kStuck, "kAgain, although the outbox had room"},
  };
  for (const auto& [fault, message] : faults) {
    Status status = check(fault);
    ASSERT_FALSE(status.ok()) << message;
    EXPECT_THAT(status.error().message, HasSubstr(message));
  }
}

}  // namespace
}  // namespace tidemill::pipeline
