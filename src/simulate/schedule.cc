#include "simulate/schedule.h"

#include <cmath>

#include "base/check.h"

namespace tidemill::simulate {

TimeCursor::TimeCursor(const Plan& plan) : poisson_(plan.pacing == Pacing::kPoisson) {
  rate_milli_ = plan.schedule_rate_milli();
  if (poisson_) {
    keys_ = KeyStream(plan.seed, Purpose::kPacing, plan.instance);
    mean_us_ = static_cast<double>(plan.instances) * 1e9 / static_cast<double>(rate_milli_);
    offsets_us_.resize(kBlock);
    load_block(0);
    time_us_ = offsets_us_[0];
    return;
  }
  const int64_t step_nanos = plan.instances * int64_t{1'000'000'000};
  step_ = step_nanos / rate_milli_;
  step_remainder_ = step_nanos % rate_milli_;
  const int64_t first = plan.instance * int64_t{1'000'000'000};
  time_us_ = first / rate_milli_;
  remainder_ = first % rate_milli_;
}

void TimeCursor::load_block(uint64_t block) {
  if (block > 0) base_us_ += offsets_us_[kBlock - 1];
  block_ = block;
  in_block_ = 0;
  const uint64_t key = keys_.key(block);
  double sum = 0;
  for (size_t n = 0; n < kBlock; ++n) {
    const double gap = -std::log1p(-unit(word(key, n))) * mean_us_;
    sum += gap;
    offsets_us_[n] = static_cast<int64_t>(sum);
  }
}

Schedule::Schedule(const Plan& plan, int64_t events, uint64_t device_count)
    : limit_(events < 0 ? uint64_t{kMaxEvents} : static_cast<uint64_t>(events)),
      device_count_(static_cast<uint32_t>(device_count)),
      duplicate_every_(plan.duplicate_every),
      malformed_ppm_(plan.malformed_ppm),
      late_ppm_(plan.late_ppm),
      out_of_order_ppm_(plan.out_of_order_ppm),
      copy_keys_(plan.seed, Purpose::kCopies, plan.instance),
      fault_keys_(plan.seed, Purpose::kFaults, plan.instance) {
  TM_CHECK(device_count > 0);
  any_fault_ = malformed_ppm_ > 0 || late_ppm_ > 0 || out_of_order_ppm_ > 0;
  auto add_lane = [&](Fault fault, int64_t delay_us) {
    lanes_.push_back(Lane{.time = TimeCursor(plan), .fault = fault, .delay_us = delay_us});
  };
  add_lane(Fault::kNone, 0);
  if (late_ppm_ > 0) add_lane(Fault::kLate, plan.late_by_us);
  if (out_of_order_ppm_ > 0) {
    const double delay = 1.5 * static_cast<double>(device_count) * static_cast<double>(plan.instances) * 1e9 /
                         static_cast<double>(plan.schedule_rate_milli());
    add_lane(Fault::kOutOfOrder, static_cast<int64_t>(delay));
  }
}

uint32_t Schedule::copies(uint64_t index) const {
  if (duplicate_every_ == 0) return 1;
  const uint64_t key = copy_keys_.key(index);
  uint32_t copies = 1;
  for (uint64_t n = 0; n <= 62 && below(word(key, n), duplicate_every_) == 0; ++n) ++copies;
  return copies;
}

Fault Schedule::fault(uint64_t index, uint8_t* spoil) const {
  if (!any_fault_) return Fault::kNone;
  const uint64_t key = fault_keys_.key(index);
  if (below(word(key, 0), 1'000'000) < malformed_ppm_) {
    *spoil = static_cast<uint8_t>(below(word(key, 3), 4));
    return Fault::kMalformed;
  }
  if (below(word(key, 1), 1'000'000) < late_ppm_) return Fault::kLate;
  if (below(word(key, 2), 1'000'000) < out_of_order_ppm_) return Fault::kOutOfOrder;
  return Fault::kNone;
}

void Schedule::step(Lane& lane) const {
  ++lane.index;
  if (lane.index >= limit_) return;
  lane.time.advance();
  if (++lane.position == device_count_) {
    lane.position = 0;
    ++lane.sequence;
  }
}

const Schedule::Lane* Schedule::first_lane() const {
  const Lane* first = nullptr;
  for (const Lane& lane : lanes_) {
    if (lane.index >= limit_) continue;
    if (first == nullptr || lane.send_us() < first->send_us() ||
        (lane.send_us() == first->send_us() && lane.index < first->index)) {
      first = &lane;
    }
  }
  return first;
}

Schedule::Next Schedule::next(int64_t until_us, ScheduledEvent* event) {
  for (;;) {
    Lane* lane = const_cast<Lane*>(first_lane());
    if (lane == nullptr) return Next::kEnd;
    if (lane->send_us() > until_us) return Next::kNotYet;
    uint8_t spoil = 0;
    const Fault found = fault(lane->index, &spoil);
    const bool mine = (found == Fault::kMalformed ? Fault::kNone : found) == lane->fault;
    if (mine) {
      event->index = lane->index;
      event->sequence = lane->sequence;
      event->position = lane->position;
      event->copies = copies(lane->index);
      event->fault = found;
      event->spoil = spoil;
      event->time_us = lane->time.time_us();
      event->send_us = lane->send_us();
    }
    step(*lane);
    if (mine) return Next::kEvent;
  }
}

std::optional<int64_t> Schedule::not_before_us() const {
  const Lane* first = first_lane();
  if (first == nullptr) return std::nullopt;
  return first->send_us();
}

}  // namespace tidemill::simulate
