// `tidemill verify`: describes a run to the verifier.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "solution/socket.h"
#include "verify/verify.h"

namespace tidemill::solution {

class Host;
struct Solution;

// What the run's files and the settings say, of its solution or a branch of it; nothing of the pipeline's
// code takes part in the checks. Topics in Kafka are copied to `scratch` first.
Result<verify::VerifyRequest> describe_run(Host& host, const Solution& solution, const std::string& scratch,
                                           const std::function<bool()>& stop = nullptr);

// Why nothing can account for the events of a solution, or of a branch; nullopt: something can.
std::optional<std::string> why_unverified(const Solution& solution);

// Arguments: rules=strict|reference (default: the solution's), format=table|json. The last piece of the
// answer is "\x01PASS" or
// "\x01FAIL", for the exit status. Branches are verified one after another, and all must pass; those that
// cannot be are named, and with spare=1 there may be no other: the last piece is then "\x01NONE". Records the
// verdict in run.json, and finishes the run with finish=1, or where all was sent and nothing is processed.
// Errors: kStopped where `stop` said so before there was a verdict; then nothing is recorded.
Status answer_verify(Host& host, const Request& request, const Reply& reply,
                     const std::function<bool()>& stop);

}  // namespace tidemill::solution
