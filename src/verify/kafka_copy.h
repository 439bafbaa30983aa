// A topic of Kafka as segment files, for the accountings to read: taken by a consumer of the verifier's own,
// of committed events only, and written by its own writer. It takes as much disk as the topic holds.
#pragma once

#include <functional>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "kafka/connection.h"
#include "verify/verify.h"

namespace tidemill::verify {

// Copies all of the topic's partitions, from their beginning to the ends that they have now, into
// `<directory>/<topic>-<partition>/`, and says what is there. Waits for transactions that are open before
// those ends. Ends with stopped() once `stop` says so. Errors: no broker answers, there is no such topic, the
// disk.
Result<TopicFiles> copy_topic(const kafka::Connection& connection, const std::string& topic,
                              FileSystem& files, const std::string& directory,
                              const std::function<bool()>& stop);

}  // namespace tidemill::verify
