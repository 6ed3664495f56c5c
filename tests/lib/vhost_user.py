# SPDX-License-Identifier: GPL-2.0-or-later
"""
A virtio device outside of QEMU: the back end of QEMU's vhost-user-test-device.

    class Device(vhost_user.Backend):
        def features(self): ...

Each device has a thread, in which all its methods run: it serves QEMU's messages, and calls
step() again and again while the guest's driver is at work.  The device keeps to the protocol
between QEMU and back ends; towards the guest it can do whatever it likes.
"""

import array
import mmap
import os
import select
import socket
import struct
import threading
import traceback

# The messages that QEMU sends: docs/interop/vhost-user.rst in its source.
(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR,
 SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR,
 GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE,
 SET_BACKEND_REQ_FD, GET_CONFIG, SET_CONFIG) = (
     1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 21, 24, 25)
CONFIG_CHANGED = 2      # of the back end, to QEMU

VERSION, REPLY, NEED_REPLY = 1, 4, 8    # flags of a message
F_PROTOCOL_FEATURES, F_VERSION_1 = 1 << 30, 1 << 32
F_INDIRECT, F_EVENT_IDX = 1 << 28, 1 << 29
PROTOCOL = 1 << 0 | 1 << 3 | 1 << 5 | 1 << 9    # MQ, REPLY_ACK, BACKEND_REQ, CONFIG
NO_FD = 1 << 8

HEADER = struct.Struct("<III")
CONFIG = struct.Struct("<III")
MAX_CONFIG = 256        # of QEMU
DESC = struct.Struct("<QIHH")
NEXT, WRITABLE, INDIRECT = 1, 2, 4
PAUSE = 0.02            # between two steps, in which the guest goes on


class Memory:
    """The guest's memory."""

    def __init__(self, payload, fds):
        num = struct.unpack_from("<I", payload)[0]
        self.regions = []
        for i, fd in zip(range(num), fds):
            gpa, size, user, offset = struct.unpack_from("<4Q", payload, 8 + 32 * i)
            self.regions.append((gpa, user, size, offset, mmap.mmap(fd, size + offset)))
            os.close(fd)

    def close(self):
        for *_, bytes_ in self.regions:
            bytes_.close()

    def at(self, address, user=False):
        """The region's bytes, and where in them this is: a guest's address, or one of QEMU."""
        for gpa, qemu, size, offset, bytes_ in self.regions:
            start = qemu if user else gpa
            if start <= address < start + size:
                return bytes_, address - start + offset
        raise ValueError(f"no memory at {address:#x}")

    def read(self, address, length):
        bytes_, at = self.at(address)
        return bytes_[at:at + length]

    def write(self, address, data):
        bytes_, at = self.at(address)
        bytes_[at:at + len(data)] = data


class Buffer:
    """A buffer of the driver: its number, and (address, length) of its parts."""

    def __init__(self, head, readable, writable):
        self.head, self.readable, self.writable = head, readable, writable
        self.room = sum(length for _, length in writable)


class Queue:
    """A virtqueue, of which the device reads the buffers and writes the used ones."""

    def __init__(self):
        self.kick = self.call = None
        self.enabled = False
        self.num = self.next = self.used = 0
        self.rings = None

    def running(self):
        return self.enabled and self.kick is not None and self.rings is not None

    def avail(self):
        """How many buffers the driver has added that take() has not returned."""
        bytes_, at = self.rings[1]
        return (struct.unpack_from("<H", bytes_, at + 2)[0] - self.next) & 0xffff

    def take(self, memory):
        """The driver's next buffer, or None.  ValueError: its descriptors make no sense."""
        if not self.avail():
            return None
        bytes_, at = self.rings[1]
        head = struct.unpack_from("<H", bytes_, at + 4 + 2 * (self.next % self.num))[0]
        self.next = (self.next + 1) & 0xffff
        parts = ([], [])
        table, at = self.rings[0]
        i = head
        for _ in range(2 * self.num):
            start = at + DESC.size * i
            if start + DESC.size > len(table):
                break
            address, length, flags, following = DESC.unpack_from(table, start)
            region = memory.at(address)
            if flags & INDIRECT:
                table, at = region
                i = 0
                continue
            parts[bool(flags & WRITABLE)].append((address, length))
            if not flags & NEXT:
                return Buffer(head, *parts)
            i = following
        raise ValueError(f"a chain of descriptors without an end, from {head}")

    def give(self, head, length):
        """Put an element into the ring of used buffers; it may be any number."""
        bytes_, at = self.rings[2]
        struct.pack_into("<II", bytes_, at + 4 + 8 * (self.used % self.num), head, length)
        self.publish(1)

    def publish(self, count):
        """Tell the driver of so many more elements, whether there are some or not."""
        bytes_, at = self.rings[2]
        self.used = (self.used + count) & 0xffff
        struct.pack_into("<H", bytes_, at + 2, self.used)

    def interrupt(self):
        if self.call is not None:
            os.write(self.call, struct.pack("<Q", 1))


