# SPDX-License-Identifier: GPL-2.0-or-later
"""On KVM, a machine whose memory may be on two nodes of the host has that of its own node first, as
hmemd counts: the host's /proc/PID/numa_maps tells where it is."""

import re

from guest import test
from vm import MIB

NAMES = ("one", "two")
DRAM, NVM, LESS = 112, 144, 64
WHOLE = DRAM + NVM
# The second machine finds this much on node 0.
PART = 96
# QEMU's own memory, and what else the host's kernel takes meanwhile.
OTHER = 48
CONFIG, BALLAST = "/run/hmemd.conf", "/run/full/file"
SETTINGS = f"""
[node 0]
capacity = {WHOLE + PART}M
[node 1]
capacity = 512M
[vm *]
nodes = 0+1:0+1
"""


class Machines:
    def __init__(self, rig):
        self.host = rig.kvm_host(guests=NAMES, dram=1280, nvm=640)
        self.ballast = 0
        self.host.run("mkdir /run/full && mount -t tmpfs -o mpol=bind:0,size=100% full /run/full")
        self.leave(WHOLE + PART)
        self.host.run(f"cat >{CONFIG} <<END\n{SETTINGS}END")
        self.host.hmemd.start("--config", CONFIG)

    def free(self):
        """MiB that the host's kernel gives away on node 0 before it takes another node: what is
        above the low watermarks of the node's zones."""
        zones = re.findall(r"Node 0, zone.*?(?=Node|$)", self.host.run("cat /proc/zoneinfo"), re.S)
        pages = [re.search(r"pages free\s+(\d+).*?low\s+(\d+)", zone, re.S) for zone in zones]
        return sum(max(int(p[1]) - int(p[2]), 0) for p in pages) >> 8

    def leave(self, mib):
        """Leave this much of node 0 to the machines: fill the rest, or less of it than before."""
        more = self.free() - mib
        self.ballast += more
        self.host.run(f"truncate -s {self.ballast}M {BALLAST}" if more < 0 else
                      f"dd if=/dev/zero bs=1M count={more} 2>/dev/null >>{BALLAST}")

    def boot(self, name):
        machine = self.host.guest(name, dram=DRAM, nvm=NVM)
        program = machine.program
        machine.program = lambda: ["onnodes", "3", *program()]
        machine.start()
        self.host.hmemd.wait_ready(name)
        return machine

    def on_nodes(self, machine):
        """MiB of a machine's QEMU on each node."""
        maps = self.host.run(f"grep anon= /proc/{machine.process.pid}/numa_maps")
        return [sum(int(n) * int(size) for n, size in re.findall(
            rf" N{node}=(\d+).* kernelpagesize_kB=(\d+)", maps)) >> 10 for node in (0, 1)]

    def elsewhere(self, machine):
        """MiB that hmemd counts on another node than the machine's own."""
        tiers = self.host.hmemd.status(machine.name)["tiers"]
        return sum(t["elsewhere_bytes"] for t in tiers) // MIB

    def resize(self, machine, mib):
        hmemd = self.host.hmemd
        hmemd.ctl("-d", machine.name, "resize", "--tier", 1, "--size", f"{mib}M")
        hmemd.wait(lambda: hmemd.status(machine.name)["tiers"][1]["size"]["actual_bytes"]
                   == mib * MIB, f"tier 1 of '{machine.name}' to have {mib} MiB", timeout=600)


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def own_first(rig):
    """The first machine has its own node, and the second one what is left of it.  When the first
    one gives memory up, the second one's memory that comes back is on its own node."""
    machines = Machines(rig)
    one = machines.boot("one")
    where = machines.on_nodes(one)
    print("one:", where)
    assert where[0] >= WHOLE and where[1] < OTHER, where
    assert machines.elsewhere(one) == 0

    # The host's kernel has taken some meanwhile, for files.
    machines.leave(PART)
    two = machines.boot("two")
    where = machines.on_nodes(two)
    print("two:", where, "by hmemd elsewhere:", machines.elsewhere(two))
    assert machines.elsewhere(two) == WHOLE - PART
    assert abs(where[1] - machines.elsewhere(two)) < OTHER, where

    machines.resize(two, LESS)
    less = machines.on_nodes(two)
    machines.resize(one, LESS)
    machines.resize(two, NVM)
    two.run(f"dd if=/dev/zero of=/tmp/f bs=1M count={NVM - 24} 2>/dev/null; rm /tmp/f")
    again = machines.on_nodes(two)
    print("two with less:", less, "and again:", again, "elsewhere:", machines.elsewhere(two))
    # The guest need not touch all that has come back.
    assert again[0] - less[0] > (NVM - LESS) / 2 and again[1] - less[1] < OTHER / 4, again
