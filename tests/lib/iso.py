# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes an ISO 9660 image with one file: a read-only file system."""

import struct

SECTOR = 2048
ROOT = 18   # sectors, as ECMA-119 numbers them; the first 16 are not the file system's


def both(form, value):
    """A number in ISO 9660's form: little-endian, then big-endian."""
    return struct.pack("<" + form, value) + struct.pack(">" + form, value)


def record(sector, size, name, directory=False):
    data = b"\0" + both("I", sector) + both("I", size) + bytes(7) + \
        bytes([2 if directory else 0, 0, 0]) + both("H", 1) + bytes([len(name)]) + name
    data += b"\0" * (len(data) + 1 & 1)
    return bytes([len(data) + 1]) + data


def image(name, data):
    """The bytes of the image; the file's name has capital letters and no dot."""
    length = -(-len(data) // SECTOR)
    root = record(ROOT, SECTOR, b"\0", True)
    volume = bytearray(SECTOR)
    volume[:7] = b"\1CD001\1"
    volume[80:88] = both("I", ROOT + 1 + length)
    volume[120:124] = volume[124:128] = both("H", 1)
    volume[128:132] = both("H", SECTOR)
    volume[156:156 + len(root)] = root
    volume[881] = 1
    entries = root + record(ROOT, SECTOR, b"\1", True) + \
        record(ROOT + 1, len(data), name.encode() + b".;1")
    return bytes(16 * SECTOR) + bytes(volume) + \
        (b"\xffCD001\1").ljust(SECTOR, b"\0") + entries.ljust(SECTOR, b"\0") + \
        data.ljust(length * SECTOR, b"\0")
