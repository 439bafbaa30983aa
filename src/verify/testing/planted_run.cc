#include "verify/testing/planted_run.h"

#include <lz4frame.h>
#include <snappy.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <map>
#include <set>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace tidemill::verify {
namespace {

void must(Status status) {
  TM_CHECK(status.ok(), status.error().message.c_str());
}

std::string compressed(int codec, const std::string& bytes) {
  std::string out;
  switch (codec) {
    case 1: {
      z_stream stream{};
      deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
      out.resize(deflateBound(&stream, bytes.size()) + 64);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
      stream.avail_in = static_cast<uInt>(bytes.size());
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      deflate(&stream, Z_FINISH);
      out.resize(stream.total_out);
      deflateEnd(&stream);
      return out;
    }
    case 2: {  // as xerial's Java library frames it
      out.assign("\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
      for (size_t at = 0; at < bytes.size(); at += 1000) {
        std::string block;
        snappy::Compress(bytes.data() + at, std::min<size_t>(1000, bytes.size() - at), &block);
        ByteWriter(out).be(static_cast<uint32_t>(block.size()));
        out += block;
      }
      return out;
    }
    case 3:
      out.resize(LZ4F_compressFrameBound(bytes.size(), nullptr));
      out.resize(LZ4F_compressFrame(out.data(), out.size(), bytes.data(), bytes.size(), nullptr));
      return out;
    case 4:
      out.resize(ZSTD_compressBound(bytes.size()));
      out.resize(ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3));
      return out;
    default:
      return bytes;
  }
}

std::string base64(const std::string& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t word = 0;
    for (size_t n = 0; n < 3; ++n) {
      word = word << 8 | (at + n < bytes.size() ? static_cast<unsigned char>(bytes[at + n]) : 0u);
    }
    for (size_t n = 0; n < 4; ++n) out += at + n <= bytes.size() ? kDigits[word >> (18 - 6 * n) & 63] : '=';
  }
  return out;
}

void put_sized(ByteWriter& to, std::string_view bytes) {
  to.varint(static_cast<int64_t>(bytes.size()));
  to.bytes(bytes);
}

}  // namespace

std::string encode_batch(const PlantedBatch& batch, int64_t base_offset) {
  std::vector<PlantedRecord> records = batch.records;
  if (batch.control >= 0) {
    PlantedRecord marker;
    marker.key = std::string("\0\0\0", 3) + static_cast<char>(batch.control);
    marker.value = std::string(6, '\0');
    records.push_back(marker);
  }
  std::string body;
  int64_t base_ms = records.empty() ? 0 : records.front().timestamp_ms, max_ms = base_ms;
  for (size_t n = 0; n < records.size(); ++n) {
    const PlantedRecord& r = records[n];
    max_ms = std::max(max_ms, r.timestamp_ms);
    std::string record;
    ByteWriter to(record);
    to.be<int8_t>(0);
    to.varint(r.timestamp_ms - base_ms);
    to.varint(static_cast<int64_t>(n));
    if (r.has_key)
      put_sized(to, r.key);
    else
      to.varint(-1);
    put_sized(to, r.value);
    to.varint(static_cast<int64_t>(r.headers.size()));
    for (const auto& [name, value] : r.headers) {
      put_sized(to, name);
      put_sized(to, value);
    }
    ByteWriter out(body);
    put_sized(out, record);
  }
  body = compressed(batch.codec, body);
  std::string tail;
  ByteWriter to(tail);
  to.be(static_cast<int16_t>(batch.codec | (batch.append_time ? 1 << 3 : 0) |
                             (batch.transactional || batch.control >= 0 ? 1 << 4 : 0) |
                             (batch.control >= 0 ? 1 << 5 : 0)));
  to.be(static_cast<int32_t>(records.size()) - 1);
  to.be(base_ms);
  to.be(max_ms);
  to.be(batch.producer_id);
  to.be<int16_t>(0);
  to.be<int32_t>(batch.control >= 0 ? -1 : 0);
  to.be(static_cast<int32_t>(records.size()));
  to.bytes(body);
  std::string out;
  ByteWriter head(out);
  head.be(base_offset);
  head.be(static_cast<int32_t>(tail.size() + 9));
  head.be<int32_t>(0);
  head.be<int8_t>(2);
  head.be(crc32c(tail));
  head.bytes(tail);
  return out;
}

