// Table functions whose rows the program gives (duck.h, ScanFunction), known only inside this folder.
#pragma once

#include <memory>

#include "duck/connection.h"

namespace tidemill::duck {

// `only_for`: the connection that may call it; null: any.
Status register_scan(const std::shared_ptr<DatabaseHandle>& database, ScanFunction function,
                     const ConnectionHandle* only_for = nullptr);

}  // namespace tidemill::duck
