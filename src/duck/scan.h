// Table functions whose rows the program gives (duck.h, ScanFunction), known only inside this folder.
#pragma once

#include <memory>

#include "duck/connection.h"

namespace tidemill::duck {

Status register_scan(const std::shared_ptr<DatabaseHandle>& database, ScanFunction function);

}  // namespace tidemill::duck
