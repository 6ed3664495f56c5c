# SPDX-License-Identifier: GPL-2.0-or-later
"""How often which part of memory was accessed when: the simulator's heat=FILE."""

import json
import struct

MAGIC = b"hmemheat"
PERIOD = struct.Struct("<QQ")           # guest ns at its end, frames that follow
FRAME = struct.Struct("<III")           # GFN, lines read, lines written
ROWS = 64


def region(series):
    """(begin, end) of the region of interest in guest ns, from series=FILE."""
    times = {}
    for line in series.splitlines():
        sample = json.loads(line)
        times[sample["event"]] = sample["guest_ns"]
    return times["begin"], times["end"]


def binned(data, frames, begin, end):
    """Lines read and written by part of memory (ROWS, from address 0) and period:
    {"seconds": end of the last period, "rows": [[...], ...]}."""
    if not data.startswith(MAGIC):
        raise ValueError("this is no heat file of the simulator")
    rows = [[] for _ in range(ROWS)]
    at = len(MAGIC)
    last = begin
    while at + PERIOD.size <= len(data):
        ns, count = PERIOD.unpack_from(data, at)
        at += PERIOD.size
        if begin < ns <= end:
            sums = [0] * ROWS
            for gfn, reads, writes in FRAME.iter_unpack(data[at:at + count * FRAME.size]):
                sums[min(gfn * ROWS // frames, ROWS - 1)] += reads + writes
            for row, lines in zip(rows, sums):
                row.append(lines)
            last = ns
        at += count * FRAME.size
    return {"seconds": (last - begin) / 1e9, "rows": rows}
