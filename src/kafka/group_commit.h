// Ordinary commits of a group's positions, in no transaction.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kafka/admin.h"
#include "kafka/client.h"

namespace tidemill::kafka {

// Positions with their metadata, as librdkafka takes them. `offsets` must outlive it.
class OffsetList {
 public:
  explicit OffsetList(const GroupOffsets& offsets);
  ~OffsetList();
  OffsetList(const OffsetList&) = delete;
  OffsetList& operator=(const OffsetList&) = delete;
  rd_kafka_topic_partition_list_t* get() const { return list_.get(); }

 private:
  PartitionList list_;
};

// Commits by a consumer of the group: a member of it, or of one without members anybody. Returns ok when the
// group's coordinator has stored all of them. Errors: kFenced: the group has gone on without this member;
// kUnknown: no answer came, it may be stored, now or later; retryable: it is not. Any thread.
Status commit_positions(Client& client, const std::string& what, const GroupOffsets& offsets, int timeout_ms);

// The members of groups in this process, by which positions can be committed: a group with members takes them
// from nobody else, and from none that it has put out. Thread-safe.
class Members {
 public:
  // For as long as the client lives. The token is good in this process only.
  static std::string add(const std::shared_ptr<Client>& member);
  // Null: it is gone.
  static std::shared_ptr<Client> find(const std::string& token);
};

}  // namespace tidemill::kafka
