# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest tells how much memory of each tier is free, and what its scans did, also if the size of
its tiers cannot change."""

import re

from guest import test
from vm import MIB

STOP = "/run/stop"
LOST = 3 * MIB      # what other parts of the guest use or free meanwhile


def meminfo(vm, node, key):
    """Bytes of a node's memory."""
    text = vm.run(f"grep {key} /sys/devices/system/node/node{node}/meminfo")
    return int(re.search(r"(\d+) kB", text).group(1)) << 10


def reserve(vm, node):
    """Bytes that a node's kernel keeps: up to the low watermarks, and what lower zones protect."""
    pages, free, zone = 0, 0, None
    for line in vm.run("cat /proc/zoneinfo").splitlines():
        words = line.replace(",", " ").replace("(", " ").replace(")", " ").split()
        if words[0] == "Node":
            zone = int(words[1])
        elif words[:2] == ["pages", "free"]:
            free, low = int(words[2]), 0
        elif words[0] == "low":
            low = int(words[1])
        elif words[0] == "protection:" and zone == node:
            # The zones are DMA, DMA32, Normal, Movable.
            pages += min(low + int(words[4]), free)
    return pages << 12


def size(rig, tier):
    return rig.daemon.status()["tiers"][tier]["size"]


def tells(rig, vm, tier):
    """Wait until hmemd knows what is free in the tier."""
    rig.daemon.wait(lambda: abs((size(rig, tier)["free_bytes"] or 0) -
                                meminfo(vm, tier, "MemFree")) < LOST,
                    f"the guest to tell what is free in tier {tier}")
    return size(rig, tier)["free_bytes"]


@test(check=("6.1", "7.3"), timeout=600)
def tells_what_is_free(rig):
    """Memory that a program fills is not free, and is free again when the program ends: hmemd
    knows both, by scans and without scans."""
    vm = rig.boot(dram=128, nvm=192, append="numa_balancing=disable",
                  hmem_props="resize=off")
    assert size(rig, 0)["free_bytes"] is None and size(rig, 0)["unit_bytes"] == 0
    for settings in {"name": "observe", "track": "gpt"}, {"name": "observe", "track": "dirty"}:
        rig.daemon.policy(window=100, **settings)
        before = [tells(rig, vm, tier) for tier in (0, 1)]
        for tier in 0, 1:
            told = size(rig, tier)
            assert told["usable_bytes"] == meminfo(vm, tier, "MemTotal"), told
            assert abs(told["reserve_bytes"] - reserve(vm, tier)) < MIB, \
                (told, reserve(vm, tier))
        vm.run(f"rm -f {STOP}")
        program = vm.spawn(f"keep 64 {STOP}")
        program.wait_for("filled")
        # What the boot has used may become free meanwhile.
        rig.daemon.wait(lambda: sum(before) - sum(size(rig, t)["free_bytes"] for t in (0, 1))
                        >= 64 * MIB - 4 * LOST, "the free memory to become less")
        for tier in 0, 1:
            tells(rig, vm, tier)
        vm.run(f"touch {STOP}")
        assert "all " in program.wait()
        rig.daemon.wait(lambda: sum(before) - sum(size(rig, t)["free_bytes"] for t in (0, 1))
                        < 4 * LOST, "the memory to be free again")


@test(check=("6.12",), timeout=600)
def tells_what_scans_passed_over(rig):
    """Page tables that nobody uses are passed over: hmemd's statistics count what the driver
    counts."""
    vm = rig.boot(dram=128, nvm=192, append="numa_balancing=disable")
    counters = {"scan_entries": "scan_entries", "scan_skipped": "scan_idle",
                "scan_left_out": "scan_skipped", "huge_collapsed": "huge_collapsed"}
    assert all(rig.daemon.stats()["counters"][name] is None for name in counters)
    program = vm.spawn(f"keep 64 {STOP}")
    program.wait_for("filled")
    rig.daemon.policy(name="observe", track="gpt", window=100)

    def told():
        return rig.daemon.stats()["counters"]
    rig.daemon.wait(lambda: (told()["scan_skipped"] or 0) > 64 << 8, "scans to pass over tables")
    ticks = told()["ticks"]
    rig.daemon.wait(lambda: told()["ticks"] >= ticks + 20, "more scans")
    rig.daemon.policy(name="off")
    # The first scan is not counted, and the last one need not be.
    for name, counter in counters.items():
        seen, counted = told()[name], vm.counter(counter)
        print(name, seen, "of", counted)
        assert counted / 2 <= seen <= counted, (name, seen, counted)
    vm.run(f"touch {STOP}")
    assert "all " in program.wait()
