// Everything that Prometheus is told about a run (docs/metrics.md).
#pragma once

#include <vector>

#include "observe/prometheus.h"

namespace tidemill::solution {

class Host;

// Called from any thread.
std::vector<observe::MetricFamily> run_metrics(const Host& host);

}  // namespace tidemill::solution