Manifest planted_manifest() {
  Manifest m;
  m.seed = 20261121;
  m.start_us = 1'790'000'000'000'000;
  m.topic = "in";
  m.partitions = 2;
  m.instances = 2;
  m.devices = 9;
  m.rate_milli = 2'000'000;
  m.count = 400;
  m.duplicate_every = 10;
  m.malformed_ppm = 30'000;
  m.late_ppm = 20'000;
  m.late_by_us = 20'000;
  m.out_of_order_ppm = 20'000;
  return m;
}

PlantedRun::PlantedRun(Manifest manifest, bool with_dedup) : base(std::move(manifest)), dedup(with_dedup) {
  std::string path = "/tmp/tidemill-verify-XXXXXX";
  TM_CHECK(mkdtemp(path.data()) != nullptr);
  directory_ = path;
  send();
}

PlantedRun::~PlantedRun() {
  static_cast<void>(FileSystem::posix().remove_tree(directory_));
}

void PlantedRun::send() {
  std::map<int32_t, int64_t> ends;
  std::vector<std::tuple<int64_t, int64_t, int64_t>> sends;  // s(i), instance, i
  std::vector<Manifest> manifests(static_cast<size_t>(base.instances), base);
  std::vector<std::unique_ptr<Schedule>> schedules;
  std::vector<std::unique_ptr<TelemetryEvents>> telemetry;
  std::vector<std::unique_ptr<SensorEvents>> sensor;
  for (int64_t j = 0; j < base.instances; ++j) {
    manifests[static_cast<size_t>(j)].instance = j;
    schedules.push_back(std::make_unique<Schedule>(manifests[static_cast<size_t>(j)]));
    telemetry.push_back(std::make_unique<TelemetryEvents>(*schedules.back()));
    sensor.push_back(std::make_unique<SensorEvents>(*schedules.back()));
    SendOrder order(*schedules.back());
    while (auto i = order.next()) sends.emplace_back(schedules.back()->send_us(*i), j, *i);
  }
  std::stable_sort(sends.begin(), sends.end());
  std::map<int64_t, int64_t> numbers;  // of records, per instance
  std::set<EventName> seen;
  for (const auto& [send_us, j, i] : sends) {
    auto n = static_cast<size_t>(j);
    for (int copy = schedules[n]->copies(i); copy > 0; --copy) {
      PlantedEvent event;
      event.name = {j, i};
      event.malformed = schedules[n]->fault(i) == Fault::kMalformed;
      if (base.profile == Profile::kTelemetry) {
        event.key = telemetry[n]->device_id(schedules[n]->device_of(i));
        event.value = telemetry[n]->bytes(i);
        event.partition = partition_of(event.key, base.partitions);
      } else {
        event.has_key = false;
        event.value = sensor[n]->bytes(i);
        event.partition = static_cast<int32_t>(numbers[j]++ / 64 % base.partitions);
      }
      event.offset = ends[event.partition]++;
      event.append_ms = (base.start_us + send_us) / 1000 + 2;
      events.push_back(event);
      if (event.malformed) {
        dead.push_back({base.topic, event.partition, event.offset, "malformed JSON", event.value});
      } else if (!dedup || seen.insert(event.name).second) {
        rows.push_back({event.name, event.value, event.partition, event.offset, event.append_ms * 1000,
                        event.append_ms * 1000 + 5000, event.key, event.has_key});
      }
    }
  }
}

