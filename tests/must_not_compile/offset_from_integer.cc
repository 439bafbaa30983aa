// error: (conversion from|no viable conversion)
#include "event/position.h"

tidemill::Offset caller(int64_t number) {
#ifdef MISUSE
  tidemill::Offset offset = number;
#else
  tidemill::Offset offset{number};
#endif
  return offset;
}
