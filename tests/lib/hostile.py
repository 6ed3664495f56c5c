# SPDX-License-Identifier: GPL-2.0-or-later
"""
A virtio-hmem device that breaks the rules.  See spec/virtio_hmem.h.

What it does comes from a seed: the features that it offers, its configuration, and each
message.  A start of the driver is a life; each life has its own numbers for how often the
device lies about what, because most lies make the driver stop at once.  A device that lies
seldom gets further.

The device writes to the buffers that the driver has given to it for that, and to the rings,
and nowhere else.  It tells the driver to give up only some MiB: the rest of the guest needs
memory, and no driver can protect the guest from a host that takes all of it.
"""

import random
import struct

import vhost_user

HINT, RESULT, SCAN, ACCESS, RESIZE = range(5)
FEATURES = (1 << 11) - 1
LARGE_ORDER, MAX_ORDER = 9, 18
PAGING = 1 << 8
MIB = 1 << 20
TAKEN = 8 * MIB             # of each tier
TIER = struct.Struct("<IB3xIIIIQQQB7xQ")
TIERS_AT = 8                # in the configuration
NUMBERS = (0, 1, 2, 3, 63, 64, 255, 256, 511, 512, 513, 1 << 15, (1 << 16) - 1, 1 << 31,
           (1 << 32) - 1, 1 << 52, 1 << 63, (1 << 64) - 1)
# What a device can do wrong, and how often, of 1000: one of these in each life.
OFTEN = (0, 0, 3, 30, 300)
LIES = ("number", "length", "ring", "silence", "late", "request")