void PlantedRun::write_manifests(VerifyRequest* request) {
  for (int64_t j = 0; j < base.instances; ++j) {
    Manifest m = base;
    m.instance = j;
    Schedule schedule(m);
    std::string ranges_json;
    auto devices = static_cast<int64_t>(schedule.order().size());
    for (int64_t n = 0; n < devices; ++n) {
      DeviceRange range;
      range.device = schedule.order()[static_cast<size_t>(n)];
      range.acknowledged = schedule.events() / devices + (n < schedule.events() % devices ? 1 : 0);
      if (ranges) ranges(j, &range);
      ranges_json += (n > 0 ? ",[" : "[") + std::to_string(range.device) + "," +
                     std::to_string(range.acknowledged) + "," + std::to_string(range.in_doubt) + "," +
                     std::to_string(range.not_sent) + "]";
    }
    Sum128 sum = 0;
    std::vector<int64_t> records(static_cast<size_t>(m.partitions), 0);
    for (const PlantedEvent& event : events) {
      if (event.name.instance != j || (acknowledged && !acknowledged(event))) continue;
      sum += content_hash(event.value);
      ++records[static_cast<size_t>(event.partition)];
    }
    std::string records_json, starts_json;
    for (int64_t each : records) {
      records_json += (records_json.empty() ? "" : ",") + std::to_string(each);
      starts_json += starts_json.empty() ? "0" : ",0";
    }
    auto text = [](int64_t value) { return std::to_string(value); };
    std::string json =
        R"({"format":1,"profile":")" + std::string(m.profile == Profile::kSensor ? "sensor" : "telemetry") +
        R"(","seed":")" + std::to_string(m.seed) + R"(","start_us":)" + text(m.start_us) + R"(,"topic":")" +
        m.topic + R"(","partitions":)" + text(m.partitions) + R"(,"instance":)" + text(j) +
        R"(,"instances":)" + text(m.instances) + R"(,"devices":)" + text(m.devices) +
        R"(,"shared_devices":false,"pacing":"fixed","rate_milli":)" + text(m.rate_milli) + R"(,"count":)" +
        text(m.count) + R"(,"duration_us":-1,"options":{"complex_count":)" + text(m.complex_count) +
        R"(,"complex_first":)" + text(m.complex_first) +
        R"(,"values":"10-100","created_digits":6,"device_id_format":")" + m.device_id_format +
        R"(","duplicate_every":)" + text(m.duplicate_every) + R"(,"out_of_order_ppm":)" +
        text(m.out_of_order_ppm) + R"(,"late_ppm":)" + text(m.late_ppm) + R"(,"late_by_us":)" +
        text(m.late_by_us) + R"(,"malformed_ppm":)" + text(m.malformed_ppm) + R"(},"start_offsets":[)" +
        starts_json + R"(],"partition_records":[)" + records_json + R"(],"finished":)" +
        (finished ? "true" : "false") + R"(,"scheduled":)" + text(schedule.events()) +
        R"(,"events_sent":0,"records_sent":0,"bytes_sent":0,"shortfall_us":0,"content_sum":")" +
        (content_sum.empty() ? hex(sum) : content_sum) + R"(","ranges":[)" + ranges_json + "]}";
    std::string path = join_path(directory_, "manifest-" + std::to_string(j) + ".json");
    must(write_file_atomically(FileSystem::posix(), path, json));
    request->manifests.push_back(path);
  }
}

