// kafka_load BROKERS TOPIC EVENTS: the simulator's telemetry into a topic that exists, one event in a
// thousand twice, without the headers by which the simulator finds its own.
#include <cstdlib>
#include <string>

#include "baseline/kafka.h"
#include "support/measure.h"
#include "support/workload.h"

int main(int argc, char** argv) {
  using namespace tidemill::bench;
  require(argc == 4, "kafka_load BROKERS TOPIC EVENTS");
  baseline::KafkaProducer producer(argv[1], argv[2]);
  generate(std::strtoull(argv[3], nullptr, 10), 1,
           [&](const tidemill::simulate::EventGenerator::Text& text, int32_t, uint32_t copies) {
             for (uint32_t copy = 0; copy < copies; ++copy)
               producer.send(-1, text.key.value_or(""), text.value);
           });
  producer.flush();
  return 0;
}
