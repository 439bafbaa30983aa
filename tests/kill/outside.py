"""Counts what a run has stored, by readers that share nothing with the program: RecordBatch v2 and JSON Lines
are read here, DuckDB by its own library.

Each event of the profile `telemetry` has an id (eventId), and a sequence number that rises by one for each
device, from 0. So `count` rows are the whole truth where no id and no (device, number) comes twice, and each device's
numbers have no hole.
"""
import ctypes
import json
import os
import pathlib
import struct

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Wrong(Exception):
    pass


# ---- the embedded log

HEADER = struct.Struct(">qiibIhiqqqhii")  # a RecordBatch v2 up to its records


def varint(data, at):
    shift = result = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return (result >> 1) ^ -(result & 1), at
        shift += 7


def records(data, at, count):
    """(key, value) of uncompressed records."""
    for _ in range(count):
        length, at = varint(data, at)
        end = at + length
        at += 1  # attributes
        _, at = varint(data, at)
        _, at = varint(data, at)
        size, at = varint(data, at)
        key = data[at:at + size] if size >= 0 else None
        at += max(size, 0)
        size, at = varint(data, at)
        yield key, data[at:at + size] if size >= 0 else None
        at = end


def read_partition(folder):
    """The values of a partition that a read-committed reader sees, in the order of their offsets."""
    done, open_transactions = [], {}
    for segment in sorted(pathlib.Path(folder).glob("*.log")):
        data, at = segment.read_bytes(), 0
        while at + HEADER.size <= len(data):
            base, length, _, magic, _, attributes, _, _, _, producer, _, _, count = HEADER.unpack_from(data, at)
            end = at + 12 + length
            if magic != 2 or end > len(data):
                raise Wrong(f"{segment}: byte {at}: not a whole batch, in a log that was closed")
            if attributes & 7:
                raise Wrong(f"{segment}: byte {at}: compressed")
            found = [(base + n, *record) for n, record in enumerate(records(data, at + HEADER.size, count))]
            if not attributes & 16:
                done += found
            elif not attributes & 32:
                open_transactions.setdefault(producer, []).extend(found)
            else:
                held = open_transactions.pop(producer, [])
                done += held if struct.unpack(">hh", found[0][1])[1] == 1 else []
            at = end
    if open_transactions:
        raise Wrong(f"{folder}: transactions without an end: {list(open_transactions)}")
    return [value for _, _, value in sorted(done)]


def read_topic(run, topic):
    folders = sorted(pathlib.Path(run, "log").glob(f"{topic}-[0-9]*"))
    return [read_partition(folder) for folder in folders]


# ---- files

def read_files(run):
    folders = sorted(path for path in pathlib.Path(run, "files").glob("*-[0-9]*"))
    left = [str(path) for folder in folders for path in folder.glob(".*")]
    if left:
        raise Wrong(f"open files after the end of the run: {left}")
    return [[line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
            for folder in folders]


def check_values(partitions, count, sent):
    """`partitions`: stored values in order; `sent`: by id, what retention has left of the input topic."""
    ids, next_number = set(), {}
    for partition in partitions:
        for value in partition:
            event = json.loads(value)
            identity, device, number = event["eventId"], event["deviceId"], event["deviceSequenceNumber"]
            if identity in ids:
                raise Wrong(f"event {identity} is stored twice")
            ids.add(identity)
            if number != next_number.get(device, 0):
                raise Wrong(f"{device}: number {number} where {next_number.get(device, 0)} is next")
            next_number[device] = number + 1
            original = sent.get(identity, b"")
            if not value.startswith(original.rstrip(b"} ")):
                raise Wrong(f"event {identity} is altered: {value!r} of {original!r}")
    if len(ids) != count:
        raise Wrong(f"{len(ids)} events are stored, {count} were sent")


def sent_events(run, topic):
    sent = {}
    for partition in read_topic(run, topic):
        for value in partition:
            sent[json.loads(value)["eventId"]] = value
    return sent


# ---- DuckDB

class DuckResult(ctypes.Structure):
    _fields_ = [("a", ctypes.c_uint64), ("b", ctypes.c_uint64), ("c", ctypes.c_uint64), ("d", ctypes.c_void_p),
                ("error", ctypes.c_char_p), ("e", ctypes.c_void_p)]


def duckdb_row(path, sql):
    """The one row of integers that `sql` gives."""
    root = os.environ.get("DuckDB_ROOT")
    places = [pathlib.Path(root, "lib")] if root else [ROOT / "build/deps/duckdb"]
    library = ctypes.CDLL(str(next(place / "libduckdb.so" for place in places if (place / "libduckdb.so").exists())))
    library.duckdb_value_int64.restype = ctypes.c_int64
    library.duckdb_value_int64.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
    library.duckdb_column_count.restype = ctypes.c_uint64
    library.duckdb_result_error.restype = ctypes.c_char_p
    database, connection, result = ctypes.c_void_p(), ctypes.c_void_p(), DuckResult()
    if library.duckdb_open(path.encode(), ctypes.byref(database)) != 0:
        raise Wrong(f"DuckDB cannot open {path}")
    try:
        library.duckdb_connect(database, ctypes.byref(connection))
        if library.duckdb_query(connection, sql.encode(), ctypes.byref(result)) != 0:
            raise Wrong(f"{path}: {library.duckdb_result_error(ctypes.byref(result)).decode()}")
        columns = library.duckdb_column_count(ctypes.byref(result))
        row = [library.duckdb_value_int64(ctypes.byref(result), column, 0) for column in range(columns)]
        library.duckdb_destroy_result(ctypes.byref(result))
        library.duckdb_disconnect(ctypes.byref(connection))
        return row
    finally:
        library.duckdb_close(ctypes.byref(database))


def check_table(path, count):
    rows, ids, broken = duckdb_row(path, """
        SELECT count(*), count(DISTINCT eventId), count(*) FILTER (WHERE deviceSequenceNumber <> expected)
        FROM (SELECT eventId, deviceSequenceNumber, row_number() OVER
                (PARTITION BY deviceId ORDER BY "partition", "offset") - 1 AS expected FROM rawdata)""")
    if (rows, ids, broken) != (count, count, 0):
        raise Wrong(f"{path}: {rows} rows, {ids} ids, {broken} out of order; {count} were sent")


def check(solution, run, count):
    """`run`: its directory. Raises Wrong."""
    if solution == "telemetry":
        check_table(os.path.join(run, "store.duckdb"), count)
    elif solution == "relay":
        check_values(read_topic(run, "relay-out"), count, sent_events(run, "relay-in"))
    else:
        check_values(read_files(run), count, sent_events(run, "readings"))
