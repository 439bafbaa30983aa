#include "base/testing/fuzzing.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file_system.h"

#if defined(__SANITIZE_ADDRESS__)
#define TM_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TM_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef TM_ADDRESS_SANITIZER
// No input of at most 1 MiB is worth a larger allocation.
extern "C" const char* __asan_default_options() {
  return "max_allocation_size_mb=1000";
}
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

#ifdef TIDEMILL_GUIDED
extern "C" int LLVMFuzzerRunDriver(int* argc, char*** argv, int (*callback)(const uint8_t*, size_t));
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);
#endif

namespace tidemill::testing {
namespace {

constexpr size_t kMaxInputBytes = size_t{1} << 20;
constexpr unsigned kHangSeconds = 60;
[[maybe_unused]] constexpr rlim_t kMemoryLimit = rlim_t{2} << 30;

// The input that is being run: what a crash leaves behind.
struct Current {
  std::string_view input;
  std::string name;  // of the target
  char path[256] = {};
  uint64_t seed = 0;
  uint64_t run = 0;
};
Current current;

// FNV-1a: the input decides what is done with it.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Called when the program is about to die: allocates nothing.
void keep_input() {
  int file = ::open(current.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return;
  (void)!::write(file, current.input.data(), current.input.size());
  ::close(file);
  char line[400];
  int size = std::snprintf(line, sizeof line, "run %llu of seed %llu fails; its input: %s\n",
                           static_cast<unsigned long long>(current.run),
                           static_cast<unsigned long long>(current.seed), current.path);
  (void)!::write(STDOUT_FILENO, line, static_cast<size_t>(size));
}

void on_signal(int number) {
  keep_input();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void keep_inputs_of_crashes() {
  std::signal(SIGALRM, on_signal);
  std::signal(SIGABRT, on_signal);
#ifdef TM_ADDRESS_SANITIZER
  __sanitizer_set_death_callback(keep_input);
#else
  for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, on_signal);
  rlimit limit{kMemoryLimit, kMemoryLimit};
  ::setrlimit(RLIMIT_AS, &limit);
#endif
}

size_t place(const std::string& text, SeededRandom& random) {
  return random.below(text.size() + 1);
}

// Lengths and offsets are where integers at their limits do harm.
void put_integer(std::string& text, size_t at, SeededRandom& random) {
  constexpr uint64_t kInteresting[] = {0,          1,         0x7f,      0x80,       0xff,
                                       0x7fff,     0x8000,    0xffff,    0x7fffffff, 0x80000000,
                                       0xffffffff, INT64_MAX, UINT64_MAX};
  uint64_t value = kInteresting[random.below(std::size(kInteresting))] + random.below(3) - 1;
  char bytes[sizeof value];
  bool big = random.below(2) == 0;
  size_t size = size_t{1} << random.below(4);
  if (big) {
    store_be(bytes, value << (64 - 8 * size));
  } else {
    store_le(bytes, value);
  }
  if (at + size <= text.size()) std::memcpy(text.data() + at, bytes, size);
}

struct Arguments {
  double seconds = 2;
  uint64_t runs = UINT64_MAX;
  uint64_t seed = 0;
  std::string problem;
};

void add_file(const std::string& path, FuzzTarget& target, Arguments& arguments) {
  auto file = read_file(FileSystem::posix(), path);
  if (!file.ok())
    arguments.problem = file.error().message;
  else
    target.corpus.push_back(std::move(file).value());
}

Arguments read_arguments(int argc, char** argv, FuzzTarget& target) {
  Arguments arguments;
  const char* given = std::getenv("TIDEMILL_SEED");
  arguments.seed = given != nullptr ? std::strtoull(given, nullptr, 10) : Random::system().next() >> 16;
  for (int i = 1; i < argc; ++i) {
    bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--seconds") == 0 && has_value) {
      arguments.seconds = std::strtod(argv[++i], nullptr);
    } else if (std::strcmp(argv[i], "--runs") == 0 && has_value) {
      arguments.runs = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seed") == 0 && has_value) {
      arguments.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::filesystem::is_directory(argv[i])) {
      auto names = FileSystem::posix().list(argv[i]);
      if (!names.ok()) arguments.problem = names.error().message;
      for (size_t n = 0; names.ok() && n < names->size(); ++n)
        add_file(join_path(argv[i], (*names)[n]), target, arguments);
    } else {
      add_file(argv[i], target, arguments);
    }
  }
  return arguments;
}

void note_input(std::string_view input, uint64_t hash, uint64_t run) {
  current.input = input;
  current.run = run;
  std::snprintf(current.path, sizeof current.path, "%.200s-%016llx.input", current.name.c_str(),
                static_cast<unsigned long long>(hash));
}

std::string make_input(const FuzzTarget& target, SeededRandom& random) {
  if (target.corpus.empty()) return {};
  std::string input =
      mutate(target.corpus[random.below(target.corpus.size())], target.corpus, target.dictionary, random);
  if (target.seal && random.below(4) != 0) target.seal(input);
  return input;
}

}  // namespace

std::string mutate(std::string text, const std::vector<std::string>& corpus,
                   const std::vector<std::string_view>& dictionary, SeededRandom& random) {
  for (uint64_t left = 1 + random.below(6); left > 0; --left) {
    size_t at = place(text, random);
    size_t size = random.below(1 + random.below(64));
    switch (random.below(8)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random.next());
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << random.below(8)));
        break;
      case 2:
        text.erase(at, size);
        break;
      case 3: {
        std::string piece = text.substr(at, size);
        text.insert(place(text, random), piece);
        break;
      }
      case 4:
        if (!dictionary.empty()) text.insert(at, dictionary[random.below(dictionary.size())]);
        break;
      case 5:
        if (!corpus.empty()) {
          const std::string& other = corpus[random.below(corpus.size())];
          text.insert(at, other.substr(place(other, random), size));
        }
        break;
      case 6:
        put_integer(text, at, random);
        break;
      default:
        if (random.below(4) == 0) text.resize(at);
    }
  }
  if (text.size() > kMaxInputBytes) text.resize(kMaxInputBytes);
  return text;
}

