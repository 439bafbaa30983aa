#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "duck/api.h"
#include "duck/duck.h"

namespace tidemill::duck {
namespace {

using ::testing::HasSubstr;

// Numbers from 0, each with its text; every seventh has none.
class Count final : public Scan {
 public:
  Count(int64_t end, int64_t fails_at) : end_(end), fails_at_(fails_at) {}
  Result<size_t> next(const std::vector<_duckdb_vector*>& columns, size_t most) override {
    size_t row = 0;
    for (; row < most && at_ < end_; ++row, ++at_) {
      if (at_ == fails_at_) return external_error("the well is dry", Code::kFailed);
      if (columns[0] != nullptr) static_cast<int64_t*>(api().vector_get_data(columns[0]))[row] = at_;
      if (columns[1] == nullptr) continue;
      if (at_ % 7 == 0) {
        api().vector_ensure_validity_writable(columns[1]);
        api().vector_get_validity(columns[1])[row / 64] &= ~(uint64_t{1} << (row % 64));
      } else {
        std::string text = "number " + std::to_string(at_);
        api().vector_assign_string_element_len(columns[1], row, text.data(), text.size());
      }
    }
    return row;
  }

 private:
  int64_t at_ = 0;
  const int64_t end_, fails_at_;
};

class DuckScan : public ::testing::Test {
 protected:
  void add(int64_t end, int64_t fails_at = -1) {
    ScanFunction function;
    function.name = "numbers";
    function.columns = {{"n", "BIGINT"}, {"text", "VARCHAR"}};
    function.open = [=]() -> Result<std::unique_ptr<Scan>> {
      if (end < 0) return external_error("no well here", Code::kNotFound);
      return std::unique_ptr<Scan>(std::make_unique<Count>(end, fails_at));
    };
    ASSERT_TRUE(database_->add_function(std::move(function)).ok());
    ASSERT_TRUE(database_->lock_down().ok());
  }
  // The only row, its columns as text; or the error.
  std::string ask(const std::string& sql) {
    auto connection = database_->connect().value();
    auto rows = connection->read(sql);
    if (!rows.ok()) return rows.error().message;
    auto count = (*rows)->next();
    if (!count.ok()) return count.error().message;
    std::string all;
    for (size_t c = 0; *count > 0 && c < (*rows)->column_count(); ++c) {
      all += (c == 0 ? "" : " ") + (*rows)->display(c, 0);
    }
    return all;
  }
  std::shared_ptr<Database> database_ = Database::open(":memory:", {{"threads", "2"}}).value();
};

TEST_F(DuckScan, GivesRowsOfManyChunksAndOnlyTheColumnsThatAreRead) {
  add(10'000);
  EXPECT_EQ(ask("SELECT count(*), sum(n), count(text) FROM numbers()"), "10000 49995000 8571");
  EXPECT_EQ(ask("SELECT count(*) FROM numbers()"), "10000");
  EXPECT_EQ(ask("SELECT max(n) FROM numbers()"), "9999");
  EXPECT_EQ(ask("SELECT text FROM numbers() WHERE n = 9998"), "number 9998");
  EXPECT_EQ(ask("SELECT count(*) FROM numbers() a JOIN numbers() b USING (n)"), "10000");
}

TEST_F(DuckScan, AnEmptyOneHasNoRows) {
  add(0);
  EXPECT_EQ(ask("SELECT count(*), min(text) FROM numbers()"), "0 NULL");
}

TEST_F(DuckScan, ItsErrorsAreTheQuerys) {
  add(5'000, 3'000);
  EXPECT_THAT(ask("SELECT sum(n) FROM numbers()"), HasSubstr("the well is dry"));
}

TEST_F(DuckScan, ItsErrorBehindRowsThatWereReadIsTheQuerys) {
  add(5'000'000, 3'000'000);
  auto connection = database_->connect().value();
  auto rows = connection->read("SELECT n FROM numbers()").value();
  int64_t read = 0;
  auto count = rows->next();
  for (; count.ok() && *count > 0; count = rows->next()) read += static_cast<int64_t>(*count);
  EXPECT_GT(read, 0);
  EXPECT_LT(read, 3'000'000);
  ASSERT_FALSE(count.ok());
  EXPECT_THAT(count.error().message, HasSubstr("the well is dry"));
}

TEST_F(DuckScan, ItsErrorAtTheStartIsTheQuerys) {
  add(-1);
  EXPECT_THAT(ask("SELECT sum(n) FROM numbers()"), HasSubstr("no well here"));
}

TEST_F(DuckScan, AColumnOfATypeThatThereIsNotIsAnError) {
  Status added = database_->add_function({"numbers", {{"n", "NUMERAL"}}, {}});
  ASSERT_FALSE(added.ok());
  EXPECT_THAT(added.error().message, HasSubstr("column n"));
}

// Numbers from 0, for several threads.
class Shared final : public Scan {
 public:
  Shared(int64_t end, std::atomic<int64_t>* at) : end_(end), at_(at) {}
  size_t threads() const override { return 2; }
  Result<size_t> next(const std::vector<_duckdb_vector*>& columns, size_t most) override {
    const int64_t from = at_->fetch_add(static_cast<int64_t>(most));
    size_t row = 0;
    for (; row < most && from + static_cast<int64_t>(row) < end_; ++row)
      static_cast<int64_t*>(api().vector_get_data(columns[0]))[row] = from + static_cast<int64_t>(row);
    return row;
  }

 private:
  const int64_t end_;
  std::atomic<int64_t>* at_;
};

TEST_F(DuckScan, OfOneConnectionIsRunAgainByAKeptStatementAndRefusedToOthers) {
  std::atomic<int64_t> at{0};
  int64_t end = 1'000'000;
  auto connection = database_->connect().value();
  ScanFunction function{"shared", {{"n", "BIGINT"}}, {}};
  function.open = [&]() -> Result<std::unique_ptr<Scan>> {
    return std::unique_ptr<Scan>(std::make_unique<Shared>(end, &at));
  };
  ASSERT_TRUE(connection->add_function(std::move(function)).ok());
  ASSERT_TRUE(connection->execute("CREATE TABLE kept (n BIGINT)").ok());
  const std::string insert = "INSERT INTO kept SELECT n FROM shared()";
  EXPECT_EQ(connection->execute_kept(insert).value(), 1'000'000);
  at = 1'000'000;
  end = 1'000'007;
  EXPECT_EQ(connection->execute_kept(insert).value(), 7);
  EXPECT_EQ(ask("SELECT count(*), count(DISTINCT n), max(n) FROM kept"), "1000007 1000007 1000006");
  EXPECT_THAT(ask("SELECT count(*) FROM shared()"), HasSubstr("own use"));
}

}  // namespace
}  // namespace tidemill::duck
