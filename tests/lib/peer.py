# SPDX-License-Identifier: GPL-2.0-or-later
"""
A stand-in for hmemd, for what hmemd would never do: it sends the device exactly
the batches (or the bytes) that a test wants.  See host-backend/include/hmem_link.h.
"""

import array
import itertools
import pathlib
import socket
import struct
import threading
import time

from daemon import REASONS, VM_SOCKET
from vm import VMError

MAGIC, VERSION = 0x6d656d68, 2
HELLO, RANGES, STATE, RESULTS, REJECT, TICK = range(1, 7)
WELCOME, HINTS, TRACK, TICK_DONE = range(0x81, 0x85)
MAX_HINTS = 511
MAX_BATCHES = 8         # that migrate() keeps under way

DRIVER_OK, VM_RUNNING, MIGRATING, BROKEN = 1, 2, 4, 8
REJECTS = {1: "no-driver", 2: "migrating", 3: "busy", 4: "invalid"}

HEADER = struct.Struct("<II")
RANGE = struct.Struct("<QQII")
BATCH = struct.Struct("<QII")
HINT = struct.Struct("<QBB6x")
RESULT_BATCH = struct.Struct("<QIIQ")
RESULT = struct.Struct("<QQBBB5x")


class Batch:
    """A batch of hints that was sent."""

    def __init__(self):
        self.results = []       # (gfn, new_gfn, order, reason)
        self.end = None         # "done", or why there will be no more results


class Peer:
    """Serves one device.  Everything below the lock is guarded by it."""

    def __init__(self, directory):
        self.listener = socket.socket(socket.AF_UNIX)
        self.path = pathlib.Path(directory) / VM_SOCKET
        self.path.unlink(missing_ok=True)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.ids = itertools.count(1)
        self.changed = threading.Condition()
        self.socket = None
        self.connections = 0
        self.state = 0
        self.ranges = []        # (gfn, num, tier)
        self.batches = {}       # under way, by id
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        """Go away, as hmemd does when it is killed."""
        self.listener.close()
        self.path.unlink(missing_ok=True)
        with self.changed:
            if self.socket:
                self.socket.shutdown(socket.SHUT_RDWR)

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.serve_device(connection)
            except OSError:
                pass
            connection.close()
            with self.changed:
                self.socket = None
                self.state = 0
                self.end_batches("disconnected")

    def end_batches(self, why):
        for batch in self.batches.values():
            batch.end = why
        self.batches.clear()
        self.changed.notify_all()

    def serve_device(self, connection):
        self.read_exactly(connection, HEADER.size, HELLO)
        connection.sendall(HEADER.pack(WELCOME, 8) + struct.pack("<II", MAGIC, VERSION))
        with self.changed:
            self.socket = connection
            self.connections += 1
        while True:
            kind, data = self.read_exactly(connection, HEADER.size)
            with self.changed:
                self.handle(kind, data)
                self.changed.notify_all()

    @staticmethod
    def read_exactly(connection, size, expect=None):
        def get(n):
            data = b""
            while len(data) < n:
                # Room for the dirty map's descriptor, closed at once.
                part, anc, _, _ = connection.recvmsg(n - len(data), 256)
                for level, what, fds in anc:
                    if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        for fd in array.array("i", fds):
                            socket.close(fd)
                if not part:
                    raise OSError("closed")
                data += part
            return data
        kind, length = HEADER.unpack(get(size))
        if expect and kind != expect:
            raise OSError(f"message {kind}, not {expect}")
        return kind, get(length)

    def handle(self, kind, data):
        if kind == STATE:
            self.state = struct.unpack_from("<I", data)[0]
            if not self.state & DRIVER_OK:
                self.end_batches("no driver")
        elif kind == RANGES:
            self.ranges = [r[:3] for r in RANGE.iter_unpack(data)]
        elif kind == REJECT:
            number, code, _ = struct.unpack("<QII", data)
            batch = self.batches.pop(number, None)
            if batch:
                batch.end = f"rejected: {REJECTS[code]}"
        elif kind == RESULTS:
            number, num, flags, _ = RESULT_BATCH.unpack_from(data)
            batch = self.batches.get(number)
            if not batch:
                return
            for i in range(num):
                gfn, new, order, _, reason = RESULT.unpack_from(
                    data, RESULT_BATCH.size + i * RESULT.size)
                batch.results.append((gfn, new, order, reason))
            if flags & 1:
                batch.end = "done"
                del self.batches[number]

    # For tests

    def wait(self, condition, what, timeout=300):
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise VMError(f"waited in vain for {what}")

    def wait_ready(self):
        self.wait(lambda: self.state & DRIVER_OK, "the driver")

    def send_raw(self, data):
        self.socket.sendall(data)

    def send(self, hints):
        """Send one batch of (gfn, order, tier); returns it at once."""
        payload = b"".join(HINT.pack(*h) for h in hints)
        batch = Batch()
        with self.changed:
            if not self.socket:
                batch.end = "disconnected"
                return batch
            number = next(self.ids)
            self.batches[number] = batch
            self.socket.sendall(
                HEADER.pack(HINTS, BATCH.size + len(payload)) +
                BATCH.pack(number, len(hints), 0) + payload)
        return batch

    def finish(self, batch):
        """Wait for the batch's end; returns its results, or raises an error."""
        self.wait(lambda: batch.end, "results")
        if batch.end != "done":
            raise VMError(f"no results: {batch.end}")
        return batch.results

    def hint(self, hints):
        return self.finish(self.send(hints))

    def migrate(self, gfns, tier, order=0, tries=4):
        """For VM.on_hint: (gfn, new_gfn, reason) for each, in order."""
        answers = {}
        todo = pack(gfns, order)
        for attempt in range(tries):
            if attempt:
                time.sleep(0.1)
            for i in range(0, len(todo), MAX_HINTS * MAX_BATCHES):
                part = todo[i:i + MAX_HINTS * MAX_BATCHES]
                sent = [self.send([(g, o, tier) for g, o in part[k:k + MAX_HINTS]])
                        for k in range(0, len(part), MAX_HINTS)]
                for batch in sent:
                    for gfn, new, o, reason in self.finish(batch):
                        for k in range(1 << o):
                            moved = REASONS[reason] == "moved"
                            answers[gfn + k] = (new + k if moved else gfn + k,
                                                reason)
            todo = pack([g for g in gfns if is_busy(answers[g][1])], 0)
            if not todo:
                break
        return [(g, *answers[g]) for g in gfns]


def is_busy(reason):
    return 10 <= reason <= 16


def pack(gfns, order):
    """The frames as (gfn, order): aligned blocks of up to the order."""
    have = set(gfns)
    blocks = []
    for gfn in sorted(have):
        if gfn not in have:
            continue
        size = 1 << order
        if order and gfn % size == 0 and \
                all(gfn + k in have for k in range(size)):
            blocks.append((gfn, order))
            have.difference_update(range(gfn, gfn + size))
        else:
            blocks.append((gfn, 0))
            have.discard(gfn)
    return blocks
