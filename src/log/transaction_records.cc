#include "log/transaction_records.h"

#include "base/bytes.h"

namespace tidemill::log {
namespace {

// A record's key is its kind; its value begins with the version that wrote it and the oldest
// version of a reader that understands it.
enum Kind : uint8_t {
  kSnapshot = 0,
  kNextProducerId = 1,
  kProducer = 2,
  kCommit = 3,
  kPosition = 4,
  kForgetTopic = 5,
};
constexpr uint8_t kVersion = 1;

void put_partition(ByteWriter& out, const TopicPartition& tp) {
  out.sized(tp.topic);
  out.be(tp.partition.value());
}

TopicPartition get_partition(ByteReader& in) {
  TopicPartition tp;
  tp.topic = in.sized();
  tp.partition = Partition(in.be<int32_t>());
  return tp;
}

Producer get_producer(ByteReader& in) {
  Producer producer;
  producer.id = in.be<int64_t>();
  producer.epoch = in.be<int16_t>();
  return producer;
}

void apply_commit(ByteReader& in, TransactionState& state) {
  uint64_t transactions = in.varuint();
  for (uint64_t i = 0; in.ok() && i < transactions; ++i) {
    CommittedTransaction transaction;
    transaction.producer = get_producer(in);
    uint64_t extents = in.varuint();
    for (uint64_t j = 0; in.ok() && j < extents; ++j) {
      TopicPartition tp = get_partition(in);
      Offset first(in.be<int64_t>());
      Offset last(in.be<int64_t>());
      transaction.extents.push_back({std::move(tp), first, last});
    }
    state.commits.push_back(std::move(transaction));
  }
}

void apply_position(ByteReader& in, TransactionState& state) {
  std::string group(in.sized());
  TopicPartition source = get_partition(in);
  CommittedPosition position;
  position.position.offset = Offset(in.be<int64_t>());
  position.position.leader_epoch = LeaderEpoch(in.be<int32_t>());
  position.epoch = in.be<int64_t>();
  position.incarnation = in.be<int32_t>();
  position.metadata = in.sized();
  state.positions[{std::move(group), std::move(source)}] = std::move(position);
}

void apply_record(uint8_t kind, ByteReader& in, TransactionState& state) {
  switch (kind) {
    case kSnapshot:
      state = {};
      break;
    case kNextProducerId:
      state.next_producer_id = in.be<int64_t>();
      break;
    case kProducer: {
      bool transactional = in.be<uint8_t>() != 0;
      std::string name(in.sized());
      (transactional ? state.transactional : state.idempotent)[name] = get_producer(in);
      break;
    }
    case kCommit:
      apply_commit(in, state);
      break;
    case kPosition:
      apply_position(in, state);
      break;
    case kForgetTopic: {
      std::string topic(in.sized());
      std::erase_if(state.positions, [&](const auto& entry) { return entry.first.second.topic == topic; });
      // A topic of the same name that is made later has these offsets again.
      for (CommittedTransaction& commit : state.commits) {
        std::erase_if(commit.extents, [&](const auto& extent) { return extent.tp.topic == topic; });
      }
      break;
    }
    default:
      break;
  }
}

}  // namespace

Status TransactionState::apply(const BatchHeader& header, std::string_view batch) {
  std::string scratch;
  std::vector<Record> records;
  TM_TRY(decode_records(header, batch, kMaxDecompressedBytes, &scratch, &records));
  for (const Record& record : records) {
    ByteReader in(record.value);
    in.be<uint8_t>();
    auto oldest_reader = in.be<uint8_t>();
    if (!in.ok() || record.key.size() != 1) {
      return external_error("offset " + std::to_string(record.offset.value()) + ": not a transaction record",
                            Code::kCorrupt);
    }
    if (oldest_reader > kVersion) {
      return user_error("offset " + std::to_string(record.offset.value()) +
                        ": written by a newer tidemill; use that version");
    }
    apply_record(static_cast<uint8_t>(record.key[0]), in, *this);
    if (!in.ok()) {
      return external_error(
          "offset " + std::to_string(record.offset.value()) + ": transaction record ends early",
          Code::kCorrupt);
    }
    if (next_producer_id < 0 || next_producer_id > kLastProducerId) {
      return external_error("offset " + std::to_string(record.offset.value()) + ": producer id " +
                                std::to_string(next_producer_id) + " is beyond all that are handed out",
                            Code::kCorrupt);
    }
  }
  return {};
}

void TransactionBatch::add(uint8_t kind, const std::string& fields) {
  char key = static_cast<char>(kind);
  builder_.add(timestamp_ms_, std::string_view(&key, 1), fields);
}

namespace {

struct Fields {
  std::string bytes;
  ByteWriter out{bytes};
  Fields() {
    out.be(kVersion);
    out.be(kVersion);
  }
};

}  // namespace

void TransactionBatch::next_producer_id(int64_t id) {
  Fields fields;
  fields.out.be(id);
  add(kNextProducerId, fields.bytes);
}

void TransactionBatch::producer(const std::string& name, Producer producer, bool transactional) {
  Fields fields;
  fields.out.be(static_cast<uint8_t>(transactional ? 1 : 0));
  fields.out.sized(name);
  fields.out.be(producer.id);
  fields.out.be(producer.epoch);
  add(kProducer, fields.bytes);
}

void TransactionBatch::commit(const std::vector<CommittedTransaction>& transactions) {
  Fields fields;
  fields.out.varuint(transactions.size());
  for (const CommittedTransaction& transaction : transactions) {
    fields.out.be(transaction.producer.id);
    fields.out.be(transaction.producer.epoch);
    fields.out.varuint(transaction.extents.size());
    for (const auto& extent : transaction.extents) {
      put_partition(fields.out, extent.tp);
      fields.out.be(extent.first.value());
      fields.out.be(extent.last.value());
    }
  }
  add(kCommit, fields.bytes);
}

void TransactionBatch::position(const std::string& group, const TopicPartition& source,
                                const CommittedPosition& position) {
  Fields fields;
  fields.out.sized(group);
  put_partition(fields.out, source);
  fields.out.be(position.position.offset.value());
  fields.out.be(position.position.leader_epoch.value());
  fields.out.be(position.epoch);
  fields.out.be(position.incarnation);
  fields.out.sized(position.metadata);
  add(kPosition, fields.bytes);
}

void TransactionBatch::forget_topic(const std::string& topic) {
  Fields fields;
  fields.out.sized(topic);
  add(kForgetTopic, fields.bytes);
}

void TransactionBatch::snapshot(const TransactionState& state) {
  add(kSnapshot, Fields().bytes);
  next_producer_id(state.next_producer_id);
  for (const auto& [name, id] : state.transactional) producer(name, id, true);
  for (const auto& [name, id] : state.idempotent) producer(name, id, false);
  for (const auto& [key, value] : state.positions) position(key.first, key.second, value);
  if (!state.commits.empty()) commit(state.commits);
}

std::string TransactionBatch::finish() {
  auto batch = builder_.finish();
  TM_CHECK(batch.ok(), "an uncompressed batch is always built");
  return std::move(batch).value();
}

}  // namespace tidemill::log
