# SPDX-License-Identifier: GPL-2.0-or-later
"""Accesses by part of memory and by period, from the simulator's heat=FILE."""

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
    """The number of lines read and written, in ROWS equal parts of memory from address 0 on,
    and by period: {"seconds": end of the last period, "rows": [[...], ...]}."""
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
