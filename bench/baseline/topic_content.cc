#include "baseline/topic_content.h"

#include <dirent.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "baseline/fail.h"
#include "baseline/record_batch.h"

namespace baseline {
namespace {

// ,"enqueuedAt":"2026-11-21T09:07:00.123456Z","processedAt":"2026-11-21T09:07:00.123456Z"}
constexpr std::string_view kAddedForm =
    ",\"enqueuedAt\":\"0000-00-00T00:00:00.000000Z\",\"processedAt\":\"0000-00-00T00:00:00.000000Z\"}";

void without_added(std::string_view value, std::string* whole) {
  if (value.size() < kAddedForm.size()) fail("an event without the added members");
  std::string_view added = value.substr(value.size() - kAddedForm.size());
  for (size_t i = 0; i < added.size(); ++i) {
    bool digit = kAddedForm[i] == '0';
    if (digit ? added[i] < '0' || added[i] > '9' : added[i] != kAddedForm[i]) {
      fail("an event whose added members have another form");
    }
  }
  whole->assign(value.substr(0, value.size() - kAddedForm.size()));
  whole->push_back('}');
}

void read_file(const std::string& path, bool spliced, int64_t* least, Content* content) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || ::fstat(fd, &info) != 0) fail("open");
  auto size = static_cast<size_t>(info.st_size);
  if (size == 0) {
    ::close(fd);
    return;
  }
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  ::madvise(mapped, size, MADV_SEQUENTIAL);
  const char* at = static_cast<const char*>(mapped);
  const char* end = at + size;
  std::string whole;
  while (at < end) {
    size_t batch = batch_size(at);
    if (batch > static_cast<size_t>(end - at)) fail("a batch that is cut short");
    auto* checked = reinterpret_cast<unsigned char*>(const_cast<char*>(at) + kBatchChecked);
    if (~crc32_iscsi(checked, static_cast<int>(batch - kBatchChecked), ~0u) != load_be32(at + 17)) {
      fail("a batch with a wrong checksum");
    }
    auto base = static_cast<int64_t>(load_be64(at));
    if (base < *least) fail("offsets that do not rise");
    *least = base + static_cast<int64_t>(load_be32(at + 23)) + 1;
    if (!is_control(at)) {
      for_each_record(at, [&](const RecordView& record) {
        std::string_view value(record.value, record.value_size);
        if (spliced) {
          without_added(value, &whole);
          value = whole;
        }
        content->add(value);
      });
    }
    at += batch;
  }
  ::munmap(mapped, size);
  ::close(fd);
}

}  // namespace

void Content::add(std::string_view value) {
  ++records;
  bytes += value.size();
  values += XXH3_64bits(value.data(), value.size());
}

void add_batch(const std::string& batch, Content* content) {
  for_each_record(batch.data(), [&](const RecordView& record) {
    content->add({record.value, record.value_size});
  });
}

std::vector<std::string> segment_files(const std::string& directory) {
  std::vector<std::string> files;
  DIR* handle = ::opendir(directory.c_str());
  if (handle == nullptr) fail("open a partition's directory");
  while (const dirent* entry = ::readdir(handle)) {
    std::string name = entry->d_name;
    if (name.ends_with(".log")) files.push_back(directory + "/" + name);
  }
  ::closedir(handle);
  std::sort(files.begin(), files.end());
  return files;
}

Content read_topic(const std::vector<std::string>& partitions, bool spliced) {
  Content content;
  for (const std::string& directory : partitions) {
    int64_t least = 0;
    for (const std::string& file : segment_files(directory)) read_file(file, spliced, &least, &content);
  }
  return content;
}

}  // namespace baseline
