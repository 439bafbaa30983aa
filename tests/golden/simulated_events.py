#!/usr/bin/env python3
"""A few simulated events, made from docs/formats/simulated-events.md and nothing else.

It is slow and obvious on purpose, and shares no code with src/simulate. Its output is
src/simulate/golden_events.inc, which the unit tests compare with what the generator makes:

    tests/golden/simulated_events.py > src/simulate/golden_events.inc
"""
import datetime
import math
import struct

M = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    z &= M
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & M
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & M
    return z ^ z >> 31


def word(key, n):
    return mix(key + (n + 1) * GOLDEN)


def below(w, b):
    return w * b >> 64


def unit(w):
    return (w >> 11) * 2.0**-53


def murmur2(data):
    m, h = 0x5BD1E995, 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = struct.unpack_from("<I", data, i)[0] * m & 0xFFFFFFFF
        k ^= k >> 24
        k = k * m & 0xFFFFFFFF
        h = h * m & 0xFFFFFFFF ^ k
    rest = data[whole:]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = h * m & 0xFFFFFFFF
    h ^= h >> 13
    h = h * m & 0xFFFFFFFF
    return h ^ h >> 15


def shortest(value):
    """As std::to_chars writes a double: the shorter of both notations, fixed where they are equal."""
    digits, exponent = ("%r" % value), 0
    mantissa, _, e = digits.partition("e")
    exponent = int(e or 0)
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    number = (whole + fraction).lstrip("0") or "0"
    point = len(whole.lstrip("0")) if whole.strip("0") else len(number) - len(fraction)
    point += exponent
    number = number.rstrip("0") or "0"
    sci = number[0] + ("." + number[1:] if len(number) > 1 else "") + "e%+03d" % (point - 1)
    if point <= 0:
        fixed = "0." + "0" * -point + number
    elif point >= len(number):
        fixed = number + "0" * (point - len(number))
    else:
        fixed = number[:point] + "." + number[point:]
    text = fixed if len(fixed) <= len(sci) else sci
    assert float(text) == value
    return text


