# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's driver tells which pages are used, by the accessed bits of the
guest's page tables: it is right about them, and harms nobody while it looks."""

import re

from daemon import REASONS
from guest import test
from peer import DRIVER_OK, F_ACCESS, TRACK_GPT, Peer
from vm import VMError

ALONE = "numa_balancing=disable"
STOP = "/run/stop"
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
    return [vm.counter(name) for name in names]


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
    # On a busy host the program may get too little done for a window to see all.
    complete = 0
    for _ in range(30):
        dirty, accessed = peer.window()
        missed, wrong = {}, {}
        for gfn, use in uses.items():
            is_used, is_written = accessed >> gfn & 1, dirty >> gfn & 1
            used, written = use != UNUSED, use in (WRITTEN, BOTH)
            if is_used > used or is_written > written:
                wrong[use] = wrong.get(use, 0) + 1
            elif is_used < used or is_written < written:
                missed[use] = missed.get(use, 0) + 1
        print("pages by use: missed", missed, "wrong", wrong)
        assert sum(wrong.values()) <= len(uses) // 100, wrong
        complete += sum(missed.values()) <= len(uses) // 100
        if complete == 3:
            break
    assert complete == 3
    # What is not rearmed stays accessed, whether it is used or not.
    vm.run(f"touch {STOP}")
    program.wait()
    scans, entries, cleared, ns = counters(vm, "scans", "scan_entries", "scan_cleared",
                                           "scan_ns")
    print(f"{scans} scans, {entries} entries, {cleared} bits cleared, {ns} ns")
    # One before the first window, and one at the end of each.
    assert scans >= 5 and 0 < cleared < entries and ns
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
    # What is rearmed at the end of a window has been found in it.
    for rearm in (False, True, False):
        seen = peer.window(rearm)[1] & used
        assert seen.bit_count() > 0.99 * used.bit_count(), seen.bit_count()
    assert (peer.window()[1] & used).bit_count() < used.bit_count() // 100
    vm.run(f"touch {STOP}; kill -CONT $(pidof access)")
    program.wait()


@test(timeout=900, debug=True, parallel=True)
def page_tables_come_and_go(rig):
    """Scans back to back while page tables are freed, replaced by huge pages and
    torn down with their processes, and what is accessed moves back and forth.  No
    write is lost, and the kernel does not complain."""
    vm, peer = boot(rig)
    program = vm.spawn(f"tables 4 {STOP}")
    program.wait_for("start")
    peer.track(10, TRACK_GPT)
    results = []
    for number in range((40 if rig.debug else 150) * rig.rounds):
        gfns = [m.start() for m in re.finditer("1", f"{peer.window()[1]:b}"[::-1])]
        chosen = gfns[-200:]
        if chosen:
            results += peer.hint([(g, 0, number & 1) for g in chosen])
        assert program.status is None, program.output
    moved = sum(REASONS[reason] == "moved" for _, _, _, reason in results)
    print(f"{moved} of {len(results)} pages that were hinted have moved")
    assert moved > 100, moved
    vm.run(f"touch {STOP}")
    output = program.wait()
    scans, entries, cleared, skipped = counters(
        vm, "scans", "scan_entries", "scan_cleared", "scan_skipped")
    print(f"{output}{scans} scans, {entries} entries, {cleared} bits cleared, "
          f"{skipped} address spaces skipped")
    done = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", output)}
    assert len(done) == 8 and all(done.values()), done
    assert cleared > 1000


@test(timeout=600)
def driver_comes_and_goes(rig):
    """The module is unloaded in the middle of scans, and takes them up again."""
    vm, peer = boot(rig)
    program = vm.spawn(f"access 8 {STOP}")
    program.wait_for("end\n")
    peer.track(10, TRACK_GPT)

    def see_program():
        # In such a short window it may not have run at all.
        for _ in range(1000):
            if peer.window()[1].bit_count() >= 8 * 256 // 2:
                return
        raise VMError("nothing that the program uses is found accessed")
    for _ in range(3 * rig.rounds):
        see_program()
        vm.run("rmmod virtio_hmem")
        peer.wait(lambda: not peer.state & DRIVER_OK, "the driver to go")
        vm.run("modprobe virtio_hmem")
        peer.wait_ready()
    see_program()
    vm.run(f"touch {STOP}")
    program.wait()
    assert "violation" not in vm.qemu_log.read_text()


def promote_reads(rig, policy, window_ms):
    """Pages that are only read move to DRAM, which dirty logging would not find.
    hmemd chooses the tracker by itself.  Returns the machine and its program."""
    vm = rig.boot(dram=192, nvm=96, append=ALONE)
    program = vm.spawn(f"access {MIB} {STOP}")
    program.wait_for("end\n")
    rig.daemon.migrate_all(1)
    rig.daemon.policy(name=policy, window=window_ms)
    rig.daemon.wait(lambda: rig.daemon.status()["tracker"] == "gpt", "the tracker")
    # As many as are used: four in five, and those that are not stay.
    used = MIB * 256 * 4 // 5
    rig.daemon.wait(lambda: rig.daemon.stats()["counters"]["promoted"] > 0.9 * used,
                    "promotions")
    counters_now = rig.daemon.stats()["counters"]
    print(counters_now)
    assert counters_now["rearmed_pages"] > 0
    return vm, program


@test(timeout=600)
def hot_reads_are_promoted(rig):
    vm, program = promote_reads(rig, "hmmv", WINDOW_MS)
    vm.run(f"touch {STOP}")
    program.wait()


@test(timeout=600)
def auto_rests_from_scans(rig):
    """auto takes a census now and then, and most windows are without a scan."""
    vm, program = promote_reads(rig, "auto", 50)

    def windows():
        return rig.daemon.stats()["counters"]["ticks"]

    scans, begun = vm.counter("scans"), windows()
    rig.daemon.wait(lambda: windows() >= begun + 40, "windows")
    print(f"{vm.counter('scans') - scans} scans in {windows() - begun} windows")
    assert vm.counter("scans") - scans <= (windows() - begun) / 2
    # And it goes on.
    rig.daemon.wait(lambda: vm.counter("scans") > scans, "another census")
    vm.run(f"touch {STOP}")
    program.wait()
