// Appends to the embedded log of this process.
#pragma once

#include "log/log.h"
#include "simulate/appender.h"

namespace tidemill::simulate {

// `log` outlives the appender. Errors: kNotFound where there is no such topic.
Result<std::unique_ptr<Appender>> make_log_appender(log::Log& log, const std::string& topic);

// A factory of them.
AppenderFactory log_appenders(log::Log& log);

}  // namespace tidemill::simulate
