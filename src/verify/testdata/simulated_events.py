#!/usr/bin/env python3
"""docs/formats/simulated-events.md once more, in Python: makes the numbers of expected_test.cc.

Prints, for some manifests, the CRC-32 (zlib's) of the first events in send order, as lines
"i s(i) c(i) bytes". Run it after a change of that page, and compare.
"""
import heapq
import math
import struct
import zlib
from datetime import datetime, timedelta, timezone

M = (1 << 64) - 1
GOLD = 0x9E3779B97F4A7C15


def mix(z):
    z ^= z >> 30
    z = z * 0xBF58476D1CE4E5B9 & M
    z ^= z >> 27
    z = z * 0x94D049BB133111EB & M
    return z ^ z >> 31


class Run:
    def __init__(self, **options):
        self.o = dict(profile="telemetry", seed=1, start_us=1_790_000_000_000_000, instance=0, instances=1, devices=10,
                      shared_devices=False, pacing="fixed", rate_milli=1_000_000, count=1000, duration_us=-1,
                      complex_count=23, complex_first=0, values="10-100", created_digits=6,
                      device_id_format="contoso-device-id-%06d", duplicate_every=0, out_of_order_ppm=0, late_ppm=0,
                      late_by_us=0, malformed_ppm=0)
        self.o.update(options)
        for name, value in self.o.items():
            setattr(self, name, value)
        self.rate = self.rate_milli or 10**9
        j, n = self.instance, self.instances
        if self.profile == "telemetry":
            self.order = [d for d in range(self.devices) if self.shared_devices or d % n == j]
            k = self.key(6, j, 0)
            for at in range(len(self.order) - 1, 0, -1):
                other = self.below(self.word(k, at), at + 1)
                self.order[at], self.order[other] = self.order[other], self.order[at]
        else:
            self.order = [-1]
        self.begins = [0]

    def key(self, purpose, instance, i):
        return mix(mix((mix((self.seed + purpose * GOLD) & M) + instance) & M) + i & M)

    @staticmethod
    def word(key, n):
        return mix(key + (n + 1) * GOLD & M)

    @staticmethod
    def below(w, b):
        return w * b >> 64

    @staticmethod
    def unit(w):
        return (w >> 11) * 2.0**-53

    def time(self, i):
        if self.pacing == "fixed":
            return (i * self.instances + self.instance) * 10**9 // self.rate
        block, at = divmod(i, 1024)
        while len(self.begins) <= block:
            last = len(self.begins) - 1
            self.begins.append(self.begins[last] + math.floor(self.sums(last)[1023]))
        return self.begins[block] + math.floor(self.sums(block)[at])

    def sums(self, block, cache={}):
        name = (id(self), block)
        if name not in cache:
            k = self.key(2, self.instance, block)
            mean = float(self.instances) * 1e9 / float(self.rate)
            total, out = 0.0, []
            for n in range(1024):
                total = total + -math.log1p(-self.unit(self.word(k, n))) * mean
                out.append(total)
            cache[name] = out
        return cache[name]

    def events(self):
        n = self.count // self.instances + (1 if self.instance < self.count % self.instances else 0)
        if self.duration_us >= 0:
            while n > 0 and self.time(n - 1) >= self.duration_us:
                n -= 1
        return n

    def fault(self, i):
        f = self.key(4, self.instance, i)
        if self.below(self.word(f, 0), 10**6) < self.malformed_ppm:
            return "malformed"
        if self.below(self.word(f, 1), 10**6) < self.late_ppm:
            return "late"
        if self.below(self.word(f, 2), 10**6) < self.out_of_order_ppm:
            return "order"
        return ""

    def send(self, i):
        fault = self.fault(i)
        if fault == "late":
            return self.time(i) + self.late_by_us
        if fault == "order":
            return self.time(i) + math.floor(1.5 * len(self.order) * self.instances * 1e9 / self.rate)
        return self.time(i)

    def copies(self, i):
        if self.duplicate_every == 0:
            return 1
        k, c = self.key(3, self.instance, i), 0
        while c <= 62 and self.below(self.word(k, c), self.duplicate_every) == 0:
            c += 1
        return 1 + c

    def uuid(self, i):
        left, right = self.instance << 48 | i, 0
        k = self.key(5, 0, 0)
        for r in range(4):
            left, right = right, left ^ (mix(self.word(k, r) + right & M) & (1 << 61) - 1)
        x = left << 61 | right
        value = x >> 74 << 80 | 4 << 76 | (x >> 62 & 0xFFF) << 64 | 2 << 62 | x & (1 << 62) - 1
        h = "%032x" % value
        return "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))

    def number(self, w):
        if self.values == "0-1":
            return "0.%d" % self.below(w, 2147483647)
        digits = "%d" % (10**16 + self.below(w, 9 * 10**16))
        return digits[:2] + "." + digits[2:]

    def bytes(self, i):
        k = self.key(1, self.instance, i)
        if self.profile == "sensor":
            if self.fault(i) == "malformed":
                return b"not json: %d" % i
            m1 = 37.0 + 7.0 * math.sqrt(-2.0 * math.log(1.0 - self.unit(self.word(k, 1)))) * math.cos(
                6.283185307179586 * self.unit(self.word(k, 2)))
            return ('{"sensor": "Sensor %d", "measure1": %s, "measure2": %s}' % (
                1 + self.below(self.word(k, 0), 3), shortest(m1), shortest(self.unit(self.word(k, 3))))).encode()
        device = self.order[i % len(self.order)]
        us = self.start_us + self.time(i)
        when = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)
        fraction = {3: "%03d" % (us % 10**6 // 1000), 6: "%06d" % (us % 10**6), 7: "%06d0" % (us % 10**6)}
        data = ",".join('"moreData%d":%s' % (self.complex_first + m, self.number(self.word(k, 2 + m)))
                        for m in range(self.complex_count))
        name = self.device_id_format % device
        text = '{"eventId":"%s","complexData":{%s},"value":%s,"deviceId":"%s","deviceSequenceNumber":%d,' \
               '"type":"%s","createdAt":"%s.%sZ"}' % (
                   self.uuid(i), data, self.number(self.word(k, 1)), name, i // len(self.order),
                   "TEMP" if self.word(k, 0) % 2 == 0 else "CO2", when.strftime("%Y-%m-%dT%H:%M:%S"),
                   fraction[self.created_digits])
        out = text.encode()
        if self.fault(i) != "malformed":
            return out
        way = self.below(self.word(self.key(4, self.instance, i), 3), 4)
        if way == 0:
            return out[:len(out) * 3 // 5]
        if way == 1:
            return out.replace(b'"%s"' % self.uuid(i).encode(), b'["%s"]' % self.uuid(i).encode(), 1)
        if way == 2:
            return out.replace(b'"deviceId":"', b'"deviceId":"\xff', 1)
        return b"not json: " + self.uuid(i).encode()


def shortest(value):
    """As C++17's to_chars: repr's digits, fixed or scientific, whichever is shorter."""
    digits, exponent = ("%r" % value), None
    mantissa, _, e = (digits.partition("e") if "e" in digits else ("%.17e" % value).partition("e"))
    for precision in range(0, 17):
        text = "%.*e" % (precision, value)
        if float(text) == value:
            mantissa, _, exponent = text.partition("e")
            break
    else:
        mantissa, _, exponent = ("%.16e" % value).partition("e")
    e = int(exponent)
    scientific = mantissa + "e%+03d" % e
    plain = mantissa.replace(".", "").replace("-", "")
    sign = "-" if value < 0 else ""
    if e >= 0:
        fixed = sign + (plain.ljust(e + 1, "0")[:e + 1] + ("." + plain[e + 1:] if len(plain) > e + 1 else ""))
    else:
        fixed = sign + "0." + "0" * (-e - 1) + plain
    return fixed if len(fixed) <= len(scientific) else scientific


def main():
    late = dict(out_of_order_ppm=30000, late_ppm=20000, late_by_us=3_000_000, malformed_ppm=20000, duplicate_every=20)
    for name, run in [
        ("plain", Run(seed=7, count=3000)),
        ("faults", Run(seed=42, instance=1, instances=3, devices=20, count=7000, pacing="poisson", **late)),
        ("reference", Run(seed=2**64 - 1, values="0-1", complex_first=1, created_digits=7, shared_devices=True,
                          instance=2, instances=5, devices=7, count=4999, rate_milli=0,
                          device_id_format="contoso://device-id-%d", complex_count=3)),
        ("short", Run(seed=3, created_digits=3, complex_count=0, devices=1, duration_us=777_777, count=100000,
                      rate_milli=333_333, pacing="poisson", device_id_format="contoso-device-id-%d")),
        ("sensor", Run(profile="sensor", seed=5, devices=0, count=5000, malformed_ppm=10000, duplicate_every=50,
                       late_ppm=10000, late_by_us=500_000)),
    ]:
        n = run.events()
        crc = 0
        for s, i in sorted((run.send(i), i) for i in range(n)):
            crc = zlib.crc32(b"%d %d %d " % (i, s, run.copies(i)) + run.bytes(i) + b"\n", crc)
        print('%-10s %6d events  0x%08x   first %s' % (name, n, crc, run.bytes(0)[:60].decode()))


if __name__ == "__main__":
    main()
