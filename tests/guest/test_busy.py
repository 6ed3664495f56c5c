# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver works beside a program that is busy on other processors."""

import re

from guest import test

# Off, because the guest's own placement would move pages back.
ALONE = "numa_balancing=disable"
STOP = "/run/stop"
TRACING = "/sys/kernel/tracing"


def flushes(vm, cpus):
    """How often each processor was interrupted so far, so that it flushes its TLB.  The
    driver's worker calls the same function on its own processor."""
    return [int(n) for n in vm.run(f"for c in $(seq 0 {cpus - 1}); do grep -v kworker "
                                   f"{TRACING}/trace | grep -c '\\[00'$c'\\]'; done; true").split()]


@test(check=("6.1",), timeout=600)
def scans_leave_idle_processors_alone(rig):
    cpus = 4
    # No process of the guest's own runs on the last two processors.
    vm = rig.boot(cpus=cpus, append=f"{ALONE} isolcpus=2,3")
    program = vm.spawn(f"busy 1 16 {STOP}")
    program.wait_for("start")
    vm.run(f"echo hmem_flush_cpu > {TRACING}/set_ftrace_filter; "
           f"echo function > {TRACING}/current_tracer")
    rig.daemon.policy(name="hmmv", track="gpt", window=50, rate=1)

    def windows():
        return rig.daemon.stats()["counters"]["ticks"]

    rig.daemon.wait(lambda: vm.counter("scans") > 2, "scans")
    scans, before = vm.counter("scans"), flushes(vm, cpus)
    # Meanwhile nothing else runs in the guest, so ask hmemd.
    begin = windows()
    rig.daemon.wait(lambda: windows() >= begin + 50, "windows")
    after = flushes(vm, cpus)
    scans = vm.counter("scans") - scans
    each = [(a - b) / scans for a, b in zip(after, before)]
    print(f"{scans} scans, interrupts of each processor per scan: {each}")
    assert each[1] > 0.3, each
    assert each[2] + each[3] < 0.1, each
    vm.run(f"touch {STOP}")
    program.wait()
