#!/usr/bin/env python3
"""Apache Kafka's own dump-log reads what the embedded log wrote, without a complaint.

  dump_log.py <kafka_tools_write_log> <directory of Kafka's jars>

Exit status 77 where Java or the jars are missing (tools/fetch-kafka gets them).
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
# What DumpLogSegments says only of files that it does not like.
COMPLAINT = re.compile(r"(?i)mismatch|not in order|non-?consecutive|corrupt|exception|error|invalid: |isvalid: false|"
                       r"out of order|found .* bytes|could not|fail|skipping|unexpected")


# Kinds of files and how dump-log is called for them.
CALLS = (
    (("*.log",), ("--deep-iteration",)),
    (("*.index", "*.timeindex"), ()),
    (("*.index",), ("--index-sanity-check",)),
    (("*.timeindex",), ("--verify-index-only",)),
    (("*.txnindex", "*.snapshot"), ()),
)


def main():
    writer, jars = sys.argv[1], pathlib.Path(sys.argv[2])
    if shutil.which("java") is None or not list(jars.glob("kafka_2.13-*.jar")):
        print(f"skipped: needs java and Kafka's jars in {jars} (tools/fetch-kafka)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch) / "log"
        subprocess.run([writer, str(directory)], check=True)
        return check(directory, jars)


def dump(jars, files, *options):
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "kafka.tools.DumpLogSegments", *options,
               "--files", ",".join(map(str, files))]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    complaints = [line for line in lines if COMPLAINT.search(line) and not line.startswith(("SLF4J", "log4j"))]
    if done.returncode != 0:
        complaints += [f"exit status {done.returncode}"] + lines[-5:]
    return complaints, done.stdout


def check(directory, jars):
    failed = 0
    seen = {"batches": 0, "records": 0, "aborts": 0, "commits": 0, "codecs": set(), "offset entries": 0,
            "time entries": 0, "aborted": 0, "producers": 0}
    segments = sorted(directory.glob("*/*.log"))
    assert len(segments) > 8, segments
    for kinds, options in CALLS:
        # dump-log refuses to map an empty index.
        files = [path for kind in kinds for path in sorted(directory.glob("*/" + kind)) if path.stat().st_size > 0]
        complaints, output = dump(jars, files, *options)
        if complaints:
            failed += 1
            print(f"{kinds} {options}:")
            print("\n".join(complaints[:20]))
        count(output, seen, kinds[0], options)
        if "--deep-iteration" in options:
            failed += compare_end(output, files)
    print({key: sorted(value) if isinstance(value, set) else value for key, value in seen.items()})
    expected = {"none", "gzip", "snappy", "lz4", "zstd"}
    if seen["codecs"] != expected or not all(seen.values()):
        print("the log written did not have everything that is to be tested")
        failed += 1
    return 1 if failed or not canaries_are_found(jars, segments) else 0


def canaries_are_found(jars, segments):
    """A flipped bit in a batch and one in an index must make dump-log complain, and us see it."""
    segment = segments[0]
    found = True
    for path, position, options in ((segment, 200, ("--deep-iteration",)),
                                    (segment.with_suffix(".index"), 3, ()),
                                    (segment.with_suffix(".timeindex"), 7, ())):
        content = path.read_bytes()
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1:])
        if not dump(jars, [path], *options)[0]:
            print(f"a flipped bit in {path.name} was not found")
            found = False
        path.write_bytes(content)
    return found


def count(output, seen, kind, options):
    if kind == "*.log":
        seen["batches"] += output.count("baseOffset:")
        seen["records"] += len(re.findall(r"^\| offset:", output, re.M))
        seen["aborts"] += output.count("endTxnMarker: ABORT")
        seen["commits"] += output.count("endTxnMarker: COMMIT")
        seen["codecs"] |= set(re.findall(r"compresscodec: (\w+)", output))
    if kind == "*.index" and not options:
        seen["offset entries"] += len(re.findall(r"^offset: \d+ position", output, re.M))
        seen["time entries"] += len(re.findall(r"^timestamp: \d+ offset", output, re.M))
    if kind == "*.txnindex":
        seen["aborted"] += len(re.findall(r"firstOffset: \d+ lastOffset", output))
        seen["producers"] += len(re.findall(r"currentTxnFirstOffset", output))


def compare_end(output, files):
    """Kafka saw every byte: the last batch's position and size are the file's end."""
    failed = 0
    parts = re.split(r"^Dumping (.*)$", output, flags=re.M)
    for name, text in zip(parts[1::2], parts[2::2]):
        path = pathlib.Path(name.strip())
        ends = re.findall(r"position: (\d+) .*? size: (\d+)", text)
        end = sum(map(int, ends[-1])) if ends else 0
        if end != path.stat().st_size:
            print(f"{path}: Kafka read {end} of {path.stat().st_size} bytes")
            failed += 1
    if len(parts) // 2 != len(files):
        print(f"Kafka dumped {len(parts) // 2} of {len(files)} segments")
        failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
