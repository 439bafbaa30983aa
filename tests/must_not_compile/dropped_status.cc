// error: nodiscard
#include "base/result.h"

tidemill::Status commit();

tidemill::Status caller() {
#ifdef MISUSE
  commit();
#endif
  return commit();
}
