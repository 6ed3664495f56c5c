# SPDX-License-Identifier: GPL-2.0-or-later
"""How often which part of memory was accessed when: the simulator's heat=FILE."""

import json

import heatfile

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
    rows = [[] for _ in range(ROWS)]
    last = begin
    for ns, accessed in heatfile.periods(data):
        if begin < ns <= end:
            sums = [0] * ROWS
            for gfn, reads, writes in accessed:
                sums[min(gfn * ROWS // frames, ROWS - 1)] += reads + writes
            for row, lines in zip(rows, sums):
                row.append(lines)
            last = ns
    return {"seconds": (last - begin) / 1e9, "rows": rows}
