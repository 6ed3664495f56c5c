# SPDX-License-Identifier: GPL-2.0-or-later
"""
The workloads.  To add one, write a program (workloads/lib/bench.h shows how), and add a
Workload here.
"""

import dataclasses

SECONDS, QUICK_SECONDS = 20, 6


@dataclasses.dataclass(frozen=True)
class Workload:
    """
    name        the name in results
    about       a line for the report
    program     the source is tests/bench/workloads/PROGRAM.c
    options     the program's arguments KEY=VALUE
    quick       options that differ in the quick subset; None: the subset leaves it out
    dram, nvm   MiB of the machine's nodes; the guest's kernel uses about 70 MiB of DRAM,
                and the rest of DRAM holds a third to a half of the data
    quick_size  (dram, nvm) in the quick subset, if they differ
    image       tests/env/guest-root IMAGE makes additional files for the guest
    oracle      the program can find the best placement of its data
    """
    name: str
    about: str
    program: str
    options: dict
    quick: dict | None = None
    dram: int = 192
    nvm: int = 448
    quick_size: tuple | None = None
    image: str = ""
    oracle: bool = True

    def arguments(self, quick):
        options = {"seconds": QUICK_SECONDS if quick else SECONDS} | self.options
        return options | (self.quick or {}) if quick else options

    def size(self, quick):
        return self.quick_size if quick and self.quick_size else (self.dram, self.nvm)


WORKLOADS = (
    Workload("gups", "random updates of 256 MiB, 9 of 10 in the last 64 MiB", "gups",
             {"mib": 256, "hot": 64}, quick={}),
    Workload("gups-moving", "the same; every 5 s (quick: 3 s) the hot set goes to the 64 "
             "MiB before the last, or back", "gups",
             {"mib": 256, "hot": 64, "move": 5}, quick={"move": 3}),
    Workload("gups-large", "the same; the hot set, 160 MiB, does not fit in DRAM", "gups",
             {"mib": 256, "hot": 160}),
    Workload("gups-uniform", "random updates of 256 MiB, each page as often as the others",
             "gups", {"mib": 256, "weight": 0}),
    Workload("seq", "sequential reads and writes of 256 MiB, 9 of 10 in the last 51 MiB, and "
             "after 5 s in the 51 MiB before them, or back", "seq",
             {"mib": 256, "hot": 51, "move": 5}),
    Workload("chase", "dependent loads in 256 MiB, 9 of 10 in the last 64 MiB", "chase",
             {"mib": 256, "hot": 64}),
    Workload("hash", "look-ups in a hash table of 256 MiB by Zipf's law (exponent 1), one in "
             "ten writes", "hash", {"items": 1 << 20}),
    Workload("pagerank", "PageRank, R-MAT graph of 2^20 vertices (quick: 2^19)", "graph",
             {"run": "pagerank", "scale": 20}, dram=128, nvm=320,
             quick={"scale": 19}, quick_size=(96, 224)),
    Workload("bfs", "breadth-first search, R-MAT graph of 2^20 vertices", "graph",
             {"run": "bfs", "scale": 20}, dram=128, nvm=320),
    Workload("redis", "Debian's redis-server: 180,000 values of 1000 bytes, half reads, half "
             "writes, 9 of 10 in the fifth that was set last", "redis",
             {"keys": 180000, "hot": 36000}, image="redis", oracle=False),
    Workload("sqlite", "Debian's sqlite3: 200,000 rows of 1000 bytes in memory, half reads, "
             "half updates, 9 of 10 in the fifth that was inserted last", "sqlite",
             {"rows": 200000, "hot": 40000}, image="sqlite", oracle=False),
    Workload("liblinear", "Debian's liblinear-train: 60,000 examples of 60 features", "liblinear",
             {"rows": 60000, "features": 60}, dram=96, nvm=224, image="liblinear",
             oracle=False),
    Workload("compile", "Debian's tcc: 4 files of 10,000 to 20,000 functions at a time", "compile",
             {"files": 4, "functions": 20000}, dram=96, nvm=224, image="tcc", oracle=False),
)


# These programs have the option threads.
THREADED = tuple(w for w in WORKLOADS if w.program in ("gups", "seq", "chase", "hash"))


def find(name):
    """The workload with this name, or None."""
    return next((w for w in WORKLOADS if w.name == name), None)
