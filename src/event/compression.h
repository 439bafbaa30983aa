// Appending and streaming forms of the codecs in record_batch.h; for this module's own files.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "event/record_batch.h"

namespace tidemill {

// Compresses `bytes` behind what `out` already holds, so that a batch's header needs no second copy.
Status compress_behind(Compression codec, std::string_view bytes, std::string* out);

}  // namespace tidemill
