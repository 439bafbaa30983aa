"""A Kafka endpoint that can do less: a proxy before a real broker, which takes requests out of the broker's ApiVersions
answer and refuses them. The broker advertises the proxy's address, so that every client comes through it.

What it can be (`kind`):
  whole                everything goes through
  no-transactions      no AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit
  no-idempotence       no InitProducerId either, nor DeleteRecords, as an old Event Hubs
  refused              everything is offered, and a transaction's coordinator refused, as Event Hubs Standard does today
`break_produce`: out of so many answers to Produce requests one is swallowed, with its connection: the client cannot
know whether its batch is stored. 0: none.
"""
import asyncio
import random
import struct
import threading

PRODUCE, FIND_COORDINATOR, API_VERSIONS, DELETE_RECORDS, INIT_PRODUCER_ID = 0, 10, 18, 21, 22
TRANSACTIONAL = {24, 25, 26, 28}
HIDDEN = {"whole": set(), "no-transactions": TRANSACTIONAL, "refused": set(),
          "no-idempotence": TRANSACTIONAL | {INIT_PRODUCER_ID, DELETE_RECORDS}}
INVALID_REQUEST = 42
REASON = b"FindCoordinator asked for coordinator with type code 1 which is not supported"


def uvarint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def read_uvarint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def without(answer, version, hidden):
    """An ApiVersions answer (with its correlation id) without those requests."""
    head, rest = answer[:6], answer[6:]  # correlation id, error
    if version >= 3:
        count, at = read_uvarint(rest, 0)
        kept = []
        for _ in range(count - 1):
            entry = rest[at:at + 7]  # key, from, to, no tags
            if entry[6] != 0:
                raise AssertionError("an ApiVersions answer with tagged fields")
            at += 7
            if struct.unpack_from(">h", entry)[0] not in hidden:
                kept.append(entry)
        return head + uvarint(len(kept) + 1) + b"".join(kept) + rest[at:]
    count = struct.unpack_from(">i", rest)[0]
    entries = [rest[4 + 6 * i:10 + 6 * i] for i in range(count)]
    kept = [entry for entry in entries if struct.unpack_from(">h", entry)[0] not in hidden]
    return head + struct.pack(">i", len(kept)) + b"".join(kept) + rest[4 + 6 * count:]


class Proxy:
    """Listens from the start; `connect` says where the broker is."""

    def __init__(self, kind="whole", break_produce=0, seed=1):
        self.kind, self.break_produce = kind, break_produce
        self.chance = random.Random(seed)
        self.upstream = None
        self.refused = 0    # requests that a client should not have sent
        self.swallowed = 0  # answers to Produce
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        self.upstream = (host, int(port))

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.close()
            return
        asked = {}  # by correlation id: request, version
        tasks = [asyncio.ensure_future(self._requests(reader, writer, up_writer, asked)),
                 asyncio.ensure_future(self._answers(up_reader, writer, asked))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for one in (writer, up_writer):
            one.close()

    @staticmethod
    async def _frame(reader):
        size = await reader.readexactly(4)
        return size, await reader.readexactly(struct.unpack(">i", size)[0])

    async def _requests(self, reader, writer, up_writer, asked):
        try:
            while True:
                size, body = await self._frame(reader)
                key, version, correlation = struct.unpack_from(">hhi", body)
                if key in HIDDEN[self.kind]:
                    self.refused += 1
                    return
                if self.kind == "refused" and key == FIND_COORDINATOR and version >= 1 and self._of_transaction(body):
                    answer = struct.pack(">iihh", correlation, 0, INVALID_REQUEST, len(REASON)) + REASON + struct.pack(">ihi", -1, 0, -1)
                    writer.write(struct.pack(">i", len(answer)) + answer)
                    continue
                asked[correlation] = (key, version)
                up_writer.write(size + body)
                await up_writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass

    @staticmethod
    def _of_transaction(body):
        """Of a FindCoordinator request before version 3, which librdkafka sends."""
        client = struct.unpack_from(">h", body, 8)[0]
        at = 10 + max(client, 0)
        at += 2 + struct.unpack_from(">h", body, at)[0]
        return body[at] == 1

    async def _answers(self, up_reader, writer, asked):
        try:
            while True:
                size, body = await self._frame(up_reader)
                key, version = asked.pop(struct.unpack_from(">i", body)[0])
                if key == API_VERSIONS:
                    body = without(body, version, HIDDEN[self.kind])
                    size = struct.pack(">i", len(body))
                if key == PRODUCE and self.break_produce and self.chance.randrange(self.break_produce) == 0:
                    self.swallowed += 1
                    return
                writer.write(size + body)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
