// A run and its owner, in a directory of its own that goes away with it. For tests.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "simulate/log_appender.h"
#include "simulate/simulator.h"
#include "solution/host.h"
#include "solution/load.h"

namespace tidemill::solution::testing {

struct OwnedRun {
  explicit OwnedRun(const std::string& yaml) {
    char pattern[] = "/tmp/tidemill-host-XXXXXX";
    root = ::mkdtemp(pattern);
    LoadRequest request;
    request.file = "t.yaml";
    request.text = yaml;
    auto loaded = load_solution(request);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    RunStore runs(FileSystem::posix(), root);
    RunRecord record;
    record.name = "t";
    host = Host::open(runs, runs.create(record, 0).value(), loaded->solution).value();
  }
  std::unique_ptr<simulate::Simulator> simulator(int64_t count, double rate, const std::string& name = "a",
                                                 uint64_t duplicate_every = 0) {
    simulate::Simulator::Config config;
    config.options.count = count;
    config.options.rate = rate;
    config.options.devices = 20;
    config.options.topic = "t";
    config.options.duplicate_every = duplicate_every;
    config.run = "t/" + name;
    config.directory = host->directory() + "/" + name;
    config.appenders = simulate::log_appenders(*host->log().value());
    return simulate::Simulator::open(std::move(config)).value();
  }
  ~OwnedRun() {
    host.reset();
    std::filesystem::remove_all(root);
  }
  std::string root;
  std::unique_ptr<Host> host;
};

}  // namespace tidemill::solution::testing
