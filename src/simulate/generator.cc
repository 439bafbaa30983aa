#include "simulate/generator.h"

#include <algorithm>

#include "event/partitioner.h"

namespace tidemill::simulate {
namespace {

// The key's variables draw other words than the event's.
constexpr uint64_t kFirstKeyVariable = 1u << 20;

}  // namespace

Result<EventGenerator::Writer> EventGenerator::make_writer(const Plan& plan) {
  if (plan.profile == Profile::kTelemetry) return Writer(TelemetryWriter(plan));
  if (plan.profile == Profile::kSensor) return Writer(SensorWriter(plan));
  TM_ASSIGN(Template event, Template::parse(plan.template_text));
  std::optional<Template> key;
  if (!plan.key.empty()) {
    TM_ASSIGN(key, Template::parse(plan.key, kFirstKeyVariable));
  }
  TemplateWriter writer{.event = std::move(event),
                        .key = std::move(key),
                        .namer = DeviceNamer(plan.device_id_format),
                        .content = KeyStream(plan.seed, Purpose::kContent, plan.instance),
                        .context = {},
                        .name = {},
                        .text = {},
                        .key_text = {}};
  writer.context.instance = static_cast<uint64_t>(plan.instance);
  writer.context.instances = static_cast<uint64_t>(plan.instances);
  return Writer(std::move(writer));
}

Result<std::unique_ptr<EventGenerator>> EventGenerator::create(const Plan& plan, int64_t events) {
  TM_ASSIGN(Writer writer, make_writer(plan));
  return std::unique_ptr<EventGenerator>(new EventGenerator(plan, events, Devices(plan), std::move(writer)));
}

EventGenerator::EventGenerator(const Plan& plan, int64_t events, Devices devices, Writer writer)
    : start_us_(plan.start_us),
      partitions_(plan.partitions),
      keyed_(plan.profile == Profile::kTelemetry ||
             (plan.profile == Profile::kTemplate && !plan.key.empty())),
      devices_(std::move(devices)),
      schedule_(plan, events, std::max<size_t>(devices_.size(), 1)),
      writer_(std::move(writer)) {}

Schedule::Next EventGenerator::next(int64_t until_us) {
  const uint32_t copies = begun_ ? event_.copies : 0;
  const Schedule::Next answer = schedule_.next(until_us, &event_);
  if (answer != Schedule::Next::kEvent) return answer;
  begun_ = true;
  record_number_ += copies;
  if (auto* writer = std::get_if<TemplateWriter>(&writer_)) {
    begin_template_event(*writer);
  } else if (keyed_) {
    partition_ = devices_.partition(event_.position);
  }
  return answer;
}

void EventGenerator::begin_template_event(TemplateWriter& writer) {
  TemplateContext& context = writer.context;
  context.content_key = writer.content.key(event_.index);
  context.index = event_.index;
  context.sequence = event_.sequence;
  context.device = devices_.number(event_.position);
  context.created_us = created_us();
  writer.name.resize(writer.namer.max_size());
  const char* end = writer.namer.write(context.device, writer.name.data());
  context.device_name = std::string_view(writer.name.data(), static_cast<size_t>(end - writer.name.data()));
  if (!writer.key) return;
  writer.key_text.clear();
  writer.key->render(context, &writer.key_text);
  partition_ = partition_for_key(writer.key_text, partitions_).value();
}

EventGenerator::Text EventGenerator::text() {
  if (auto* telemetry = std::get_if<TelemetryWriter>(&writer_)) {
    const TelemetryWriter::Text text = telemetry->write(event_, devices_.number(event_.position));
    return {text.value, text.key};
  }
  if (auto* sensor = std::get_if<SensorWriter>(&writer_)) return {sensor->write(event_), std::nullopt};
  auto& writer = std::get<TemplateWriter>(writer_);
  writer.text.clear();
  if (event_.fault == Fault::kMalformed) {
    writer.text = "not json: " + std::to_string(event_.index);
  } else {
    writer.event.render(writer.context, &writer.text);
  }
  if (!writer.key) return {writer.text, std::nullopt};
  return {writer.text, writer.key_text};
}

}  // namespace tidemill::simulate