class Run:
    def __init__(self, **options):
        o = dict(
            profile="telemetry", seed=0, start_us=0, partitions=1, instance=0, instances=1, devices=1,
            shared_devices=False, pacing="fixed", rate_milli=1_000_000, count=-1, duration_us=-1, complex_count=2,
            complex_first=0, values="10-100", created_digits=6, device_id_format="contoso-device-id-%06d",
            duplicate_every=0, out_of_order_ppm=0, late_ppm=0, late_by_us=0, malformed_ppm=0)  # fmt: skip
        assert not set(options) - set(o)
        o.update(options)
        self.__dict__.update(o)
        self.rate = self.rate_milli or 10**9

    def key(self, purpose, instance, i):
        return mix(mix(mix(self.seed + purpose * GOLDEN) + instance) + i)

    def order(self):
        devices = [d for d in range(self.devices) if self.shared_devices or d % self.instances == self.instance]
        k = self.key(6, self.instance, 0)
        for n in range(len(devices) - 1, 0, -1):
            other = below(word(k, n), n + 1)
            devices[n], devices[other] = devices[other], devices[n]
        return devices

    def times(self):
        i = base = 0
        while True:
            if self.pacing == "fixed":
                yield (i * self.instances + self.instance) * 10**9 // self.rate
                i += 1
                continue
            mean = self.instances * 10**9 / self.rate
            k = self.key(2, self.instance, i)
            total = 0.0
            for n in range(1024):
                total += -math.log1p(-unit(word(k, n))) * mean
                yield base + math.floor(total)
            base += math.floor(total)
            i += 1

    def fault(self, i, devices):
        f = self.key(4, self.instance, i)
        if below(word(f, 0), 10**6) < self.malformed_ppm:
            return 0, below(word(f, 3), 4)
        if below(word(f, 1), 10**6) < self.late_ppm:
            return self.late_by_us, None
        if below(word(f, 2), 10**6) < self.out_of_order_ppm:
            return math.floor(1.5 * devices * self.instances * 1e9 / self.rate), None
        return 0, None

    def copies(self, i):
        c = 1
        if self.duplicate_every:
            k = self.key(3, self.instance, i)
            while c < 64 and below(word(k, c - 1), self.duplicate_every) == 0:
                c += 1
        return c

    def event_id(self, i):
        left, right = (self.instance << 48) + i, 0
        for r in range(4):
            left, right = right, left ^ (mix(word(self.key(5, 0, 0), r) + right) & (1 << 61) - 1)
        bits = format(left << 61 | right, "0122b")
        text = "%032x" % int(bits[:48] + "0100" + bits[48:60] + "10" + bits[60:], 2)
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def number(self, w):
        if self.values == "0-1":
            return "0.%d" % below(w, 2147483647)
        text = str(10**16 + below(w, 9 * 10**16))
        return text[:2] + "." + text[2:]

    def created(self, t):
        us = self.start_us + t
        text = datetime.datetime.fromtimestamp(us // 10**6, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return text + "." + ("%06d0" % (us % 10**6))[: self.created_digits] + "Z"

    def telemetry(self, i, t, device, sequence, spoil):
        k = self.key(1, self.instance, i)
        name = self.device_id_format % device
        more = ",".join(
            '"moreData%d":%s' % (self.complex_first + m, self.number(word(k, 2 + m))) for m in range(self.complex_count))
        event_id = '"%s"' % self.event_id(i)
        text = '{"eventId":%s,"complexData":{%s},"value":%s,"deviceId":"%s%s","deviceSequenceNumber":%d,"type":"%s","createdAt":"%s"}' % (
            "[" + event_id + "]" if spoil == 1 else event_id, more, self.number(word(k, 1)),
            "\xff" if spoil == 2 else "", name, sequence, ("TEMP", "CO2")[word(k, 0) & 1], self.created(t))  # fmt: skip
        if spoil == 0:
            text = text[: len(text) * 3 // 5]
        if spoil == 3:
            text = "not json: " + event_id.strip('"')
        return name, text

    def sensor(self, i, spoil):
        if spoil is not None:
            return "not json: %d" % i
        k = self.key(1, self.instance, i)
        m1 = 37 + 7 * math.sqrt(-2 * math.log(1 - unit(word(k, 1)))) * math.cos(6.283185307179586 * unit(word(k, 2)))
        return '{"sensor": "Sensor %d", "measure1": %s, "measure2": %s}' % (
            1 + below(word(k, 0), 3), shortest(m1), shortest(unit(word(k, 3))))  # fmt: skip

    def lines(self):
        limit = math.inf
        if self.count >= 0:
            limit = self.count // self.instances + (self.instance < self.count % self.instances)
        devices = self.order()
        events = []
        for i, t in enumerate(self.times()):
            if i >= limit or (self.duration_us >= 0 and t >= self.duration_us):
                break
            delay, spoil = self.fault(i, len(devices))
            events.append((t + delay, i, t, spoil))
        record = 0
        for send, i, t, spoil in sorted(events, key=lambda e: e[:2]):
            copies = self.copies(i)
            if self.profile == "sensor":
                partition, name, text = record // 64 % self.partitions, "-", self.sensor(i, spoil)
            else:
                device = devices[i % len(devices)]
                name, text = self.telemetry(i, t, device, i // len(devices), spoil)
                partition = (murmur2(name.encode()) & 0x7FFFFFFF) % self.partitions
            record += copies
            text = text.replace("\xff", "\\xff")
            yield "%d %d %d %d %s %s" % (send, partition, copies, (self.start_us + t) // 1000, name, text)


START = 1767323045678901  # 2026-01-02T03:04:05.678901Z
RUNS = {
    "faults": (Run(seed=42, start_us=START, partitions=4, instance=1, instances=2, devices=5, rate_milli=3000, count=41,
                   complex_first=1, duplicate_every=3, malformed_ppm=250_000, late_ppm=200_000, late_by_us=1_500_000,
                   out_of_order_ppm=300_000), 0, 20),
    "poisson": (Run(seed=2**64 - 3, start_us=START, partitions=3, devices=7, pacing="poisson", rate_milli=900_000_000,
                    count=1030, values="0-1", created_digits=7, device_id_format="contoso://device-id-%d"), 1018, 1030),
    "maximum": (Run(seed=7, start_us=START, partitions=2, instance=2, instances=3, devices=4, shared_devices=True,
                    rate_milli=0, duration_us=20, complex_count=0, created_digits=3), 0, 7),
    "sensor": (Run(profile="sensor", seed=38, start_us=START, partitions=3, pacing="poisson", rate_milli=50_000,
                   count=520, duplicate_every=4, malformed_ppm=10_000), 0, 520),
}  # fmt: skip


def shown(name, lines):
    if name != "sensor":
        return lines
    # The first ones, one with a chunk's end, and those with scientific notation.
    return [line for n, line in enumerate(lines) if n < 4 or 46 < n < 50 or "e-" in line or "not json" in line]


if __name__ == "__main__":
    print("// Made by tests/golden/simulated_events.py. Each line: send time, partition of the first copy, copies,")
    print("// timestamp in ms, key, value. Do not edit.")
    print("// clang-format off")
    for name, (run, first, last) in RUNS.items():
        for line in shown(name, list(run.lines())[first:last]):
            print('{"%s", R"(%s)"},' % (name, line))