class Backend:
    """A device with so many queues.  Subclasses define features(), config(), step(), and
    optionally configured(), started() and stopped()."""

    def __init__(self, path, queues):
        self.path = str(path)
        self.queues = [Queue() for _ in range(queues)]
        self.memory = self.requests = self.error = None
        self.acked = 0
        self.working = self.hushed = False
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    # For subclasses

    def configured(self, offset, data):
        """The driver has written to the configuration."""

    def started(self):
        """The driver is at work."""

    def stopped(self):
        """The driver has reset the device."""

    def config_changed(self):
        """Tell the driver that the configuration has changed, unless hush() was called."""
        with self.lock:
            if self.requests and not self.hushed:
                self.requests.sendall(HEADER.pack(CONFIG_CHANGED, VERSION, 0))

    def hush(self, hushed=True):
        """Do not tell of changes from now on.  QEMU 10.2 crashes if the driver resets the
        device before QEMU has read that the configuration has changed."""
        with self.lock:
            self.hushed = hushed

    # The thread

    def serve(self):
        try:
            while True:
                self.link = self.listener.accept()[0]
                while self.serve_one():
                    pass
                self.link.close()
        except Exception:       # the test looks at this
            self.error = traceback.format_exc()
            self.link.close()

    def serve_one(self):
        """Serve a message, or make a step.  Returns False at the end of the connection."""
        if not self.working:
            return self.message()
        if select.select([self.link], [], [], PAUSE)[0]:
            return self.message()
        for queue in self.queues:
            if queue.kick is not None and select.select([queue.kick], [], [], 0)[0]:
                os.read(queue.kick, 8)
        self.step()
        return True

    def receive(self, length):
        data = b""
        while len(data) < length:
            more = self.link.recv(length - len(data))
            if not more:
                return None
            data += more
        return data

    def message(self):
        fds = array.array("i")
        head, ancillary, *_ = self.link.recvmsg(
            HEADER.size, socket.CMSG_SPACE(64 * fds.itemsize))
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
        if not head:
            return False
        if len(head) < HEADER.size:
            head += self.receive(HEADER.size - len(head))
        kind, flags, length = HEADER.unpack(head)
        answer = self.handle(kind, self.receive(length), fds)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self.link.sendall(HEADER.pack(kind, VERSION | REPLY, len(answer)) + answer)
        # A driver that lacks a feature uses fewer queues.
        working = any(q.running() for q in self.queues)
        if working != self.working:
            self.working = working
            (self.started if working else self.stopped)()
        return True

    def handle(self, kind, payload, fds):
        """Returns the answer, if there is one."""
        number = struct.unpack_from("<Q", payload)[0] if len(payload) >= 8 else 0
        if kind == GET_FEATURES:
            return struct.pack("<Q", self.features() | F_PROTOCOL_FEATURES | F_VERSION_1)
        if kind == SET_FEATURES:
            self.acked = number
        elif kind == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", PROTOCOL)
        elif kind == GET_QUEUE_NUM:
            return struct.pack("<Q", len(self.queues))
        elif kind == SET_BACKEND_REQ_FD:
            self.requests = socket.socket(fileno=fds[0])
        elif kind == SET_MEM_TABLE:
            if self.memory:
                self.memory.close()
            self.memory = Memory(payload, fds)
        elif kind == GET_CONFIG:
            offset, size, flags = CONFIG.unpack_from(payload)
            data = self.config()[offset:offset + size].ljust(size, b"\0")
            return CONFIG.pack(offset, size, flags) + data
        elif kind == SET_CONFIG:
            offset, size, _ = CONFIG.unpack_from(payload)
            self.configured(offset, payload[CONFIG.size:CONFIG.size + size])
        elif kind in (SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR):
            self.set_fd(kind, number, fds)
        elif SET_VRING_NUM <= kind <= GET_VRING_BASE or kind == SET_VRING_ENABLE:
            return self.set_queue(kind, *struct.unpack_from("<II", payload), payload)
        elif kind not in (SET_OWNER, SET_PROTOCOL_FEATURES):
            raise ValueError(f"QEMU sends message {kind}")
        return None

    def set_queue(self, kind, index, value, payload):
        queue = self.queues[index]
        if kind == SET_VRING_NUM:
            queue.num = value
        elif kind == SET_VRING_BASE:
            queue.next = queue.used = value
        elif kind == SET_VRING_ADDR:
            desc, used, avail = struct.unpack_from("<3Q", payload, 8)
            queue.rings = [self.memory.at(a, user=True) for a in (desc, avail, used)]
        elif kind == SET_VRING_ENABLE:
            queue.enabled = bool(value)
        else:
            self.set_fd(SET_VRING_KICK, index | NO_FD, ())
            return struct.pack("<II", index, queue.next)
        return None

    def set_fd(self, kind, number, fds):
        queue = self.queues[number & 0xff]
        fd = None if number & NO_FD else fds[0]
        name = {SET_VRING_KICK: "kick", SET_VRING_CALL: "call"}.get(kind)
        old = getattr(queue, name) if name else fd
        if old is not None:
            os.close(old)
        if name:
            setattr(queue, name, fd)
