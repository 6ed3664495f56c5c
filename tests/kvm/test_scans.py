# SPDX-License-Identifier: GPL-2.0-or-later
"""On KVM, the driver's scans pass over the memory of a process that is idle, by the accessed bits
of the upper levels of the page tables, and miss no page that the process uses.  With nested page
tables, which QEMU emulates, the processor sets these bits."""

import re

from guest import test

GIB = 64
PROGRAM, FOUND = "/run/idle", "/run/found"
WINDOW_MS = 300
# A use is found by a scan, and by the next one, which rearms the page.  Two more find the tables of
# both levels idle, and the one after these passes over them: see guest-driver/idle.c.
UNTIL_REARMED, UNTIL_IDLE = 2, 3
# The program has mappings of its own in the first and in the last GiB, or beside them.
SHARED = 2
# Turns of the program, which uses every Nth of its pages: one, some and all.
TURNS = (GIB, 1, 9, 23, 2)


class Scans:
    """The scans of a machine's driver, by a stand-in for hmemd in level 1."""

    def __init__(self, host):
        self.host = host
        self.process = host.spawn(f"found {host.hmemd.vm_socket} {WINDOW_MS} {FOUND}")
        self.process.wait_for("listening\n")
        self.window = 0

    def next(self, vm, own):
        """Let the next window end.  Returns those of the frames own that the scan has found used,
        and the number of entries that the scan has passed over."""
        before = self.counts(vm)
        if self.window:
            self.host.run(f"echo > {FOUND}")
        self.window += 1
        self.process.wait_for(f"window {self.window}\n", timeout=300)
        last = self.process.output.split(f"window {self.window - 1}\n")[-1]
        found = {int(line) for line in last.splitlines() if line.isdigit()} & own
        read, passed_over = (now - then for now, then in zip(self.counts(vm), before))
        print(f"window {self.window}: {len(found)} pages found, {read} entries read, "
              f"{passed_over} passed over")
        return found, passed_over

    @staticmethod
    def counts(vm):
        return [int(n) for n in vm.run("cd /sys/bus/virtio/drivers/virtio_hmem/virtio*/hmem && "
                                       "cat scan_entries scan_idle").split()]


def moves_by_kernel(vm):
    return int(vm.run("grep pgmigrate_success /proc/vmstat").split()[1])


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def uses_after_idleness(rig):
    """A program has a page in each GiB of its memory.  It uses some of them after all have been
    idle: the next scan finds these and no others, so does the one that rearms them, and both
    pass over the GiB that are still idle."""
    host = rig.kvm_host()
    scans = Scans(host)
    # The kernel compacts no memory if there is more, and then leaves pages in their frames.
    vm = host.boot(ready=False, dram=224, append="transparent_hugepage=never damon_stat.enabled=0")
    vm.run("echo 0 > /proc/sys/vm/compaction_proactiveness")
    program = vm.spawn(f"idle sparse {GIB} {PROGRAM}")
    program.wait_for("end\n")
    gfns = [int(g) for g in re.findall(r"^(\d+)$", program.output, re.M)]
    own, moves = set(gfns), moves_by_kernel(vm)
    assert len(own) == GIB
    # A window has ended before the program began.
    for _ in range(1 + UNTIL_REARMED):
        scans.next(vm, own)
    for turn in TURNS:
        for _ in range(UNTIL_IDLE):
            found, passed_over = scans.next(vm, own)
            assert not found, (turn, found)
        # A scan that read the tables of pmd entries would pass over 512 entries in each GiB.
        assert passed_over >= GIB - SHARED << 18, passed_over
        vm.run(f"echo {turn} > {PROGRAM}")
        program.wait_for(f"used {turn}\n")
        used = set(gfns[::turn])
        print(f"{len(used)} pages used")
        for _ in range(UNTIL_REARMED):
            found, passed_over = scans.next(vm, own)
            assert found == used, (turn, used - found, found - used)
            assert passed_over >= max(GIB - SHARED - len(used), 0) << 18, passed_over
    assert moves_by_kernel(vm) == moves
    vm.run(f"echo 0 > {PROGRAM}")
    program.wait()
    assert vm.info()["driver-state"] == "ok"