void PlantedRun::write_topic(const std::string& topic,
                             const std::vector<std::vector<PlantedRecord>>& partitions) {
  constexpr size_t kBatch = 7, kSegment = 100;
  FileSystem& files = FileSystem::posix();
  for (size_t p = 0; p < partitions.size(); ++p) {
    std::string folder = join_path(directory_, topic + "-" + std::to_string(p));
    must(files.remove_tree(folder));
    must(files.create_directories(folder));
    for (size_t begin = 0; begin == 0 || begin < partitions[p].size(); begin += kSegment) {
      std::string bytes;
      size_t end = std::min(begin + kSegment, partitions[p].size());
      for (size_t at = begin; at < end; at += kBatch) {
        PlantedBatch batch;
        batch.codec = codec;
        // One append time for a batch: as many records as share it.
        for (size_t n = at; n < std::min(at + kBatch, end); ++n) {
          if (n > at && partitions[p][n].timestamp_ms != partitions[p][at].timestamp_ms) break;
          batch.records.push_back(partitions[p][n]);
        }
        bytes += encode_batch(batch, static_cast<int64_t>(at));
        at += batch.records.size();
        at -= kBatch;
      }
      std::string name = std::to_string(begin);
      name.insert(0, 20 - name.size(), '0');
      TM_CHECK(std::ofstream(join_path(folder, name + ".log"), std::ios::binary) << bytes);
    }
  }
}

void PlantedRun::write_input(VerifyRequest* request) {
  std::vector<std::vector<PlantedRecord>> partitions(static_cast<size_t>(base.partitions));
  std::vector<PartitionCounters> counters(partitions.size());
  for (const PlantedEvent& event : events) {
    partitions[static_cast<size_t>(event.partition)].push_back(
        {event.key, event.has_key, event.value, event.append_ms, {}});
    ++counters[static_cast<size_t>(event.partition)].read;
  }
  for (const PlantedRow& each : rows) {
    if (each.partition >= 0) ++counters[static_cast<size_t>(each.partition)].stored;
  }
  for (const PlantedDeadLetter& letter : dead) ++counters[static_cast<size_t>(letter.partition)].dead;
  write_topic(base.topic, partitions);
  request->input.directory = directory_;
  request->input.topic = base.topic;
  for (int32_t p = 0; p < base.partitions; ++p) {
    PartitionSpan span;
    span.partition = p;
    auto n = static_cast<size_t>(p);
    if (with_counters) {
      counters[n].dropped = counters[n].read - counters[n].stored - counters[n].dead;
      span.counters = counters[n];
      span.committed = static_cast<int64_t>(partitions[n].size());
    }
    request->input.partitions.push_back(span);
  }
  if (dedup) {
    request->topology.dedup.kind = DedupKind::kLastN;
    request->topology.dedup.id_path = {"eventId"};
    request->topology.dedup.key_path = {"deviceId"};
  }
}

std::string PlantedRun::output_json(const PlantedRow& row) const {
  std::string out = row.json.substr(0, row.json.rfind('}')) + R"(,"enqueuedAt":")";
  append_timestamp(row.enqueued_us, 6, &out);
  out += R"(","processedAt":")";
  append_timestamp(row.enqueued_us + 1000, 6, &out);
  out += '"';
  if (with_positions)
    out += ",\"partition\":" + std::to_string(row.partition) + ",\"offset\":" + std::to_string(row.offset);
  return out + "}";
}

VerifyRequest PlantedRun::with_topic_store() {
  VerifyRequest request;
  write_manifests(&request);
  write_input(&request);
  std::vector<std::vector<PlantedRecord>> out(output_partitions);
  for (const PlantedRow& each : rows) {
    out[static_cast<size_t>(each.partition) % output_partitions].push_back(
        {each.key, each.has_key, output_json(each), each.stored_us / 1000, {}});
  }
  write_topic("out", out);
  std::vector<std::vector<PlantedRecord>> letters(1);
  for (const PlantedDeadLetter& letter : dead) {
    letters[0].push_back({"",
                          true,
                          letter.value,
                          1,
                          {{"reason", letter.reason},
                           {"topic", letter.topic},
                           {"partition", std::to_string(letter.partition)},
                           {"offset", std::to_string(letter.offset)}}});
    if (!letter.cut.empty()) letters[0].back().headers.push_back({"cut", letter.cut});
  }
  write_topic("dead", letters);
  request.store.topic = TopicFiles{directory_, "out", {}};
  for (size_t p = 0; p < output_partitions; ++p)
    request.store.topic->partitions.push_back({static_cast<int32_t>(p), 0, -1, {}, {}});
  request.dead_letters.topic = TopicFiles{directory_, "dead", {{0, 0, -1, {}, {}}}};
  return request;
}

