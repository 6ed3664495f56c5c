# SPDX-License-Identifier: GPL-2.0-or-later
"""
What the demo of the pool has to show, from the course of its guests: the text, the picture, and
what is wrong.

A guest is a row of the benchmark (tests/bench/pool_runs.py).
"""

import pool_report
import svg

MIB = 1 << 20
NS = 10**9
# A sleeper's DRAM is lent if others can use at least so much of it, and is back if it has as much
# of its share again.
LENT, BACK = 16 * MIB, 0.9
# A guest no longer swaps if it is so many times as fast.  A page from the disk takes 160 us, and an
# update of memory less than 1 us, so this is far below what the end of swapping gives.
FASTER = 5


def size_at(course, ns):
    """Bytes of DRAM at this time of the guest."""
    return next(size for at, size in reversed(course) if at <= ns)


def speed_in(row, begin, end):
    """The mean speed between two times, in seconds since the measurement began."""
    speeds = [s["throughput"] for s in row["series"] if begin < s["seconds"] <= end]
    return sum(speeds) / len(speeds)


def kept(row):
    return [t for t in row["trades"] if t["state"] == "kept"]


class Story:
    """
    rows    of the guests
    trader  the name of the guest that trades
    pool    bytes of DRAM of all guests
    shares  {guest: bytes of DRAM that it had at first}
    prices  of a MiB of DRAM, and of a MiB of NVM
    """

    def __init__(self, rows, trader, pool, shares, prices):
        self.rows, self.pool, self.shares, self.prices = rows, pool, shares, prices
        self.sleeper = next(r for r in rows if r["idle"])
        # The sleeper's intervals before it slept.
        self.awake = len(pool_report.speeds_awake(self.sleeper)[0])
        # When the measurement began and ended, in ns of the clock by which sizes are noted.
        self.begin = (self.sleeper["idle"]["from"] -
                      self.sleeper["series"][self.awake - 1]["seconds"] * NS)
        self.end = self.begin + min(r["guest_seconds"] for r in rows) * NS
        self.trader = next(r for r in rows if r["vm"] == trader)

    def lending(self):
        """Bytes of the sleeper's DRAM: when it fell asleep, when it awoke, and at the end."""
        idle, course = self.sleeper["idle"], self.sleeper["sizes"]
        return [size_at(course, at) for at in (idle["from"], idle["to"], self.end)]

    def gained(self):
        """Bytes by which the guests that worked on grew while one slept."""
        idle = self.sleeper["idle"]
        return {r["vm"]: size_at(r["sizes"], idle["to"]) - size_at(r["sizes"], idle["from"])
                for r in self.rows if r not in (self.sleeper, self.trader)}

    def faster(self):
        """How many times as fast the trader is at the end as in its first two seconds."""
        seconds = self.trader["guest_seconds"]
        return (speed_in(self.trader, seconds - 2, seconds) / speed_in(self.trader, 0, 2))

    def cost(self, sizes):
        return sum(price * size / MIB for price, size in zip(self.prices, sizes))

    def wrong(self):
        """What the demo has not shown, as sentences."""
        name, trader = self.sleeper["vm"], self.trader["vm"]
        had, least, back = self.lending()
        wrong = []
        if had - least < LENT:
            wrong.append(f"'{name}' slept, and lent only {(had - least) / MIB:.0f} MiB of DRAM")
        if max(self.gained().values()) < LENT:
            wrong.append(f"nobody got the DRAM of '{name}' while it slept")
        if back < BACK * min(had, self.shares[name]):
            wrong.append(f"'{name}' did not get its DRAM back: it has {back / MIB:.0f} MiB")
        if not kept(self.trader):
            wrong.append(f"'{trader}' made no trade that was kept")
        elif self.faster() < FASTER:
            wrong.append(f"'{trader}' is only {self.faster():.2g} times as fast after its trades")
        for trade in self.trader["trades"]:
            costs = [self.cost(trade[k]) for k in ("before_bytes", "after_bytes")]
            # Sizes change by pages, so the cost can be less by a page.
            if not 0 <= costs[0] - costs[1] <= self.prices[0] / 256:
                wrong.append(f"a trade of '{trader}' changed its cost from {costs[0]:g} to "
                             f"{costs[1]:g}")
        for row in self.rows:
            low = min(size for _, size in row["sizes"])
            if low < row["guaranteed_bytes"]:
                wrong.append(f"'{row['vm']}' had {low / MIB:.0f} MiB of DRAM, and its guarantee is "
                             f"{row['guaranteed_bytes'] / MIB:.0f} MiB")
        return wrong

    def text(self):
        """What became of the guests, in lines."""
        name, trader = self.sleeper["vm"], self.trader["vm"]
        had, least, back = (size / MIB for size in self.lending())
        lines = [f"'{name}' had {had:.0f} MiB of DRAM when it fell asleep, {least:.0f} MiB when "
                 f"it awoke, and {back:.0f} MiB at the end."]
        lines += [f"'{other}' got {gain / MIB:+.0f} MiB meanwhile."
                  for other, gain in self.gained().items()]
        for trade in self.trader["trades"]:
            before, after = ("+".join(f"{b / MIB:.0f}" for b in trade[key])
                             for key in ("before_bytes", "after_bytes"))
            lines.append(f"'{trader}' traded {before} MiB of DRAM + NVM for {after} MiB at the "
                         f"same cost: {trade['state']}.")
        lines.append(f"'{trader}' is {self.faster():.3g} times as fast as before.")
        return lines

    def steps(self, course):
        """Points of a line with steps, in seconds since the measurement began, and MiB."""
        points = [(0, size_at(course, self.begin) / MIB)]
        for at, size in course:
            if self.begin < at < self.end:
                second = (at - self.begin) / NS
                points += [(second, points[-1][1]), (second, size / MIB)]
        return [*points, ((self.end - self.begin) / NS, points[-1][1])]

    def speeds(self, row):
        """Points of a line: the speed as a part of the guest's best."""
        best = max(s["throughput"] for s in row["series"])
        points = [(s["seconds"], s["throughput"] / best) for s in row["series"]]
        if row is not self.sleeper:
            return points
        # The program measures nothing while it sleeps, so one interval contains the sleep.
        begin, end = self.slept()
        return [*points[:self.awake], (begin, 0), (end, 0), *points[self.awake + 1:]]

    def slept(self):
        """When the sleeper slept, in seconds since the measurement began."""
        return [(self.sleeper["idle"][k] - self.begin) / NS for k in ("from", "to")]

    def picture(self):
        """The courses of DRAM and of speed as SVG."""
        return svg.stacked([
            svg.Chart(f"DRAM of four virtual machines that share {self.pool / MIB:.0f} MiB",
                      "guest time, s (modelled)", "MiB of DRAM",
                      {r["vm"]: self.steps(r["sizes"]) for r in self.rows}),
            svg.Chart("Speed, as a part of each machine's best", "guest time, s (modelled)",
                      "part", {r["vm"]: self.speeds(r) for r in self.rows})],
            (*self.slept(), f"'{self.sleeper['vm']}' sleeps"))
