# SPDX-License-Identifier: GPL-2.0-or-later
"""Two VMs share one pool of DRAM.  The VM that uses more pages than fit in its DRAM gets DRAM
from the VM that is idle, and gives the DRAM back when the roles change."""

import time

from guest import test
from vm import MIB

POOL = 192
GUARANTEE = 72
# Together with the pages of the guest's kernel, this is more than the share of 96 MiB.
BUSY = 72
# A VM has more than its share of 96 MiB only if it has pages from the other VM.  How much more it
# needs follows from what its kernel uses.
ENOUGH = 100
MACHINE = {"dram": 128, "nvm": 160, "append": "numa_balancing=disable",
           "hmem_props": f"initial={POOL // 2}M:,minimum={GUARANTEE}M:"}
# Looks at an idle VM take a window, so windows are short.
POLICY = "auto,window=100"
DATA = "/run/data"


def keep(vm):
    """Start a program that uses all of its pages many times a second, and checks the
    contents."""
    program = vm.spawn(f"rm -f /run/stop; keep {BUSY} /run/stop 20")
    program.wait_for("filled")
    return program


def finish(vm, program):
    vm.run("touch /run/stop")
    assert "all " in program.wait()


class Pool:
    def __init__(self, daemon):
        self.daemon = daemon
        self.begun = time.monotonic()
        self.last = None

    def vms(self):
        return self.daemon.ctl("pool")["pool"]["vms"]

    def fits(self):
        """Have both machines given up the memory that the pool does not have?"""
        return sum(vm["bytes"] for vm in self.vms()) <= POOL * MIB

    def sizes(self):
        """MiB of DRAM by VM.  The sizes always keep the pool's promises."""
        vms = self.vms()
        sizes = {vm["vm"]: vm["bytes"] / MIB for vm in vms}
        assert sum(sizes.values()) <= POOL, vms
        assert all(size >= GUARANTEE for size in sizes.values()), vms
        if sizes != self.last:
            print(f"{time.monotonic() - self.begun:.0f} s: {sizes}",
                  [(vm["state"], vm["next_mib_ns_per_s"]) for vm in vms])
        self.last = sizes
        return sizes

    def follows(self, busy):
        """Wait until DRAM has come to the busy VM."""
        self.daemon.wait(lambda: self.sizes()[busy.name] >= ENOUGH,
                         f"VM '{busy.name}' to have {ENOUGH} MiB of DRAM")


@test(kernels=("6.12",), timeout=900)
def dram_goes_to_the_busy_vm(rig):
    rig.daemon.stop()
    rig.daemon.start("--pool", f"{POOL}M", "--policy", POLICY)
    first, second = vms = [rig.boot(**MACHINE) for _ in range(2)]
    for vm in vms:
        vm.run(f"dd if=/dev/urandom of={DATA} bs=1M count=8 2>/dev/null")
    sums = [vm.run(f"sha1sum {DATA}") for vm in vms]
    pool = Pool(rig.daemon)
    rig.daemon.wait(pool.fits, "the machines to give up what the pool does not have")
    for busy in first, second:
        program = keep(busy)
        pool.follows(busy)
        finish(busy, program)
    for vm, before in zip(vms, sums):
        assert vm.run(f"sha1sum {DATA}") == before
        assert "Out of memory" not in vm.run("dmesg")
