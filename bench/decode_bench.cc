// How fast events are decoded, beside a bare simdjson On-Demand loop over the same bytes into the
// same columns. The bare loop checks less: it looks at no member behind the last that it wants, and
// at nothing inside the members that it passes over.
//
//   decode_bench [events]      prints ns per event of each way, the best of many rounds
#include <simdjson.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>

#include "event/json_decoder.h"
#include "event/testing/json_documents.h"
#include "event/timestamp.h"

namespace tidemill {
namespace {

constexpr int kRounds = 200;
constexpr size_t kEventBytes = 949;

int64_t cpu_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::shared_ptr<const std::string> make_events(size_t count) {
  SeededRandom random(1);
  RecordBatchBuilder builder;
  for (size_t i = 0; i < count; ++i) {
    std::string event = testing::telemetry_event(random);
    // Longer device numbers and the like make the documented event 949 bytes.
    if (event.size() < kEventBytes) event.insert(event.size() - 1, kEventBytes - event.size(), ' ');
    builder.add(static_cast<int64_t>(i), "contoso-device-id-000154", event);
  }
  return std::make_shared<const std::string>(builder.finish().value());
}

void require(bool good) {
  if (good) return;
  std::printf("a way of decoding failed\n");
  std::exit(1);
}

// The time of the fastest round: others of this machine only ever make a round slower.
double best_ns(size_t events, const std::function<void()>& round) {
  int64_t best = INT64_MAX;
  for (int i = 0; i < kRounds; ++i) {
    int64_t start = cpu_ns();
    round();
    best = std::min(best, cpu_ns() - start);
  }
  return static_cast<double>(best) / static_cast<double>(events);
}

struct Bare {
  explicit Bare(const std::vector<Field>& fields) : planned(fields) {}

  void start(size_t rows) {
    columns.clear();
    for (const Field& field : planned) columns.emplace_back(field.name, field.type).reserve(rows);
  }
  simdjson::ondemand::document document(std::string_view text) {
    simdjson::ondemand::document result;
    auto capacity = text.size() + simdjson::SIMDJSON_PADDING;
    require(parser.iterate(text.data(), text.size(), capacity).get(result) == simdjson::SUCCESS);
    return result;
  }

  void two(const Batch& batch) {
    start(batch.size());
    for (const Record& record : batch.records()) {
      auto event = document(record.value);
      std::string_view id;
      std::string_view device;
      require(event.find_field("eventId").get_string().get(id) == simdjson::SUCCESS);
      columns[0].append_text(id);
      require(event.find_field("deviceId").get_string().get(device) == simdjson::SUCCESS);
      columns[1].append_text(device);
    }
  }

  void all(const Batch& batch) {
    start(batch.size());
    for (const Record& record : batch.records()) {
      auto event = document(record.value);
      simdjson::ondemand::object object;
      require(event.get_object().get(object) == simdjson::SUCCESS);
      size_t column = 0;
      text(object.find_field("eventId"), column++);
      simdjson::ondemand::object complex;
      require(object.find_field("complexData").get_object().get(complex) == simdjson::SUCCESS);
      for (int i = 0; i < 23; ++i, ++column) number(complex.find_field(planned[column].path[1]), column);
      number(object.find_field("value"), column++);
      text(object.find_field("deviceId"), column++);
      int64_t sequence;
      require(object.find_field("deviceSequenceNumber").get_int64().get(sequence) == simdjson::SUCCESS);
      columns[column++].append_int64(sequence);
      text(object.find_field("type"), column++);
      std::string_view created;
      require(object.find_field("createdAt").get_string().get(created) == simdjson::SUCCESS);
      columns[column].append_int64(*parse_timestamp_us(created));
    }
  }

  void text(simdjson::simdjson_result<simdjson::ondemand::value> value, size_t column) {
    std::string_view found;
    require(value.get_string().get(found) == simdjson::SUCCESS);
    columns[column].append_text(found);
  }
  void number(simdjson::simdjson_result<simdjson::ondemand::value> value, size_t column) {
    double found;
    require(value.get_double().get(found) == simdjson::SUCCESS);
    columns[column].append_double(found);
  }

  std::vector<Field> planned;
  simdjson::ondemand::parser parser;
  std::vector<Column> columns;
};

void report(const char* what, double bare_ns, double ours_ns) {
  std::printf("%-34s bare %7.1f ns   tidemill %7.1f ns   bare/tidemill %.2f\n", what, bare_ns, ours_ns,
              bare_ns / ours_ns);
}

void run(size_t count) {
  Batch batch;
  auto bytes = make_events(count);
  require(batch.set_record_batches(bytes, Offset(0), SIZE_MAX).ok());
  std::printf("%zu events, %.1f bytes each, simdjson %s\n", batch.size(),
              static_cast<double>(batch.payload_bytes()) / static_cast<double>(count) - 24,
              simdjson::get_active_implementation()->name().c_str());
  double index_ns =
      best_ns(count, [&] { require(batch.set_record_batches(bytes, Offset(0), SIZE_MAX).ok()); });
  std::printf("%-34s %.1f ns\n", "index the records of a batch", index_ns);

  Schema schema = telemetry_schema();
  std::vector<Field> two = {schema.fields[0], schema.fields[static_cast<size_t>(schema.find("deviceId"))]};
  for (bool all : {false, true}) {
    const std::vector<Field>& fields = all ? schema.fields : two;
    Bare bare(fields);
    JsonDecoder decoder(DecodePlan{fields, {"enqueuedAt", "processedAt"}});
    batch.select_all();
    double bare_ns = best_ns(count, [&] { all ? bare.all(batch) : bare.two(batch); });
    double ours_ns = best_ns(count, [&] { decoder.decode(batch); });
    require(batch.selected.size() == count && bare.columns.size() == batch.columns.size());
    for (size_t i = 0; i < fields.size(); ++i) {
      require(bare.columns[i].size() == count && bare.columns[i].data() == batch.columns[i].data());
      if (fields[i].type == Type::kDouble) {
        require(
            std::equal(bare.columns[i].words(), bare.columns[i].words() + count, batch.columns[i].words()));
      }
    }
    report(all ? "all 29 fields" : "eventId and deviceId", bare_ns, ours_ns);
  }
}

}  // namespace
}  // namespace tidemill

int main(int argc, char** argv) {
  tidemill::run(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1000);
  return 0;
}
