#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <memory>

#include "base/bytes.h"
#include "verify/segment_reader.h"

namespace tidemill::verify {
namespace {

Error broken(const char* codec) {
  return internal_error(std::string(codec) + " data cannot be decompressed, or is larger than allowed",
                        Code::kCorrupt);
}

// Grows `out` by doubling, up to the limit; false when nothing more is allowed.
bool make_room(std::string* out, size_t used, size_t limit) {
  if (used < out->size()) return true;
  if (used >= limit) return false;
  out->resize(std::min(limit, std::max<size_t>(64 << 10, used * 2)));
  return true;
}

Status gunzip(std::string_view bytes, size_t limit, std::string* out) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 32) != Z_OK) return broken("gzip");
  auto close = [](z_stream* s) { inflateEnd(s); };
  std::unique_ptr<z_stream, decltype(close)> closer(&stream, close);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  size_t used = 0;
  for (;;) {
    if (!make_room(out, used, limit)) return broken("gzip");
    stream.next_out = reinterpret_cast<Bytef*>(out->data() + used);
    stream.avail_out = static_cast<uInt>(out->size() - used);
    int state = inflate(&stream, Z_NO_FLUSH);
    used = out->size() - stream.avail_out;
    if (state == Z_STREAM_END && stream.avail_in == 0) break;
    // Members may follow one another.
    if (state == Z_STREAM_END ? inflateReset(&stream) != Z_OK : state != Z_OK) return broken("gzip");
  }
  out->resize(used);
  return ok_status();
}

// Its densest element copies 64 bytes and takes three: a larger length is not worth allocating.
constexpr size_t kMostSnappyRatio = 64;

Status unsnappy_block(std::string_view bytes, size_t limit, std::string* out) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(bytes.data(), bytes.size(), &size) || size > limit - out->size() ||
      size > bytes.size() * kMostSnappyRatio) {
    return broken("snappy");
  }
  size_t begin = out->size();
  out->resize(begin + size);
  if (!snappy::RawUncompress(bytes.data(), bytes.size(), out->data() + begin)) return broken("snappy");
  return ok_status();
}

// One block, or blocks behind their lengths after the header that xerial's Java library writes.
Status unsnappy(std::string_view bytes, size_t limit, std::string* out) {
  constexpr std::string_view kMagic("\x82SNAPPY\0", 8);
  constexpr size_t kHeader = 16;
  out->clear();
  if (!bytes.starts_with(kMagic)) return unsnappy_block(bytes, limit, out);
  ByteReader reader(bytes);
  reader.bytes(kHeader);
  while (reader.ok() && reader.remaining() > 0) {
    auto size = reader.be<uint32_t>();
    std::string_view block = reader.bytes(size);
    if (!reader.ok()) break;
    TM_TRY(unsnappy_block(block, limit, out));
  }
  if (!reader.ok()) return broken("snappy");
  return ok_status();
}

Status unlz4(std::string_view bytes, size_t limit, std::string* out) {
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)) != 0) return broken("lz4");
  std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> closer(context,
                                                                              &LZ4F_freeDecompressionContext);
  size_t used = 0;
  size_t want = 1;
  while (want != 0 || !bytes.empty()) {  // frames may follow one another
    if (!make_room(out, used, limit)) return broken("lz4");
    size_t produced = out->size() - used;
    size_t consumed = bytes.size();
    want = LZ4F_decompress(context, out->data() + used, &produced, bytes.data(), &consumed, nullptr);
    if (LZ4F_isError(want) != 0 || (produced == 0 && consumed == 0 && used < out->size()))
      return broken("lz4");
    used += produced;
    bytes.remove_prefix(consumed);
  }
  out->resize(used);
  return ok_status();
}

Status unzstd(std::string_view bytes, size_t limit, std::string* out) {
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(), &ZSTD_freeDStream);
  if (!stream) return broken("zstd");
  // 2^27 is what zstd takes by default; a frame may ask for a window of 2^31 bytes.
  constexpr int kLeastWindowLog = 23, kMostWindowLog = 27;
  ZSTD_DCtx_setParameter(
      stream.get(), ZSTD_d_windowLogMax,
      std::clamp(static_cast<int>(std::bit_width(limit)), kLeastWindowLog, kMostWindowLog));
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  size_t used = 0;
  for (;;) {
    if (!make_room(out, used, limit)) return broken("zstd");
    ZSTD_outBuffer to{out->data() + used, out->size() - used, 0};
    size_t consumed_before = in.pos;
    size_t hint = ZSTD_decompressStream(stream.get(), &to, &in);
    used += to.pos;
    if (ZSTD_isError(hint) != 0) return broken("zstd");
    if (hint == 0 && in.pos == in.size) break;
    if (to.pos == 0 && in.pos == consumed_before) return broken("zstd");
  }
  out->resize(used);
  return ok_status();
}

}  // namespace

Status decompress(int codec, std::string_view bytes, size_t limit, std::string* out) {
  out->clear();
  // The usual ratio, so that most batches need no second allocation.
  out->resize(std::min(limit, std::max<size_t>(bytes.size() * 4, 4096)));
  switch (codec) {
    case 1:
      return gunzip(bytes, limit, out);
    case 2:
      return unsnappy(bytes, limit, out);
    case 3:
      return unlz4(bytes, limit, out);
    case 4:
      return unzstd(bytes, limit, out);
    default:
      return internal_error("unknown compression codec " + std::to_string(codec), Code::kCorrupt);
  }
}

}  // namespace tidemill::verify
