// error: nodiscard
#include "base/result.h"

tidemill::Result<int> read();

int caller() {
#ifdef MISUSE
  read();
#endif
  return read().ok() ? 1 : 0;
}
