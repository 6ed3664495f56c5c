# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver works beside a program that is busy on other processors."""

import re

from daemon import REASONS
from guest import test
from peer import Peer
from vm import CPU_SLOW_STRINGS

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


def interrupts(vm, kind="CAL"):
    """How often processors were interrupted by others so far to call a function; with TLB, for
    a flush of the kernel's."""
    out = vm.run(f"grep '^ *{kind}:' /proc/interrupts")
    return sum(int(n) for line in out.splitlines() for n in re.findall(r"\b\d+\b", line))


@test(check=("6.1", "7.3"), debug=True, timeout=600)
def pages_move_with_few_interrupts(rig):
    """Base pages of a program that runs on many processors move in groups, with other pages
    between them, and no update of theirs is lost."""
    cpus, mib = 4, 16
    vm = rig.boot(cpus=cpus, append=ALONE)
    # As long as this, groups do not depend on the time that the host takes.
    vm.run("echo 1000000 > /sys/module/virtio_hmem/parameters/pause_us")
    # A page that is touched at the wrong moment costs an interrupt.  Processors that run in
    # turns stretch that moment, so the threads touch pages less often.
    program = vm.spawn(f"busy {cpus - 1} {mib} {STOP} 100000")
    program.wait_for("start")
    gfns = [int(g, 0) for g in re.findall(r"^0x\w+$", program.output, re.M)]
    assert len(gfns) == mib * 256
    # Three of four pages, irregularly.
    gfns = [g for g in gfns if g * 2654435761 // 65536 % 4]
    vm.run(f"echo 1 > {TRACING}/events/virtio_hmem/hmem_pause/enable")
    moved, before, kernels = 0, interrupts(vm), interrupts(vm, "TLB")
    flushed = [vm.counter(name) for name in ("move_flushes", "move_ipis")]
    for tier in (1, 0, 1):
        results = rig.daemon.migrate(gfns, tier)
        moved += [REASONS[reason] for *_, reason in results].count("moved")
        gfns = [new for _, new, _ in results]
    kernels = interrupts(vm, "TLB") - kernels
    count = interrupts(vm) - before
    groups, own = (vm.counter(name) - n for name, n in zip(("move_flushes", "move_ipis"), flushed))
    print(f"{moved} pages moved, {count} interrupts, {kernels} for flushes of the kernel, "
          f"{own} for those of {groups} groups")
    assert moved > 0.9 * 3 * len(gfns), moved
    assert count <= moved / 8, (count, moved)
    # The program runs on all other processors, so each flush interrupts some of them.
    assert 0 < groups <= own <= (cpus - 1) * groups, (groups, own)
    assert own + kernels <= count, (own, kernels, count)
    # Each page is in reach again when it has moved, not when all of its group have.
    pauses = [(int(n), int(ns)) for n, ns in re.findall(
        r"hmem_pause: .* pages=(\d+) .* ns=(\d+)", vm.run(f"cat {TRACING}/trace"))]
    assert sum(n for n, _ in pauses) > 1000, len(pauses)
    rising = sum(b > a for (_, a), (_, b) in zip(pauses, pauses[1:]))
    assert rising > 0.9 * sum(n for n, _ in pauses), (rising, len(pauses), pauses[:10])
    vm.run(f"touch {STOP}")
    print(program.wait())


@test(check=("6.12",))
def no_page_waits_while_others_are_freed(rig):
    """The kernel frees some hundreds of the pages that moved at once, but while no page is out
    of reach.  A ns is an instruction."""
    pages = 4096
    vm = rig.boot(icount=True, cpus=1, poison=False, append=ALONE,
                  args=("-cpu", CPU_SLOW_STRINGS),
                  on_hint=lambda tier, gfns: rig.daemon.migrate(gfns, tier))
    # So many that 500 to 600 are kept, and then freed at once.
    vm.run("echo 100 > /proc/sys/vm/percpu_pagelist_high_fraction")
    vm.run(f"cost driver scattered {pages}")
    pauses = [(int(ns), int(n)) for ns, n in re.findall(
        r"anon (\d+) (\d+)", vm.run("cat /sys/kernel/debug/virtio_hmem/*/pause"))]
    print(pauses)
    assert sum(n for _, n in pauses) > 0.9 * pages, pauses
    # Freeing so many takes longer, once for at most 600 pages.  A tick takes less.
    assert sum(n for ns, n in pauses if ns > 65536) < pages / 1024, pauses


def workers_seconds(vm):
    """Processor time of the kernel's workers."""
    out = vm.run("cd /proc; for p in $(grep -l '^kworker' [0-9]*/comm); do "
                 "cat ${p%comm}schedstat; done")
    return sum(int(line.split()[0]) for line in out.splitlines()) / 1e9


@test(check=("6.12",))
def moves_keep_within_their_share(rig):
    """Moving takes no more of a processor than the guest's administrator allows."""
    peer = Peer(rig.dir)
    # The guest's time is that of its instructions.
    vm = rig.boot(ready=False, icount=True, cpus=1, dram=256, nvm=256, append=ALONE)
    peer.wait_ready()
    parameter = "/sys/module/virtio_hmem/parameters/cpu_percent"
    frames = 254 << 8

    def move(percent, first, tier):
        """Move a node's memory in one batch.  Returns the part of the time, from the first
        move to the last, for which the kernel's workers have run."""
        vm.run(f"echo {percent} > {parameter}; "
               f"echo 1 > {TRACING}/events/virtio_hmem/hmem_pause/enable; echo > {TRACING}/trace")
        before = workers_seconds(vm)
        results = peer.hint([(gfn, 9, tier) for gfn in range(first, first + frames, 512)])
        ran = workers_seconds(vm) - before
        moved = sum(1 << order for _, _, order, reason in results if REASONS[reason] == "moved")
        times = [float(t) for t in re.findall(r" ([\d.]+): hmem_pause:",
                                              vm.run(f"cat {TRACING}/trace"))]
        took = times[-1] - times[0]
        print(f"{percent} %: {moved} pages moved, {ran:.3f} s of {took:.3f} s")
        assert moved > 1000, moved
        return ran / took

    assert move(100, 512, 1) > 0.5
    assert move(10, 65536, 0) < 0.15
    for value in 0, 101:
        assert vm.status(f"echo {value} > {parameter}") != 0, value