#ifdef TIDEMILL_GUIDED
namespace {

FuzzTarget* guided = nullptr;

int run_guided(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  SeededRandom choices(hash_of(input));
  std::string problem = guided->run(input, choices);
  if (problem.empty()) return 0;
  std::printf("%s\n", problem.c_str());
  std::fflush(stdout);
  std::abort();
}

// libFuzzer keeps what reaches new code, and mutates that; the arguments are its own.
int fuzz_guided(int argc, char** argv, FuzzTarget& target) {
  guided = &target;
  for (int i = 1; i + 1 < argc; ++i) argv[i] = argv[i + 1];
  --argc;
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;
    // The first directory gets what the target made by itself, and what is found.
    for (const std::string& made : target.corpus) {
      std::string path = join_path(argv[i], "made-" + std::to_string(hash_of(made)));
      auto file = FileSystem::posix().open(path, OpenMode::kCreate);
      if (file.ok()) (void)(*file)->write_at(0, made).ok();
    }
    break;
  }
  return LLVMFuzzerRunDriver(&argc, &argv, run_guided);
}

}  // namespace
#endif

int fuzz(int argc, char** argv, FuzzTarget target) {
#ifdef TIDEMILL_GUIDED
  if (argc > 1 && std::strcmp(argv[1], "--guided") == 0) return fuzz_guided(argc, argv, target);
#endif
  Arguments arguments = read_arguments(argc, argv, target);
  if (!arguments.problem.empty()) {
    std::printf("%s\n", arguments.problem.c_str());
    return 2;
  }
  current.name = std::filesystem::path(argv[0]).filename();
  current.seed = arguments.seed;
  std::printf("seed %llu\n", static_cast<unsigned long long>(arguments.seed));
  std::fflush(stdout);
  keep_inputs_of_crashes();
  int64_t end_ns = Clock::system().steady_ns() + static_cast<int64_t>(arguments.seconds * 1e9);
  uint64_t runs = 0;
  // The corpus as it is comes first, however short the time.
  for (; runs < arguments.runs && (runs < target.corpus.size() || Clock::system().steady_ns() < end_ns);
       ++runs) {
    SeededRandom random(arguments.seed + runs);
    std::string input = runs < target.corpus.size() ? target.corpus[runs] : make_input(target, random);
    uint64_t hash = hash_of(input);
    note_input(input, hash, runs);
    ::alarm(kHangSeconds);
    SeededRandom choices(hash);
    std::string problem = target.run(input, choices);
    if (problem.empty()) continue;
    std::printf("%s\n", problem.c_str());
    std::fflush(stdout);
    keep_input();
    return 1;
  }
  ::alarm(0);
  std::printf("%llu runs\n", static_cast<unsigned long long>(runs));
  return 0;
}

}  // namespace tidemill::testing

#ifdef TIDEMILL_GUIDED
// Found by its name.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  using namespace tidemill;
  using namespace tidemill::testing;
  SeededRandom random(seed);
  std::string input;
  if (random.below(2) == 0) {
    input.assign(reinterpret_cast<char*>(data), LLVMFuzzerMutate(data, size, max_size));
  } else {
    input =
        mutate(std::string(reinterpret_cast<char*>(data), size), guided->corpus, guided->dictionary, random);
  }
  if (guided->seal && random.below(4) != 0) guided->seal(input);
  size = std::min(input.size(), max_size);
  std::memcpy(data, input.data(), size);
  return size;
}
#endif
