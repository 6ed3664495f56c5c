# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the simulator's heat=FILE; see qemu-device/docs/system/hmem-sim.rst."""

import struct

MAGIC = b"hmemheat"
PERIOD = struct.Struct("<QQ")           # guest ns at its end, frames that follow
FRAME = struct.Struct("<III")           # GFN, lines read, lines written


def periods(data):
    """Yield (guest ns, frames) for each period; frames are (GFN, lines read, lines
    written), in order, and only those that were accessed."""
    if not data.startswith(MAGIC):
        raise ValueError("this is no heat file of the simulator")
    at = len(MAGIC)
    while at < len(data):
        ns, count = PERIOD.unpack_from(data, at)
        at += PERIOD.size
        end = at + count * FRAME.size
        if end > len(data):
            raise ValueError("the heat file ends within a period")
        yield ns, FRAME.iter_unpack(data[at:end])
        at = end
