// The owner's socket against a hostile asker, and an asker against a hostile owner: frames of any bytes.
// Nothing crashes, and the next asker is answered.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "base/bytes.h"
#include "base/logging.h"
#include "base/testing/fuzzing.h"
#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "serve/testing/scratch.h"
#include "solution/log_requests.h"
#include "solution/socket.h"

using namespace tidemill;
using namespace tidemill::solution;

namespace {

constexpr size_t kFrameHead = 5;  // length, type

std::string frame(uint8_t type, std::string_view payload) {
  std::string out;
  ByteWriter writer(out);
  writer.le(static_cast<uint32_t>(payload.size()));
  writer.le(type);
  return out + std::string(payload);
}

std::string request(std::string_view verb, const std::vector<std::pair<std::string, std::string>>& arguments,
                    std::string_view body = {}) {
  std::string out;
  ByteWriter writer(out);
  writer.sized(verb);
  writer.varuint(arguments.size());
  for (const auto& [key, value] : arguments) {
    writer.sized(key);
    writer.sized(value);
  }
  writer.sized(body);
  return frame(1, out);
}

// A length that leads beyond the end ends with the bytes.
void seal(std::string& bytes) {
  for (size_t at = 0; bytes.size() - at >= kFrameHead;) {
    size_t size = load_le<uint32_t>(bytes.data() + at);
    size = std::min(size, bytes.size() - at - kFrameHead);
    store_le(bytes.data() + at, static_cast<uint32_t>(size));
    at += kFrameHead + size;
  }
}

int raw_socket(const std::string& path, bool listen) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto* to = reinterpret_cast<sockaddr*>(&address);
  int done = listen ? ::bind(fd, to, sizeof address) : ::connect(fd, to, sizeof address);
  if (done == 0 && listen) done = ::listen(fd, 4);
  TM_CHECK(done == 0);
  return fd;
}

void send_and_leave(int fd, std::string_view bytes) {
  (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ::shutdown(fd, SHUT_WR);
  char sink[4096];
  while (::recv(fd, sink, sizeof sink, 0) > 0) {
  }
  ::close(fd);
}

std::string ask_owner(const std::string& directory, std::string_view bytes) {
  MemoryFiles files;
  ManualClock clock;
  SeededRandom random(1);
  auto log = log::Log::open(files, clock, random, "/log", {}).value();
  TM_CHECK(log->create_topic("t", {.partitions = 2}).ok());
  auto server = SocketServer::start(
      directory, [&](Request& asked, const Reply& reply, const std::atomic<bool>& gone) -> Status {
        asked.arguments.erase("follow");  // would wait until the asker's leaving is noticed
        return answer_log_request(*log, {}, asked, reply, gone, [](uint64_t, uint64_t) {});
      });
  if (!server.ok()) return server.error().message;
  send_and_leave(raw_socket(directory + "/socket", false), bytes);
  auto next = SocketClient::connect(directory);
  if (!next.ok()) return "the next asker cannot connect: " + next.error().message;
  auto answer = (*next)->ask(Request{"log.partitions", {{"topic", "t"}}, ""});
  return answer.ok() && *answer == "2" ? "" : "the next asker is not answered";
}

std::string ask_impostor(const std::string& directory, std::string_view bytes) {
  std::string path = directory + "/socket";
  ::unlink(path.c_str());
  int listener = raw_socket(path, true);
  std::thread impostor([&] { send_and_leave(::accept(listener, nullptr, nullptr), bytes); });
  {
    auto client = SocketClient::connect(directory);
    TM_CHECK(client.ok());
    auto answer = (*client)->ask(Request{"log.topics", {}, ""}, 1 << 20);
    if (!answer.ok()) (void)answer.error().message.size();
  }
  impostor.join();
  ::close(listener);
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  set_log_level(LogLevel::kOff);
  serve::Scratch scratch("socket-fuzz");
  testing::FuzzTarget target;
  RecordBatchBuilder builder(RecordBatchBuilder::Options{});
  builder.add(1000, "key", "value");
  std::string batch = builder.finish().value();
  using Arguments = std::vector<std::pair<std::string, std::string>>;
  Arguments place{{"topic", "t"}, {"partition", "1"}};
  target.corpus = {
      request("log.topics", {{"format", "json"}, {"all", "1"}}),
      request("log.append", place, batch) + request("log.wait", {{"ticket", "1"}}) +
          request("log.read", {{"topic", "t"}, {"partition", "-1"}, {"max", "5"}, {"format", "json"}}),
      request("log.append", place, batch) + request("log.read", {{"topic", "t"}, {"format", "batches"}}),
      request("log.init", {{"name", "x"}}) +
          request("log.last_sequence", {{"topic", "t"}, {"id", "1"}, {"epoch", "0"}}),
      request("log.end", place) + request("log.partitions", place),
      request("log.read", {{"topic", "t"}, {"from", "2026-01-31T12:00:00Z"}}),
      frame(2, "a piece") + frame(3, ""),
      frame(4, std::string("\1\2\1\4gone", 8)),
      std::string("\xff\xff\xff\x7f\1", 5),
      std::string("\xff\xff\xff\x03\1", 5) + "some"};
  using namespace std::string_view_literals;
  target.dictionary = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"sv,
                       "\xff\xff\xff\xff\x0f"sv,
                       "topic"sv,
                       "partition"sv,
                       "-1"sv,
                       "9223372036854775807"sv,
                       "latest"sv,
                       "earliest"sv,
                       "log.read"sv,
                       "log.append"sv,
                       "\0"sv};
  target.seal = seal;
  target.run = [&](std::string_view input, SeededRandom& random) {
    // What fits a socket's buffer: else both ends could wait for the other to read.
    input = input.substr(0, 64 << 10);
    return random.below(4) == 0 ? ask_impostor(scratch.path(), input) : ask_owner(scratch.path(), input);
  };
  return testing::fuzz(argc, argv, std::move(target));
}
