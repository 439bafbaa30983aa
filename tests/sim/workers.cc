#include "workers.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace tidemill::sim {
namespace {

// Where the workers take their seeds from.
struct Shared {
  std::atomic<uint64_t> next;
  std::atomic<bool> stop;
};

struct Worker {
  pid_t pid = -1;
  int from = -1;
  std::string buffer;
  uint64_t at = 0;  // the seed that it is at; 0: none
};

// A line per seed: "begin <seed>", then "done <openings> <events> <said> <lines>" or "broken <what>".
[[noreturn]] void work(Shared& shared, Range range, int to) {
  std::FILE* out = ::fdopen(to, "w");
  while (!shared.stop) {
    uint64_t seed = shared.next.fetch_add(1);
    if (seed > range.last) break;
    std::fprintf(out, "begin %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(out);
    RunResult result = run_seed(seed, nullptr);
    if (result.violation) {
      std::string what = *result.violation;
      std::replace(what.begin(), what.end(), '\n', ' ');
      std::fprintf(out, "broken %s\n", what.c_str());
    } else {
      std::fprintf(out, "done %d %lld %d %llu\n", result.openings, static_cast<long long>(result.events),
                   result.said_loss ? 1 : 0, static_cast<unsigned long long>(result.trace_lines));
    }
    std::fflush(out);
  }
  std::fclose(out);
  std::_Exit(0);
}

Worker start(Shared& shared, Range range) {
  int ends[2];
  TM_CHECK(::pipe(ends) == 0);
  std::fflush(nullptr);
  Worker worker;
  worker.pid = ::fork();
  TM_CHECK(worker.pid >= 0);
  if (worker.pid == 0) {
    ::close(ends[0]);
    work(shared, range, ends[1]);
  }
  ::close(ends[1]);
  worker.from = ends[0];
  return worker;
}

class Supervisor {
 public:
  Supervisor(Range range, size_t most_failures, const std::function<void(const Failure&)>& tell)
      : range_(range), most_failures_(most_failures), tell_(tell) {
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TM_CHECK(memory != MAP_FAILED);
    shared_ = new (memory) Shared{{range.first}, {false}};
  }
  ~Supervisor() { ::munmap(shared_, sizeof(Shared)); }

  Totals run(int jobs) {
    for (int i = 0; i < jobs; ++i) workers_.push_back(start(*shared_, range_));
    while (!workers_.empty()) {
      std::vector<pollfd> fds;
      for (const Worker& worker : workers_) fds.push_back({worker.from, POLLIN, 0});
      TM_CHECK(::poll(fds.data(), fds.size(), -1) >= 0);
      for (size_t i = fds.size(); i-- > 0;) {
        if (fds[i].revents != 0) read(i);
      }
    }
    auto by_seed = [](const Failure& a, const Failure& b) { return a.seed < b.seed; };
    std::sort(totals_.failures.begin(), totals_.failures.end(), by_seed);
    return std::move(totals_);
  }

 private:
  void read(size_t number) {
    Worker& worker = workers_[number];
    char bytes[4096];
    ssize_t got = ::read(worker.from, bytes, sizeof bytes);
    if (got > 0) {
      worker.buffer.append(bytes, static_cast<size_t>(got));
      for (size_t end = 0; (end = worker.buffer.find('\n')) != std::string::npos;) {
        take(worker, worker.buffer.substr(0, end));
        worker.buffer.erase(0, end + 1);
      }
      return;
    }
    ::close(worker.from);
    int status = 0;
    ::waitpid(worker.pid, &status, 0);
    uint64_t seed = worker.at;
    workers_.erase(workers_.begin() + static_cast<ptrdiff_t>(number));
    if (seed == 0) return;
    failed({seed, WIFSIGNALED(status) ? "the program was ended by signal " + std::to_string(WTERMSIG(status))
                                      : "the program exited"});
    if (!shared_->stop) workers_.push_back(start(*shared_, range_));
  }

  void take(Worker& worker, const std::string& line) {
    unsigned long long seed = 0, events = 0, lines = 0;
    unsigned openings = 0, said = 0;
    if (std::sscanf(line.c_str(), "begin %llu", &seed) == 1) {
      worker.at = seed;
      return;
    }
    ++totals_.seeds;
    if (line.starts_with("broken ")) {
      failed({worker.at, line.substr(7)});
    } else if (std::sscanf(line.c_str(), "done %u %llu %u %llu", &openings, &events, &said, &lines) == 4) {
      totals_.openings += openings;
      totals_.events += events;
      totals_.said_loss += said;
      totals_.trace_lines += lines;
    }
    worker.at = 0;
  }

  void failed(Failure failure) {
    tell_(failure);
    totals_.failures.push_back(std::move(failure));
    if (totals_.failures.size() >= most_failures_) shared_->stop = true;
  }

  Range range_;
  size_t most_failures_;
  const std::function<void(const Failure&)>& tell_;
  Shared* shared_;
  std::vector<Worker> workers_;
  Totals totals_;
};

}  // namespace

Totals run_range(Range range, int jobs, size_t most_failures,
                 const std::function<void(const Failure&)>& tell) {
  return Supervisor(range, most_failures, tell).run(jobs);
}

}  // namespace tidemill::sim
