// The bare loops that bench/kafka_bench.py compares the program with, as a process, so that CPU and memory
// are counted from outside in the same way.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "baseline/fail.h"
#include "baseline/kafka.h"

namespace {

unsigned long long number(uint64_t value) {
  return value;
}

int usage() {
  std::fputs(
      "kafka_loop create BROKERS TOPIC PARTITIONS | delete BROKERS TOPIC... | relay BROKERS FROM TO "
      "COMMIT_MS |\n"
      "           consume BROKERS TOPIC | produce BROKERS TOPIC EVENTS | content BROKERS TOPIC |\n"
      "           latency BROKERS TOPIC EVENTS\n",
      stderr);
  return 2;
}

void produce(const std::string& brokers, const std::string& topic, uint64_t events) {
  constexpr int kDevices = 1000;
  baseline::KafkaProducer producer(brokers, topic);
  const std::string value(949, 'x');
  std::vector<std::string> keys;
  for (int i = 0; i < kDevices; ++i) keys.push_back("contoso-device-id-" + std::to_string(100'000 + i));
  for (uint64_t i = 0; i < events; ++i) producer.send(-1, keys[i % kDevices], value);
  producer.flush();
}

void latency(const std::string& brokers, const std::string& topic, uint64_t events) {
  std::vector<double> all = baseline::kafka_latencies(brokers, topic, events);
  // The first fifth: start of the pipeline.
  all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 5));
  if (all.empty()) baseline::fail("no event came");
  std::sort(all.begin(), all.end());
  auto quantile = [&](double q) { return all[static_cast<size_t>(q * static_cast<double>(all.size() - 1))]; };
  std::printf("{\"events\":%zu,\"p50\":%.3f,\"p99\":%.3f}\n", all.size(), quantile(0.5), quantile(0.99));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 3) return usage();
  const std::string &what = words[0], &brokers = words[1], &topic = words[2];
  const std::string& last = words.back();
  if (what == "create" && words.size() == 4) {
    baseline::kafka_create(brokers, topic, std::atoi(last.c_str()));
  } else if (what == "delete") {
    for (size_t i = 2; i < words.size(); ++i) baseline::kafka_delete(brokers, words[i]);
  } else if (what == "relay" && words.size() == 5) {
    std::printf("{\"records\":%llu}\n",
                number(baseline::kafka_relay(brokers, topic, words[3], std::atoi(last.c_str()))));
  } else if (what == "consume" && words.size() == 3) {
    std::printf("{\"records\":%llu}\n", number(baseline::kafka_consume(brokers, topic)));
  } else if (what == "produce" && words.size() == 4) {
    produce(brokers, topic, std::strtoull(last.c_str(), nullptr, 10));
  } else if (what == "content" && words.size() == 3) {
    baseline::KafkaContent content = baseline::kafka_content(brokers, topic);
    std::printf("{\"records\":%llu,\"distinct\":%llu,\"ids\":%llu}\n", number(content.records),
                number(content.distinct), number(content.ids));
  } else if (what == "latency" && words.size() == 4) {
    latency(brokers, topic, std::strtoull(last.c_str(), nullptr, 10));
  } else {
    return usage();
  }
  return 0;
}
