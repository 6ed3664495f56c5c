# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's driver tells which pages are used, by the accessed bits of the
guest's page tables: it is right about them, and harms nobody while it looks."""

import re

from guest import test
from peer import F_ACCESS, TRACK_GPT, Peer

ALONE = "numa_balancing=disable"
STOP = "/run/stop"
SYSFS = "cat /sys/bus/virtio/drivers/virtio_hmem/virtio*/hmem/"
# As in progs/access.c.
UNUSED, READ, WRITTEN, BOTH, READ_BY_CHILD = range(5)
MIB = 16
WINDOW_MS = 300


def boot(rig, **options):
    """A machine, and a stand-in for hmemd which sees what the device tells it."""
    peer = Peer(rig.dir)
    vm = rig.boot(ready=False, append=ALONE, **options)
    peer.wait_ready()
    assert peer.features & F_ACCESS and peer.trackers & TRACK_GPT
    return vm, peer


def counters(vm, *names):
    return [int(vm.run(SYSFS + name)) for name in names]


def accuracy(rig, *how):
    vm, peer = boot(rig)
    program = vm.spawn(f"access {MIB} {STOP} {' '.join(how)}")
    program.wait_for("end\n")
    uses = {int(g): int(u) for g, u in re.findall(r"^(\d+) (\d)$", program.output,
                                                  re.M)}
    assert len(uses) == MIB * 256 and len(set(uses.values())) == (4 if how else 5)
    peer.track(WINDOW_MS, TRACK_GPT)
    # From the first window on, but this one may have begun before the program.
    peer.window()
    for _ in range(3):
        dirty, accessed = peer.window()
        wrong = {}
        for gfn, use in uses.items():
            is_used, is_written = accessed >> gfn & 1, dirty >> gfn & 1
            if is_used != (use != UNUSED) or is_written != (use in (WRITTEN, BOTH)):
                key = use, is_used, is_written
                wrong[key] = wrong.get(key, 0) + 1
        print("(use, accessed, written): pages", wrong)
        assert sum(wrong.values()) <= len(uses) // 100, wrong
    # What is not rearmed stays accessed, whether it is used or not.
    vm.run(f"touch {STOP}")
    program.wait()
    scans, entries, cleared, ns = counters(vm, "scans", "scan_entries", "scan_cleared",
                                           "scan_ns")
    print(f"{scans} scans, {entries} entries, {cleared} bits cleared, {ns} ns")
    assert scans >= 8 and 0 < cleared < entries and ns
    assert vm.qom("stats")["accessed-pages"] > 3 * len(uses) // 2
    return vm, peer


@test(timeout=600, debug=True)
def small_pages(rig):
    """Base pages, some of them used by another process only."""
    accuracy(rig)


@test(timeout=600)
def huge_pages(rig):
    """A huge page is used as a whole."""
    accuracy(rig, "thp")


@test(timeout=600)
def stays_until_rearmed(rig):
    """A page is found accessed in every window until it is rearmed."""
    vm, peer = boot(rig)
    program = vm.spawn(f"access 4 {STOP}")
    program.wait_for("end\n")
    used = sum(1 << int(g) for g, u in re.findall(r"^(\d+) (\d)$", program.output,
                                                  re.M) if int(u) != UNUSED)
    vm.run("kill -STOP $(pidof access)")
    peer.track(WINDOW_MS, TRACK_GPT)
    assert (peer.window()[1] & used).bit_count() < used.bit_count() // 100
    vm.run("kill -CONT $(pidof access); sleep 0.5; kill -STOP $(pidof access)")
    peer.window(rearm=False)
    for rearm in (False, True, False):
        seen = peer.window(rearm)[1] & used
        assert seen.bit_count() > 0.99 * used.bit_count(), seen.bit_count()
        if rearm:
            break
    assert (peer.window()[1] & used).bit_count() < used.bit_count() // 100
    vm.run(f"touch {STOP}; kill -CONT $(pidof access)")
    program.wait()
