# SPDX-License-Identifier: GPL-2.0-or-later
"""
A stand-in for hmemd that does things which hmemd would never do: it sends the device
exactly the batches (or the bytes) of a test.  See host-backend/include/hmem_link.h.
"""

import array
import collections
import itertools
import mmap
import os
import pathlib
import re
import socket
import struct
import threading
import time

from daemon import REASONS, VM_SOCKET
from vm import VMError

LINK = pathlib.Path(__file__).parents[2] / "host-backend/include/hmem_link.h"
MAGIC = 0x6d656d68
VERSION = int(re.search(r"^#define HMEM_LINK_VERSION\s+(\d+)u$", LINK.read_text(), re.M)[1])
HELLO, RANGES, STATE, RESULTS, REJECT, TICK = range(1, 7)
WELCOME, HINTS, TRACK, TICK_DONE = range(0x81, 0x85)
MAX_HINTS = 511
MAX_BATCHES = 8         # batches that migrate() keeps under way

DRIVER_OK, VM_RUNNING, MIGRATING, BROKEN, SCAN_LATE = 1, 2, 4, 8, 16
TRACK_DIRTY, TRACK_SIM, TRACK_GPT = 1, 2, 4     # trackers
TRACK_ACCESSED, TRACK_BUSY, TRACK_WITHIN = 4, 8, 64     # flags of TRACK
F_ACCESS, F_WRITTEN, F_INCOMPLETE = 1 << 1, 1 << 3, 1 << 4  # features
F_ONLINE, F_LOOK, F_COST = 1 << 5, 1 << 6, 1 << 9
TICK_INCOMPLETE = 1
REJECTS = {1: "no-driver", 2: "migrating", 3: "busy", 4: "invalid"}

HEADER = struct.Struct("<II")
RANGE = struct.Struct("<QQIIQ")
BATCH = struct.Struct("<QII")
HINT = struct.Struct("<QBB6x")
RESULT_BATCH = struct.Struct("<QIIQ")
RESULT = struct.Struct("<QQBBB5x")
TICK_MESSAGE = struct.Struct("<QQQQQQII")
MAP_BYTES_AT = 160      # in HELLO


Tick = collections.namedtuple("Tick", "seq vtime_ns window_ns dirty accessed scan_ns flags busy_us")


class Batch:
    """A batch of hints that was sent."""

    def __init__(self):
        self.results = []       # (gfn, new_gfn, order, reason)
        self.end = None         # "done", or why there will be no more results


class Peer:
    """Serves one device.  The lock guards all fields below it."""

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
        self.features = 0
        self.online = ()        # bytes of each tier
        self.maps = None        # dirty, accessed, rearm
        self.ticks = []         # ticks that window() must answer
        self.tick = None        # the tick that window() answered last
        self.ranges = []        # (gfn, num, tier)
        self.batches = {}       # under way, by id
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        """Disconnect at once, like an hmemd that is killed."""
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
        fds = []
        _, hello = self.read_exactly(connection, HEADER.size, HELLO, fds)
        with self.changed:
            self.ticks = []
            self.map_bytes, self.trackers = struct.unpack_from("<QI", hello,
                                                               MAP_BYTES_AT)
            self.maps = mmap.mmap(fds[0], 3 * self.map_bytes)
        os.close(fds[0])
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
    def read_exactly(connection, size, expect=None, fds=None):
        def get(n):
            data = b""
            while len(data) < n:
                # Room for the maps' descriptor.
                part, anc, _, _ = connection.recvmsg(n - len(data), 256)
                for level, what, passed in anc:
                    if (level, what) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        fds.extend(array.array("i", passed))
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
            self.state, _, self.features = struct.unpack_from("<IIQ", data)
            self.online = struct.unpack_from("<8Q", data, 24)
            if not self.state & DRIVER_OK:
                self.end_batches("no driver")
        elif kind == RANGES:
            self.ranges = [r[:3] for r in RANGE.iter_unpack(data)]
        elif kind == TICK:
            self.ticks.append(Tick(*TICK_MESSAGE.unpack(data)))
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
                raise VMError(f"waited {timeout} s for {what}")

    def wait_ready(self):
        self.wait(lambda: self.state & DRIVER_OK, "the driver")

    def send_raw(self, data):
        self.socket.sendall(data)

    def track(self, window_ms, tracker, flags=0):
        """Start tracking; a window of 0 stops it."""
        with self.changed:
            if not flags:
                self.ticks = []
            self.socket.sendall(HEADER.pack(TRACK, 16) + struct.pack(
                "<QII", window_ms * 1000000, tracker, flags))

    def take(self, which):
        """Take one of the maps, as a number in which bit n is GFN n."""
        start, end = which * self.map_bytes, (which + 1) * self.map_bytes
        found = int.from_bytes(self.maps[start:end], "little")
        self.maps[start:end] = bytes(self.map_bytes)
        return found

    def wait_tick(self):
        """Wait for a window's end.  The caller must call answer() later."""
        self.wait(lambda: self.ticks, "the end of a window", 3600)
        return self.ticks[0]

    def answer(self):
        """Answer all ticks so far: the maps have been read."""
        with self.changed:
            while self.ticks:
                self.socket.sendall(HEADER.pack(TICK_DONE, 8) +
                                    struct.pack("<Q", self.ticks.pop(0).seq))

    def window(self, rearm=True):
        """Wait for a window's end, and keep the tick as self.tick.  Returns the maps
        of the written and of the accessed pages; with rearm, the accessed pages are
        rearmed when the next window ends."""
        self.wait(lambda: self.ticks, "the end of a window")
        with self.changed:
            dirty, accessed = self.take(0), self.take(1)
            if rearm:
                self.maps[2 * self.map_bytes:] = accessed.to_bytes(
                    self.map_bytes, "little")
            self.tick = self.ticks.pop(0)
            self.socket.sendall(HEADER.pack(TICK_DONE, 8) +
                                struct.pack("<Q", self.tick.seq))
        return dirty, accessed

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
    """The frames as a list of (gfn, order): aligned blocks of at most this order."""
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
