// What this process holds in memory that the system cannot drop: anonymous pages and dirty mapped ones.
#pragma once

namespace tidemill::bench {

double dirty_mb();

}  // namespace tidemill::bench
