# SPDX-License-Identifier: GPL-2.0-or-later
"""On KVM, memory that a guest gives up is gone from its QEMU, and from no other: counts of
resident memory on the host, before and after."""

import re

from guest import test
from vm import MIB

NAMES = ("one", "two")
DRAM, NVM, LESS, POOL = 112, 144, 64, 192
# QEMU's own memory, which grows and shrinks a little.
OTHER = 4 * MIB


class Machines:
    def __init__(self, rig):
        self.host = rig.kvm_host(guests=NAMES)
        self.host.hmemd.start()
        self.vms = [self.host.boot(name, dram=DRAM, nvm=NVM) for name in NAMES]

    def resident(self):
        """Bytes of the host's memory that each QEMU uses."""
        return [int(re.search(r"VmRSS:\s+(\d+) kB", self.host.run(
            f"cat /proc/{vm.process.pid}/status"))[1]) << 10 for vm in self.vms]

    def sizes(self, tier):
        return [self.host.hmemd.status(vm.name)["tiers"][tier]["size"]["actual_bytes"]
                for vm in self.vms]

    def resize(self, vm, tier, mib):
        self.host.hmemd.ctl("-d", vm.name, "resize", "--tier", tier, "--size", f"{mib}M")
        at = self.vms.index(vm)
        self.host.hmemd.wait(lambda: self.sizes(tier)[at] == mib * MIB,
                             f"tier {tier} of '{vm.name}' to have {mib} MiB", timeout=600)


def changed(before, after):
    return [b - a for a, b in zip(after, before)]


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def two_machines(rig):
    """One machine gives up NVM and takes it back; then both give up the DRAM that the pool does
    not have."""
    machines = Machines(rig)
    one, _ = machines.vms
    whole = machines.resident()
    assert all(r >= (DRAM + NVM) * MIB for r in whole), whole

    machines.resize(one, 1, LESS)
    less = machines.resident()
    print("resident before and after:", whole, less)
    gone = changed(whole, less)
    assert abs(gone[0] - (NVM - LESS) * MIB) < OTHER and abs(gone[1]) < OTHER, gone

    machines.resize(one, 1, NVM)
    one.run(f"dd if=/dev/zero of=/tmp/f bs=1M count={NVM - 24} 2>/dev/null; rm /tmp/f")
    again = machines.resident()
    assert again[0] - less[0] > (NVM - LESS) * MIB / 2, (less, again)

    hmemd = machines.host.hmemd
    hmemd.stop()
    hmemd.start("--pool", f"{POOL}M")
    for vm in machines.vms:
        hmemd.wait_ready(vm.name)
    hmemd.wait(lambda: sum(machines.sizes(0)) <= POOL * MIB, "DRAM to fit into the pool",
               timeout=600)
    given = [DRAM * MIB - size for size in machines.sizes(0)]
    pooled = machines.resident()
    print("and with a pool:", again, pooled, "given up:", given)
    assert all(abs(gone - g) < OTHER for gone, g in zip(changed(again, pooled), given)), pooled
    # A guest that is short of memory may have taken some back since.
    assert all(g > (DRAM - POOL / 2) * MIB / 2 for g in given), given
