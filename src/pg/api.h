// libpq as a table of functions, filled from libpq.so.5 at run time. Each member is the function of
// libpq-fe.h of the same name without its prefix: api().status is PQstatus. For src/pg; everybody else needs
// only connection.h.
#pragma once

#include <libpq-fe.h>

#include <string>
#include <vector>

#include "base/result.h"

// clang-format off
#define TM_PG_FUNCTIONS(F)                                                                                \
  F(libVersion) F(connectdbParams) F(finish) F(status) F(errorMessage) F(conninfoParse) F(conninfoFree)   \
  F(host) F(port) F(db) F(serverVersion) F(parameterStatus) F(backendPID) F(setNoticeReceiver)            \
  F(exec) F(execParams) F(sendQueryParams) F(setSingleRowMode) F(getResult) F(resultStatus)                     \
  F(resultErrorField) F(resultErrorMessage) F(clear) F(cmdStatus) F(cmdTuples) F(ntuples) F(nfields)      \
  F(fname) F(ftype) F(getvalue) F(getlength) F(getisnull) F(putCopyData) F(putCopyEnd) F(getCopyData)     \
  F(freemem) F(getCancel) F(freeCancel) F(cancel)
// clang-format on

namespace tidemill::pg {

struct Api {
#define TM_PG_MEMBER(name) decltype(&::PQ##name) name = nullptr;
  TM_PG_FUNCTIONS(TM_PG_MEMBER)
#undef TM_PG_MEMBER
};

// Loads the library once; later calls return the first outcome if it was a success and try again if
// it was not. Thread-safe. Errors: kUser, naming every place that was searched and what was wrong there.
Result<const Api*> load_api();

// Precondition: load_api() succeeded, as it has wherever a Connection exists.
const Api& api();

// Where load_api() looks, in order. An explicit choice (TIDEMILL_LIBPQ) is the only candidate.
std::vector<std::string> library_candidates();

}  // namespace tidemill::pg
