// GroupSender on a broker: TIDEMILL_KAFKA says where (kafka.py starts one).
#include "kafka/group_sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/random.h"
#include "kafka/reader.h"

namespace tidemill::kafka {
namespace {

constexpr int32_t kPartitions = 3;

Connection broker() {
  Connection connection;
  const char* address = std::getenv("TIDEMILL_KAFKA");
  connection.brokers = address == nullptr ? "" : address;
  return connection;
}

// What has become of records, by their opaque.
class Answers {
 public:
  Client::Delivery listener() {
    return [this](void* opaque, bool delivered, const std::string& why) {
      std::lock_guard lock(mutex_);
      ++*static_cast<int*>(opaque);
      ++(delivered ? delivered_ : refused_);
      if (!delivered) why_ = why;
      changed_.notify_all();
    };
  }
  // Waits until there are so many.
  void wait(int answers) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return delivered_ + refused_ >= answers; });
  }
  int refused() {
    std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int delivered_ = 0, refused_ = 0;
  std::string why_;
};

Record record_of(const std::string& value) {
  Record record;
  record.value = value;
  record.has_value = true;
  return record;
}

std::string new_topic(Admin& admin) {
  NewTopic topic;
  topic.name = "groups-" + std::to_string(Random::system().next());
  topic.partitions = kPartitions;
  auto created = admin.create_topic(topic);
  EXPECT_TRUE(created.ok()) << created.error().message;
  return topic.name;
}

std::vector<std::string> values_of(Admin& admin, const TopicPartition& from) {
  std::vector<std::string> values;
  const Offset end = admin.offsets({from}, {OffsetQuery::kEnd, 0}).value().front().offset;
  auto read = read_range(broker(), from, Offset(0), end, [&](const Record& record) -> Status {
    values.emplace_back(record.value);
    return {};
  });
  EXPECT_TRUE(read.ok()) << read.error().message;
  return values;
}

// Small ones, and such that a group has room for one or two of a partition.
std::string random_value(SeededRandom& random, int number) {
  std::string value = std::to_string(number) + " ";
  const uint64_t kind = random.below(100);
  const size_t most = kind == 0 ? 990'000 : kind < 5 ? 400'000 : 2'000;
  value.append(static_cast<size_t>(random.below(most)), static_cast<char>('a' + random.below(26)));
  return value;
}

TEST(GroupSender, EachRecordIsThereOnceAndInOrder) {
  auto admin = Admin::open(broker()).value();
  const std::string topic = new_topic(*admin);
  constexpr int kRecords = 3'000;
  SeededRandom random(7);
  Answers answers;
  std::vector<int> of_each(kRecords, 0);
  std::vector<std::vector<std::string>> sent(kPartitions);
  {
    ProducerOptions options;
    options.on_delivery = answers.listener();
    auto sender = GroupSender::open(broker(), options).value();
    for (int i = 0; i < kRecords; ++i) {
      const auto partition = static_cast<int32_t>(random.below(kPartitions));
      const std::string& value = sent[static_cast<size_t>(partition)].emplace_back(random_value(random, i));
      ASSERT_TRUE(
          sender->add({topic, Partition(partition)}, record_of(value), &of_each[static_cast<size_t>(i)])
              .ok());
      if (random.below(20) == 0) sender->send();
      ASSERT_TRUE(sender->wait_for_room(60'000));
    }
    sender->send();
    answers.wait(kRecords);
  }
  EXPECT_EQ(answers.refused(), 0);
  EXPECT_THAT(of_each, testing::Each(1));
  for (int32_t p = 0; p < kPartitions; ++p) {
    EXPECT_TRUE(values_of(*admin, {topic, Partition(p)}) == sent[static_cast<size_t>(p)])
        << "partition " << p;
  }
}

TEST(GroupSender, SaysAtOnceWhichRecordIsTooLarge) {
  auto admin = Admin::open(broker()).value();
  const TopicPartition to{new_topic(*admin), Partition(0)};
  Answers answers;
  int first = 0, large = 0, last = 0;
  ProducerOptions options;
  options.on_delivery = answers.listener();
  auto sender = GroupSender::open(broker(), options).value();
  ASSERT_TRUE(sender->add(to, record_of("first"), &first).ok());
  Status added = sender->add(to, record_of(std::string(1'000'000, 'x')), &large);
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code, Code::kInvalid);
  EXPECT_THAT(added.error().message, testing::HasSubstr("an event of 1000000 bytes"));
  ASSERT_TRUE(sender->add(to, record_of("last"), &last).ok());
  sender->send();
  answers.wait(2);
  EXPECT_EQ(large, 0);
  EXPECT_THAT(values_of(*admin, to), testing::ElementsAre("first", "last"));
}

TEST(GroupSender, SaysWhatTheBrokerRefuses) {
  auto admin = Admin::open(broker()).value();
  const TopicPartition to{new_topic(*admin), Partition(kPartitions + 1)};
  Answers answers;
  int unknown = 0;
  ProducerOptions options;
  options.on_delivery = answers.listener();
  auto sender = GroupSender::open(broker(), options).value();
  ASSERT_TRUE(sender->add(to, record_of("nowhere"), &unknown).ok());
  sender->send();
  answers.wait(1);
  EXPECT_EQ(answers.refused(), 1);
}

TEST(GroupSender, EndsWhileNoBrokerAnswers) {
  Connection nobody;
  nobody.brokers = "127.0.0.1:1";
  int answered = 0;
  Answers answers;
  ProducerOptions options;
  options.queue_bytes = 8;
  options.on_delivery = answers.listener();
  auto sender = GroupSender::open(nobody, options).value();
  ASSERT_TRUE(sender->wait_for_room(0));
  ASSERT_TRUE(sender->add({"t", Partition(0)}, record_of("12345678"), &answered).ok());
  sender->send();
  EXPECT_FALSE(sender->wait_for_room(1));
}

}  // namespace
}  // namespace tidemill::kafka
