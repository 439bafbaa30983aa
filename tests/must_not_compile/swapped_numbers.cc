// error: (could not convert|cannot convert|no viable conversion|no matching function)
#include "event/position.h"

void read_from(tidemill::Partition partition, tidemill::Offset offset);

void caller(tidemill::Partition partition, tidemill::Offset offset) {
#ifdef MISUSE
  read_from(offset, partition);
#endif
  read_from(partition, offset);
}
