// error: (cannot convert|no viable conversion)
#include "event/position.h"

int64_t caller(tidemill::Offset offset) {
#ifdef MISUSE
  int64_t number = offset;
#else
  int64_t number = offset.value();
#endif
  return number;
}
