#include "event/testing/fuzzing.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "base/file_system.h"

namespace tidemill::testing {
namespace {

constexpr size_t kMaxInputBytes = size_t{1} << 20;

size_t place(const std::string& text, SeededRandom& random) {
  return random.below(text.size() + 1);
}

void print_input(std::string_view input) {
  for (char c : input) {
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      std::putchar(c);
    } else {
      std::printf("\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  std::putchar('\n');
}

}  // namespace

std::string mutate(std::string text, const std::vector<std::string>& corpus,
                   const std::vector<std::string_view>& dictionary, SeededRandom& random) {
  for (uint64_t left = 1 + random.below(6); left > 0; --left) {
    size_t at = place(text, random);
    size_t size = random.below(1 + random.below(64));
    switch (random.below(7)) {
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
      default:
        if (random.below(4) == 0) text.resize(at);
    }
  }
  if (text.size() > kMaxInputBytes) text.resize(kMaxInputBytes);
  return text;
}

int fuzz(int argc, char** argv, FuzzTarget target) {
  uint64_t seed = Random::system().next();
  double seconds = 2;
  uint64_t max_runs = UINT64_MAX;
  for (int i = 1; i < argc; ++i) {
    bool has_value = i + 1 < argc;
    if (std::strcmp(argv[i], "--seconds") == 0 && has_value) {
      seconds = std::strtod(argv[++i], nullptr);
    } else if (std::strcmp(argv[i], "--runs") == 0 && has_value) {
      max_runs = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--seed") == 0 && has_value) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      auto file = read_file(FileSystem::posix(), argv[i]);
      if (!file.ok()) {
        std::printf("%s\n", file.error().message.c_str());
        return 2;
      }
      target.corpus.push_back(std::move(file).value());
    }
  }
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  int64_t end_ns = Clock::system().steady_ns() + static_cast<int64_t>(seconds * 1e9);
  uint64_t runs = 0;
  for (; runs < max_runs && Clock::system().steady_ns() < end_ns; ++runs) {
    SeededRandom random(seed + runs);
    std::string input;
    if (runs < target.corpus.size()) {
      input = target.corpus[runs];
    } else if (!target.corpus.empty()) {
      input =
          mutate(target.corpus[random.below(target.corpus.size())], target.corpus, target.dictionary, random);
    }
    std::string problem = target.run(input, random);
    if (problem.empty()) continue;
    std::printf("run %llu of seed %llu: %s\ninput: ", static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(seed), problem.c_str());
    print_input(input);
    return 1;
  }
  std::printf("%llu runs\n", static_cast<unsigned long long>(runs));
  return 0;
}

}  // namespace tidemill::testing
