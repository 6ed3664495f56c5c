# SPDX-License-Identifier: GPL-2.0-or-later
"""ksmd gives a merged page a new reverse mapping, which does not find all processes that
map the page: it misses a process that marked no memory for merging, but shares the page
with a process that did.  Such a process must not lose the page.  The program is
progs/ksm.c."""

import re

from guest import test

KSM = "/sys/kernel/mm/ksm"
DELAY = "/sys/module/virtio_hmem/parameters/race_delay_us"


def boot(rig, delay=0):
    vm = rig.boot(poison=True, dram=96, nvm=96, append="numa_balancing=disable oops=panic")
    vm.run(f"echo 10000 > {KSM}/pages_to_scan; echo 0 > {KSM}/sleep_millisecs;"
           f"echo 1 > {KSM}/run")
    if delay:
        vm.run(f"echo {delay} > {DELAY}")
    return vm


def reasons(output):
    print(output)
    return {k: int(v) for k, v in re.findall(r"([\w-]+)=(\d+)", output)}


@test(check=("7.3",), debug=True, timeout=600)
def merged_through_a_sharer(rig):
    """A child that still shares the page has the page merged between the driver's last
    check and the move, which are far apart in this test."""
    vm = boot(rig, delay=2000)
    rounds = (4 if rig.debug else 16) * rig.rounds
    got = reasons(vm.run(f"ksm sharer {rounds}"))
    # Some pages moved before the child's request, some were marked for merging.
    assert got.get("moved", 0) > 0 and got.get("ksm", 0) > 0, got


@test(kernels=("6.12", "7.3"), debug=True, timeout=600)
def merged_where_the_owner_is_looked_for(rig):
    """The driver looks for a page in all address spaces that may map the page, and one of
    them has a merged page at the same place."""
    vm = boot(rig)
    got = reasons(vm.run("ksm other"))
    assert got.get("moved", 0) > 0, got
