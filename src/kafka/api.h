// librdkafka's C API as a table of functions, filled from librdkafka.so.1 at run time. Each member is the
// function of rdkafka.h of the same name without its prefix: api().conf_set is rd_kafka_conf_set;
// api().new_client is rd_kafka_new. For src/kafka and for whoever reads its messages one by one.
#pragma once

#include <librdkafka/rdkafka.h>

#include <string>
#include <vector>

#include "base/result.h"

// clang-format off
#define TM_KAFKA_FUNCTIONS(F)                                                                             \
  F(version) F(version_str) F(conf_new) F(conf_destroy) F(conf_set) F(conf) F(conf_get) F(conf_set_opaque)                    \
  F(conf_set_rebalance_cb) F(conf_set_ssl_cert_verify_cb) F(conf_enable_sasl_queue)                     \
  F(sasl_background_callbacks_enable) F(conf_set_error_cb) F(conf_set_log_cb) F(conf_set_dr_msg_cb)                  \
  F(destroy) F(destroy_flags) F(opaque) F(poll) F(flush) F(purge) F(outq_len) F(name)                     \
  F(err2str) F(err2name) F(last_error) F(fatal_error)                                                     \
  F(error_code) F(error_string) F(error_is_fatal) F(error_is_retriable) F(error_txn_requires_abort)       \
  F(error_destroy)                                                                                        \
  F(poll_set_consumer) F(subscribe) F(unsubscribe) F(assign) F(incremental_assign)                        \
  F(incremental_unassign) F(assignment_lost) F(rebalance_protocol) F(consumer_close_queue) F(consumer_closed) \
  F(queue_get_consumer) F(queue_destroy) F(consume_queue) F(consume_batch_queue)                          \
  F(message_destroy) F(message_timestamp) F(message_headers) F(message_leader_epoch)                      \
  F(header_get_all) F(headers_new) F(header_add) F(headers_destroy)                                       \
  F(consumer_group_metadata_new) F(consumer_group_metadata_destroy)                                       \
  F(get_watermark_offsets) F(query_watermark_offsets)                                                                               \
  F(topic_partition_list_new) F(topic_partition_list_destroy) F(topic_partition_list_add)                 \
  F(topic_partition_set_leader_epoch) F(topic_partition_get_leader_epoch)                                 \
  F(topic_new) F(topic_destroy) F(topic_name) F(produceva) F(seek_partitions) F(pause_partitions) F(resume_partitions)                                                             \
  F(init_transactions) F(begin_transaction) F(send_offsets_to_transaction) F(commit_transaction)          \
  F(abort_transaction)                                                                                    \
  F(metadata) F(metadata_destroy) F(queue_new) F(queue_poll)                                              \
  F(event_type) F(event_error) F(event_error_string) F(event_destroy)                                     \
  F(AdminOptions_new) F(AdminOptions_destroy) F(AdminOptions_set_request_timeout)                         \
  F(AdminOptions_set_operation_timeout) F(AdminOptions_set_isolation_level)                               \
  F(NewTopic_new) F(NewTopic_set_config) F(NewTopic_destroy) F(CreateTopics)                              \
  F(event_CreateTopics_result) F(CreateTopics_result_topics) F(topic_result_error)                        \
  F(topic_result_error_string)                                                                            \
  F(NewPartitions_new) F(NewPartitions_destroy) F(CreatePartitions) F(event_CreatePartitions_result)      \
  F(CreatePartitions_result_topics)                                                                       \
  F(DeleteTopic_new) F(DeleteTopic_destroy) F(DeleteTopics) F(event_DeleteTopics_result)                  \
  F(DeleteTopics_result_topics)                                                                           \
  F(ConfigResource_new) F(ConfigResource_destroy) F(DescribeConfigs) F(event_DescribeConfigs_result)      \
  F(DescribeConfigs_result_resources) F(ConfigResource_configs) F(ConfigResource_error)                   \
  F(ConfigResource_error_string) F(ConfigEntry_name) F(ConfigEntry_value)                                 \
  F(ListOffsets) F(event_ListOffsets_result) F(ListOffsets_result_infos)                                  \
  F(ListOffsetsResultInfo_topic_partition)                                                                \
  F(TopicCollection_of_topic_names) F(TopicCollection_destroy) F(DescribeTopics)                          \
  F(event_DescribeTopics_result) F(DescribeTopics_result_topics) F(TopicDescription_error)                \
  F(TopicDescription_partitions)                                                                          \
  F(DeleteRecords_new) F(DeleteRecords_destroy) F(DeleteRecords) F(event_DeleteRecords_result)            \
  F(DeleteRecords_result_offsets) F(committed) F(commit) F(commit_queue)                                  \
  F(event_topic_partition_list) F(clusterid) F(mem_free)
// clang-format on

namespace tidemill::kafka {

struct Api {
  decltype(&::rd_kafka_new) new_client = nullptr;
#define TM_KAFKA_MEMBER(name) decltype(&::rd_kafka_##name) name = nullptr;
  TM_KAFKA_FUNCTIONS(TM_KAFKA_MEMBER)
#undef TM_KAFKA_MEMBER
};

// Loads the library once; later calls return the first outcome if it was a success and try again if
// it was not. Thread-safe. Errors: kUser, naming every place that was searched and what was wrong there.
Result<const Api*> load_api();

// Precondition: load_api() succeeded, as it has wherever a Client exists.
const Api& api();

// Where load_api() looks, in order. An explicit choice (TIDEMILL_LIBRDKAFKA) is the only candidate.
std::vector<std::string> library_candidates();

}  // namespace tidemill::kafka
