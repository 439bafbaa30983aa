// SQL over topics: the views `input` and `output` of a run that serves a topic, and under the topics' names.
#pragma once

#include "solution/host.h"
#include "solution/query_runner.h"

namespace tidemill::solution {

// A database in memory whose views read the topics' committed events, up to where they end as the query
// begins. A view has the schema's fields as columns (NULL where an event's member is missing or of another
// type), and of each record _partition_id, _partition_offset, _timestamp, _key and _message.
Result<QueryStore> open_topic_store(Host& host, const Solution& solution);

}  // namespace tidemill::solution
