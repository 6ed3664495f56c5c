# SPDX-License-Identifier: GPL-2.0-or-later
"""The result of a run, from the guest's console and the simulator's counters."""

import json
import re

import machine
import vm

PAGE = 4096
STEADY = 0.4            # placement has settled in this last part of the time
PAUSE_SHARE = 0.99
# Threads of the guest's kernel that find or move pages.
MOVERS = ("kswapd", "kdamond", "kworker", "kcompactd", "virtio_hmem")

FAULT = re.compile(rf"{vm.BAD.pattern}|Out of memory")


def pairs(text):
    """Parses "a=1 b=2" into a dictionary of numbers."""
    return {k: float(v) if "." in v or "e" in v else int(v)
            for k, v in re.findall(r"(\w+)=(-?[\d.e+-]+)(?= |$)", text)}


class Console:
    """The guest's lines that begin with "bench: "."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        self.count = {"begin": {}, "end": {}}
        self.facts = {}
        self.result = self.pages = self.status = self.idle = None
        self.unit = ""
        for word, rest in re.findall(r"^bench: (\w+) ?(.*?)\r?$", text, re.M):
            if word == "sample":
                self.samples.append(pairs(rest))
            elif word == "count":
                moment, name, number = rest.split()
                self.count[moment][name] = int(number)
            elif word == "result":
                self.result = pairs(rest)
                self.unit = re.search(r"unit=(\S+)", rest)[1]
            elif word == "idle":
                self.idle = pairs(rest)
            elif word == "pages":
                self.pages = pairs(rest)
            elif word == "status":
                self.status = int(rest)
            else:
                self.facts.setdefault(word, rest)
        self.check()

    def check(self):
        fault = FAULT.search(self.text)
        if fault:
            at = self.text.rfind("\n", 0, fault.start()) + 1
            raise machine.RunError(f"the guest's kernel complains: "
                                   f"{self.text[at:at + 2000]}")
        if self.status != 0 or not self.result or len(self.samples) < 2:
            what = (f"ended with status {self.status}" if self.status
                    else "did not come to an end")
            raise machine.RunError(f"the workload {what}: {self.text.strip()[-1000:]}")

    def delta(self, name):
        """How much a counter rose in the region of interest; 0 for an unknown counter."""
        return self.count["end"].get(name, 0) - self.count["begin"].get(name, 0)

    def deltas(self, prefix):
        return {name.removeprefix(prefix): self.delta(name) for name in self.count["end"]
                if name.startswith(prefix)}

    def throughput(self):
        return self.result["ops"] / self.result["ns"] * 1e9 / self.result["scale"]

    def steady(self):
        """Throughput in the last part of the time."""
        end = self.samples[-1]
        start = max((s for s in self.samples[:-1] if s["ns"] <= end["ns"] * (1 - STEADY)),
                    key=lambda s: s["ns"])
        return ((end["ops"] - start["ops"]) / (end["ns"] - start["ns"]) * 1e9
                / self.result["scale"])

    def series(self):
        """Throughput and occupancy after each interval, in seconds and MiB."""
        rows = []
        for before, now in zip(self.samples, self.samples[1:]):
            if now["ns"] > before["ns"]:
                rows.append({
                    "seconds": now["ns"] / 1e9,
                    "throughput": (now["ops"] - before["ops"]) / (now["ns"] - before["ns"])
                    * 1e9 / self.result["scale"],
                    "dram_mib": now["dram"] / 256, "nvm_mib": now["nvm"] / 256,
                    "promoted": now["promoted"] - self.samples[0]["promoted"],
                    "demoted": now["demoted"] - self.samples[0]["demoted"]})
        return rows

    def moved(self):
        """(promoted, demoted): the pages that any software has moved."""
        first, last = self.samples[0], self.samples[-1]
        return tuple(last[name] - first[name]
                     + self.delta(f"damon_applied_migrate_{heat}") // PAGE
                     for name, heat in (("promoted", "hot"), ("demoted", "cold")))

    def pause_p99(self):
        """99 % of the pauses of base pages were shorter than this, in ns; None if there were
        no pauses."""
        buckets = {}
        for name, pages in self.deltas("pause_").items():
            kind, below = name.rsplit("_", 1)
            if kind in ("anon", "file") and pages:
                buckets[int(below)] = buckets.get(int(below), 0) + pages
        wanted = sum(buckets.values()) * PAUSE_SHARE
        for below in sorted(buckets):
            wanted -= buckets[below]
            if wanted <= 0:
                return below
        return None


def slow_tiers(counters):
    return [t for name, t in counters["tiers"].items() if name != "dram"]


def traffic(counters):
    """Bytes read and written: in slow tiers without migration, and by migration in all
    tiers."""
    slow = slow_tiers(counters)
    return {
        "nvm_read_bytes": sum(t["read_bytes"] - t["migration"]["read_bytes"] for t in slow),
        "nvm_write_bytes": sum(t["write_bytes"] - t["migration"]["write_bytes"] for t in slow),
        "nvm_migration_write_bytes": sum(t["migration"]["write_bytes"] for t in slow),
        "migration_bytes": sum(t["migration"][k] for t in counters["tiers"].values()
                               for k in ("read_bytes", "write_bytes")),
        "tracking_stall_ns": counters["tracking"]["stall_ns"],
    }


def evaluate(console_text, simulated):
    """The result of a run.  simulated: the plugin's output; None without the simulator."""
    console = Console(console_text)
    promoted, demoted = console.moved()
    row = {
        "throughput": console.throughput(),
        "throughput_steady": console.steady(),
        "unit": console.unit,
        "operations": console.result["ops"],
        "guest_seconds": console.result["ns"] / 1e9,
        "pages_promoted": promoted,
        "pages_demoted": demoted,
        "ping_pong": None,
        "pause_p99_ns": console.pause_p99(),
        "mover_cpu_ns": sum(ns for name, ns in console.deltas("thread_").items()
                            if name in MOVERS),
        "kernel_threads_ns": {n: ns for n, ns in console.deltas("thread_").items() if ns},
        "results_by_reason": {n: c for n, c in console.deltas("reason_").items() if c},
        "kernel": console.facts.get("kernel"),
        "idle": console.idle,
        "series": console.series(),
    }
    if console.pages:
        row["ping_pong"] = (console.pages["repeated"] / console.pages["moves"]
                            if console.pages["moves"] else 0)
    for name in ("nvm_read_bytes", "nvm_write_bytes", "nvm_migration_write_bytes",
                 "migration_bytes", "tracking_stall_ns"):
        row[name] = None
    if simulated:
        data = json.loads(simulated)
        row |= traffic(data["roi"])
        row["instructions"] = data["roi"]["instructions"]
        row["model"] = data["model"]
    return row