class Device(vhost_user.Backend):
    """A device for a machine with frames [0, frames) in two tiers."""

    def __init__(self, path, seed, frames, all_features=False):
        self.rnd = random.Random(seed)
        self.frames = frames
        self.answers = self.lives = self.lied = 0
        self.offered = FEATURES | vhost_user.F_INDIRECT | vhost_user.F_EVENT_IDX \
            if all_features else self.some_features()
        self.begin()
        super().__init__(path, 5)

    def some_features(self):
        """All, most of the time; they need each other, and the driver has to cope with that."""
        rings = self.rnd.choice((0, vhost_user.F_INDIRECT, vhost_user.F_EVENT_IDX,
                                 vhost_user.F_INDIRECT | vhost_user.F_EVENT_IDX))
        mine = FEATURES if self.rnd.randrange(2) else self.rnd.randrange(FEATURES + 1)
        return mine | rings

    def features(self):
        return self.offered

    # A life

    def begin(self, stuck=None, honest=False):
        """The driver will be loaded.  With stuck, the device never uses a buffer of that queue.
        Such a device does not lie, nor does an honest one."""
        honest = honest or stuck is not None
        self.often = {lie: 0 if honest else self.rnd.choice(OFTEN) for lie in LIES}
        if not honest and self.rnd.randrange(4) == 0:
            stuck = self.rnd.choice((RESULT, SCAN, ACCESS, RESIZE))
        self.stuck = stuck
        self.calm = False       # the requested sizes stay as they are
        self.held = []          # (queue, buffer): to be used later
        self.filled = []        # buffers that the driver has back
        self.requests_left = 200
        self.batch = self.scan = 0
        self.scan_due = True    # the last scan has ended, or its request goes on
        self.scan_more = False  # its request has further parts
        self.tiers = []
        for i in range(3):
            size = self.frames << 12 if i < 2 else 0
            self.tiers.append({
                "pxm": i if not self.lie("number") else self.number(32),
                "size": size, "requested": size,
                "unit": self.rnd.choice((0, 0, 0, LARGE_ORDER)) if not self.lie("number")
                        else self.number(8)})
        self.num_tiers = 2 if not self.lie("number") else self.rnd.choice((0, 1, 3, 8, 9, 65535))

    def lie(self, about):
        lies = self.rnd.randrange(1000) < self.often[about]
        self.lied += lies
        return lies

    def number(self, bits):
        """Any number, and more often one near to a limit."""
        value = self.rnd.choice(NUMBERS) if self.rnd.randrange(2) else self.rnd.getrandbits(64)
        return value & ((1 << bits) - 1)

    def config(self):
        data = struct.pack("<H6x", self.num_tiers)
        for tier in self.tiers:
            data += TIER.pack(tier["pxm"], self.rnd.randrange(3), 80, 80, 1000, 1000,
                              tier["size"], 0, tier["requested"], tier["unit"], 0)
        return data

    def started(self):
        self.lives += 1

    def step(self):
        if self.lie("silence"):
            return
        for number, queue in enumerate(self.queues):
            if queue.running() and number != self.stuck:
                self.serve_queue(number, queue)
        self.use_held()
        if self.filled and self.lie("late"):
            self.scribble()
        if not self.calm and self.rnd.randrange(8) == 0:
            self.request_size()

    def serve_queue(self, number, queue):
        limit = {HINT: 1, SCAN: 1}.get(number, 8)
        while limit and queue.avail():
            limit -= 1
            if number in (HINT, SCAN):
                if self.requests_left == 0 or (number == SCAN and not self.scan_due
                                               and not self.lie("request")):
                    return
            try:
                buffer = queue.take(self.memory)
            except ValueError:
                # If a lie has given the buffer back, the driver has freed its descriptors.
                if not self.often["ring"]:
                    raise
                continue
            if self.lie("silence"):
                self.held.append((number, buffer))
                continue
            self.use(number, buffer)

    def use_held(self):
        """Use a buffer that was kept back: out of order."""
        if self.held and self.rnd.randrange(4) == 0:
            self.use(*self.held.pop(self.rnd.randrange(len(self.held))))

    def use(self, number, buffer):
        queue = self.queues[number]
        length = 0
        if number in (HINT, SCAN):
            self.requests_left -= 1
            length = self.fill(buffer, self.hints(buffer) if number == HINT
                               else self.scan_request(buffer))
        elif number == ACCESS:
            self.scan_due |= self.ends_scan(buffer)
        elif number == RESIZE:
            length = self.fill(buffer, self.resized(buffer))
        if self.lie("length"):
            length = self.number(32)
        head = buffer.head
        if self.lie("ring"):
            head = self.rnd.choice((self.number(32), self.rnd.randrange(queue.num)))
        queue.give(head, length)
        if self.lie("ring"):
            queue.publish(self.rnd.choice((1, 2, queue.num, 0x8000)))
        queue.interrupt()
        self.answers += 1

    def fill(self, buffer, data):
        """Write to the buffer's parts; returns how many bytes were written."""
        data = data[:buffer.room]
        at = 0
        for address, length in buffer.writable:
            self.memory.write(address, data[at:at + length])
            at += length
        if buffer.room:
            self.filled = [*self.filled[-15:], buffer]
        return len(data)

    def scribble(self):
        """Change what the driver may be reading."""
        address, length = self.rnd.choice(self.rnd.choice(self.filled).writable)
        size = self.rnd.choice((1, 4, 8))
        if length >= size:
            # Mostly in the header, where the counts are.
            at = self.rnd.randrange(min(length, 32) // size) * size
            self.memory.write(address + at, self.number(8 * size).to_bytes(size, "little"))

    # Messages

    def gfn(self):
        if self.rnd.randrange(20) == 0:
            return self.number(64)
        return self.rnd.randrange(self.frames)

    def count(self, num):
        return self.number(32) if self.lie("number") else num

    def hints(self, buffer):
        room = (buffer.room - 16) // 16
        num = self.rnd.choice((1, 2, 16, room))
        if not self.lie("request"):
            self.batch += 1
        data = struct.pack("<QII", self.batch, self.count(num), self.count(0))
        for _ in range(num):
            order = self.rnd.choice((0, 0, 0, 0, 0, 0, 3, LARGE_ORDER))
            gfn = self.gfn() >> order << order
            tier = self.rnd.randrange(2)
            if self.lie("number"):
                order, tier = self.number(8), self.number(8)
            elif self.rnd.randrange(2000) == 0:
                order, gfn = MAX_ORDER, 0
            data += struct.pack("<QBB6x", gfn, order, tier)
        return data

    def scan_request(self, buffer):
        look = self.acked & 1 << 6
        room = (buffer.room - 16 - (16 if look else 0)) // 16
        num = self.rnd.choice((0, 1, 16, room))
        if self.scan_more == self.lie("request"):
            self.scan += 1
        last = self.rnd.randrange(8) != 0
        self.scan_due = self.scan_more = not last
        flags = self.rnd.randrange(8) << 1 | last
        data = struct.pack("<QII", self.scan, self.count(num), self.count(flags))
        if look:
            data += struct.pack("<QQ", self.rnd.choice((0, 10 ** 6, 10 ** 8))
                                if not self.lie("number") else self.number(64), self.count(0))
        for _ in range(num):
            data += struct.pack("<QQ", self.gfn() >> 6 << 6, self.number(64))
        return data

    def ends_scan(self, buffer):
        """Is it the last report of a scan?"""
        address, length = buffer.readable[0]
        data = self.memory.read(address, min(length, 16))
        return len(data) == 16 and bool(struct.unpack_from("<I", data, 12)[0] & 1)

    def resized(self, buffer):
        """The answer to a message for a size: mostly, that all of it was done."""
        address, length = buffer.readable[0]
        data = self.memory.read(address, min(length, 8))
        num = struct.unpack_from("<I", data, 4)[0] if len(data) == 8 else 0
        if self.rnd.randrange(4) == 0 and num:
            num = self.rnd.randrange(num + 1)
        return struct.pack("<II", self.number(32) if self.lie("number")
                           else self.rnd.randrange(4), self.count(num))

    def request_size(self):
        tier = self.rnd.choice(self.tiers)
        tier["requested"] = max(tier["size"] - self.rnd.randrange(0, TAKEN, 4096), 0)
        if self.lie("number"):
            tier["requested"] = tier["size"] + self.number(40)
        self.config_changed()