void PlantedRun::write_chain(const std::string& folder,
                             const std::vector<std::pair<int64_t, std::string>>& lines,
                             std::string* state) const {
  constexpr size_t kFileLines = 60;
  ByteWriter to(*state);
  if (lines.empty()) {
    to.le<uint8_t>(0);
    return;
  }
  must(FileSystem::posix().create_directories(folder));
  std::set<int64_t> names;
  for (size_t begin = 0; begin < lines.size(); begin += kFileLines) {
    size_t end = std::min(begin + kFileLines, lines.size());
    std::string bytes;
    for (size_t n = begin; n < end; ++n) bytes += lines[n].second + "\n";
    // Planted rows may begin anywhere; files are in the order of their names.
    int64_t start = lines[begin].first;
    if (!names.empty()) start = std::max(start, *names.rbegin() + 1);
    names.insert(start);
    std::string name = std::to_string(start);
    name.insert(0, 20 - name.size(), '0');
    bool newest = end == lines.size();
    std::string path = join_path(folder, newest ? "." + name + ".jsonl.open" : name + ".jsonl");
    // What was written and not committed stands behind it.
    TM_CHECK(std::ofstream(path, std::ios::binary) << bytes << (newest ? "{\"torn" : ""));
    if (!newest) continue;
    to.le<uint8_t>(1);
    to.varint(start);
    to.varuint(bytes.size());
    to.le(crc32c(bytes));
    to.varint(base.start_us);
  }
}

VerifyRequest PlantedRun::with_files_store() {
  VerifyRequest request;
  write_manifests(&request);
  write_input(&request);
  FilesFolder folder{join_path(directory_, "files"), base.topic, {}, "dead-letters", {}};
  must(FileSystem::posix().remove_tree(folder.directory));
  must(FileSystem::posix().create_directories(join_path(folder.directory, ".tidemill")));
  std::string payload;
  ByteWriter(payload).varuint(static_cast<uint64_t>(base.partitions));
  for (int32_t p = 0; p < base.partitions; ++p) {
    folder.partitions.push_back(p);
    auto mine = [&](int32_t partition) { return std::max(partition, 0) % base.partitions == p; };
    std::vector<std::pair<int64_t, std::string>> lines, letters;
    for (const PlantedRow& each : rows) {
      if (!mine(each.partition)) continue;
      std::string json = output_json(each);
      json.pop_back();
      json += R"(,"storedAt":")";
      append_timestamp(each.stored_us, 6, &json);
      lines.emplace_back(std::max<int64_t>(each.offset, 0), json + "\"}");
    }
    for (const PlantedDeadLetter& letter : dead) {
      if (!mine(letter.partition)) continue;
      std::string json = R"({"topic":")" + letter.topic + R"(","partition":)" +
                         std::to_string(letter.partition) + R"(,"offset":)" + std::to_string(letter.offset) +
                         R"(,"timestamp":"2026-11-21T09:00:00.000Z","reason":")" + letter.reason +
                         R"(","valueBase64":")" + base64(letter.value) + "\"}";
      letters.emplace_back(letter.offset, json);
    }
    ByteWriter to(payload);
    to.sized(base.topic);
    for (int64_t field : {int64_t{p}, int64_t{1}}) to.varint(field);
    to.le<uint8_t>(1);
    for (int64_t field : {17, 0, 3, 1}) to.varint(field);
    for (uint64_t counter : {4u, 3u, 2u, 1u}) to.varuint(counter);
    std::string name = base.topic + "-" + std::to_string(p);
    write_chain(join_path(folder.directory, name), lines, &payload);
    write_chain(join_path(join_path(folder.directory, "dead-letters"), name), letters, &payload);
  }
  std::string journal = "TMJ1";
  ByteWriter to(journal);
  to.le(static_cast<uint32_t>(payload.size()));
  to.le(crc32c(payload));
  to.bytes(payload);
  must(write_file_atomically(FileSystem::posix(),
                             join_path(join_path(folder.directory, ".tidemill"), "journal"),
                             journal + "TMJ1 torn"));
  request.store.files = folder;
  request.dead_letters.files = folder;
  return request;
}

VerifyRequest PlantedRun::with_duck_store() {
  VerifyRequest request;
  write_manifests(&request);
  write_input(&request);
  auto database = duck::Database::open(":memory:");
  TM_CHECK(database.ok(), database.error().message.c_str());
  auto connected = (*database)->connect();
  TM_CHECK(connected.ok());
  duck::Connection& connection = **connected;
  auto run = [&](const std::string& sql, const std::vector<duck::Value>& values = {}) {
    auto done = connection.execute(sql, values);
    TM_CHECK(done.ok(), done.error().message.c_str());
  };
  run("CREATE TABLE raw (n BIGINT, json VARCHAR, p BIGINT, o BIGINT, e TIMESTAMP, s TIMESTAMP)");
  run("BEGIN");
  int64_t n = 0;
  for (const PlantedRow& each : rows) {
    run("INSERT INTO raw VALUES (?, ?, ?, ?, ?, ?)",
        {duck::Value::of(n++), duck::Value::of(each.json), duck::Value::of(int64_t{each.partition}),
         duck::Value::of(each.offset), duck::Value::timestamp(each.enqueued_us),
         duck::Value::timestamp(each.stored_us)});
  }
  run("COMMIT");
  std::string members;
  for (int m = 0; m < base.complex_count; ++m) {
    std::string name = "moreData" + std::to_string(base.complex_first + m);
    members += (m > 0 ? ", " : "") + name + " := CAST(json ->> '$.complexData." + name + "' AS DOUBLE)";
  }
  bool sensor = base.profile == Profile::kSensor;
  run("CREATE TABLE rawdata AS SELECT " +
      (sensor
           ? std::string("json ->> '$.sensor' AS sensor, CAST(json ->> '$.measure1' AS DOUBLE) AS measure1, "
                         "CAST(json ->> '$.measure2' AS DOUBLE) AS measure2")
           : "CAST(json ->> '$.eventId' AS VARCHAR) AS eventId, struct_pack(" + members +
                 ") AS complexData, CAST(json ->> '$.value' AS DOUBLE) AS value, json ->> '$.deviceId' AS "
                 "deviceId, "
                 "CAST(json ->> '$.deviceSequenceNumber' AS BIGINT) AS deviceSequenceNumber, json ->> "
                 "'$.type' AS "
                 "\"type\", CAST(json ->> '$.createdAt' AS TIMESTAMP) AS createdAt") +
      ", e AS enqueuedAt, s AS storedAt" +
      (with_positions ? ", CAST(p AS INTEGER) AS partition, o AS \"offset\"" : "") + " FROM raw ORDER BY n");
  run("CREATE TABLE rawdata_dead_letters (topic VARCHAR, partition INTEGER, \"offset\" BIGINT, timestamp "
      "TIMESTAMP, "
      "reason VARCHAR, key BLOB, value BLOB)");
  for (const PlantedDeadLetter& letter : dead) {
    std::string digits;
    for (char c : letter.value) {
      digits.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
      digits.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
    }
    run("INSERT INTO rawdata_dead_letters VALUES (?, ?, ?, NULL, ?, NULL, unhex(?))",
        {duck::Value::of(letter.topic), duck::Value::of(int64_t{letter.partition}),
         duck::Value::of(letter.offset), duck::Value::of(letter.reason), duck::Value::of(digits)});
  }
  request.store.duck = DuckTable{*database, "", "rawdata", "", false, {}};
  request.dead_letters.duck_table = "rawdata_dead_letters";
  return request;
}

}  // namespace tidemill::verify
