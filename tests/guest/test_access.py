# SPDX-License-Identifier: GPL-2.0-or-later
"""Scans by the guest's driver, which reads the accessed and dirty bits in the guest's
page tables: reports are right, and scans harm no program."""

import re
import time

from daemon import REASONS
from env import KERNELS
from guest import test
from peer import (DRIVER_OK, F_ACCESS, F_COST, F_LOOK, F_ONLINE, F_WRITTEN, TICK_INCOMPLETE,
                  TRACK_ACCESSED, TRACK_BUSY, TRACK_GPT, TRACK_WITHIN, Peer)
from vm import VMError

ALONE = "numa_balancing=disable"
STOP = "/run/stop"
# The same numbers as in progs/access.c.
UNUSED, READ, WRITTEN, BOTH, READ_BY_CHILD = range(5)
MIB = 16
WINDOW_MS = 300


def boot(rig, append="", **options):
    """A machine, and a stand-in for hmemd that receives the device's messages."""
    peer = Peer(rig.dir)
    vm = rig.boot(ready=False, append=f"{ALONE} {append}", **options)
    peer.wait_ready()
    assert peer.features & F_ACCESS and peer.trackers & TRACK_GPT
    return vm, peer


def counters(vm, *names):
    return [vm.counter(name) for name in names]


COUNTED = ("scans", "scan_entries", "scan_cleared", "scan_cleaned", "scan_ns",
           "scan_flushes", "scan_ipis")


def accuracy(vm, peer, *how):
    assert peer.features & F_WRITTEN
    before = counters(vm, *COUNTED), vm.info()["stats"]["accessed-pages"]
    vm.run(f"rm -f {STOP}")
    program = vm.spawn(f"access {MIB} {STOP} {' '.join(how)}")
    program.wait_for("end\n")
    uses = {int(g): int(u) for g, u in re.findall(r"^(\d+) (\d)$", program.output,
                                                  re.M)}
    assert len(uses) == MIB * 256
    assert len(set(uses.values())) == (4 if "thp" in how else 5)
    peer.track(WINDOW_MS, TRACK_GPT)
    # Skip the first window, which may have begun before the program.
    peer.window()
    # On a busy host, the program may use too few of its pages within a window.
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
    vm.run(f"touch {STOP}")
    program.wait()
    scans, entries, cleared, cleaned, ns, flushes, ipis = (
        now - then for now, then in zip(counters(vm, *COUNTED), before[0]))
    print(f"{scans} scans, {entries} entries, {cleared} accessed and {cleaned} dirty "
          f"bits cleared, {ns} ns, {flushes} flushes, {ipis} interrupts")
    # There is one scan before the first window, and one at the end of each window.
    assert scans >= 5 and 0 < cleaned <= cleared < entries and ns
    # There is one other processor, to be interrupted for a page table, and after a scan.
    assert 0 < flushes <= cleaned and ipis <= flushes + scans
    assert vm.info()["stats"]["accessed-pages"] - before[1] > 3 * len(uses) // 2
    peer.track(0, 0)


@test(check=KERNELS, timeout=600, debug=True)
def small_pages(rig):
    """Base pages; only another process uses some of them."""
    accuracy(*boot(rig))


@test(timeout=900)
def pages_of_other_kinds(rig):
    """Shared memory that two processes use; huge pages, each of which is used as a whole;
    and pages of a mapped file: written pages count as written until they are on the disk,
    other pages do not."""
    disk = rig.disk("files.img", 64)
    vm, peer = boot(rig, disks=[disk])
    vm.run("modprobe ext4; mount -t ext4 /dev/vda /mnt")
    for how in "shared", "thp", "/mnt/file":
        accuracy(vm, peer, how)
    vm.run("umount /mnt")
    vm.power_off()
    rig.fsck(disk)


def worked_ns(vm):
    """Processor time of all workers of the guest's kernel."""
    text = vm.run("cat $(grep -l '^kworker' /proc/[0-9]*/comm | sed s/comm/schedstat/)")
    return sum(int(line.split()[0]) for line in text.splitlines())


@test(check=("6.12",))
def scans_cost_processor_time(rig):
    """Beside busy programs on the only processor, a scan waits for longer than it works.  The
    device tells hmemd for how long the driver worked."""
    vm, peer = boot(rig, cpus=1)
    assert peer.features & F_COST
    vm.run(f"rm -f {STOP}")
    programs = [vm.spawn(f"access {MIB} {STOP}") for _ in range(3)]
    for program in programs:
        program.wait_for("end\n")
    before = vm.counter("scan_ns"), worked_ns(vm)
    peer.track(WINDOW_MS, TRACK_GPT)
    told = 0
    for _ in range(10):
        peer.window()
        told += peer.tick.scan_ns
    peer.track(0, 0)
    counted, worked = vm.counter("scan_ns") - before[0], worked_ns(vm) - before[1]
    print(f"told {told} ns, counted {counted} ns, workers ran for {worked} ns")
    vm.run(f"touch {STOP}")
    # The first scan belongs to no window.
    assert counted / 2 < told <= counted <= worked


def busy_part(peer, flags):
    """The time that the processors run in ten windows, as a part of the windows."""
    peer.track(WINDOW_MS, TRACK_GPT, flags)
    busy = window = 0
    for _ in range(10):
        peer.window()
        busy += peer.tick.busy_us * 1000
        window += peer.tick.window_ns
    peer.track(0, 0)
    return busy / window


@test(check=("6.12",))
def processors_are_idle_or_busy(rig):
    """The device tells hmemd for how long the guest's processors run, if hmemd asks for that."""
    vm, peer = boot(rig, cpus=2)
    idle = busy_part(peer, TRACK_BUSY)
    program = vm.spawn("while :; do :; done")
    busy = busy_part(peer, TRACK_BUSY)
    print(f"processors run for {idle:.2f} of the time, and with a busy program for {busy:.2f}")
    assert busy_part(peer, 0) == 0
    program.kill()
    # On a busy host, the program runs for a part of the time only.
    assert 0 < 2 * idle < busy <= 2.1, (idle, busy)


IDLE_MIB, SPARSE_GIB, FIFO = 24, 64, "/run/idle"
# Scans after the last use of a table until the driver passes over it; the table above that one
# takes as many more.
UNTIL_IDLE = 2


def idle_pages_used(turn):
    """The pages that progs/idle.c uses in a turn."""
    return [page for page in range(IDLE_MIB * 256)
            if (page // 512 + turn) % 3 == 0 and page % 7 == turn % 7]


def one_scan(vm, peer, command=None):
    """Run the command while no scan runs, and then one scan.  Returns the entries that the scan
    has read, and those that it has passed over."""
    names = "scan_entries", "scan_idle"
    # The device begins no scan before its last tick is answered.
    peer.wait_tick()
    before = counters(vm, *names)
    if command:
        vm.run(command)
    peer.window()
    peer.wait_tick()
    return [now - then for now, then in zip(counters(vm, *names), before)]


def uses_after_idleness(vm, peer, how, track):
    """A program uses some of its pages after 0 to 6 idle windows.  The next scan finds these
    pages and no others, and so does the one that rearms them."""
    sparse = how == "sparse"
    size = SPARSE_GIB if sparse else IDLE_MIB
    pages = SPARSE_GIB if sparse else IDLE_MIB * 256
    program = vm.spawn(f"idle {how} {size} {FIFO}")
    program.wait_for("end\n")
    gfns = [int(g) for g in re.findall(r"^(\d+)$", program.output, re.M)]
    assert len(gfns) == pages
    own = sum(1 << gfn for gfn in gfns)
    peer.track(WINDOW_MS, TRACK_GPT, track)
    peer.window()
    passed_over = vm.counter("scan_idle")
    for turn in range(1, 16):
        for _ in range(turn % 7):
            peer.window()
        # No scan begins before the last tick is answered.
        peer.wait_tick()
        vm.run(f"echo {turn} > {FIFO}")
        program.wait_for(f"used {turn}\n")
        used = sum(1 << gfn for gfn in (
            gfns[::turn] if sparse else [gfns[page] for page in idle_pages_used(turn)]))
        for expected in 0, used, used:
            for kind, found in zip(("written", "accessed"), peer.window()):
                if kind == "accessed" or not track & TRACK_ACCESSED:
                    found &= own
                    assert found == expected, (turn, kind, (expected & ~found).bit_count(),
                                               (found & ~expected).bit_count())
    passed_over = vm.counter("scan_idle") - passed_over
    print(f"{how}: {passed_over} entries passed over")
    assert passed_over > pages
    peer.track(0, 0)
    vm.run(f"echo 0 > {FIFO}")
    program.wait()


@test(check=("6.12",), timeout=600, debug=True)
def idle_mappings_with_holes_are_passed_over_and_found_when_used(rig):
    """Of a mapping with one page in each GiB, scans read no table at all while it is idle."""
    vm, peer = boot(rig, append="transparent_hugepage=never damon_stat.enabled=0")
    uses_after_idleness(vm, peer, "sparse", TRACK_ACCESSED)
    program = vm.spawn(f"idle sparse {SPARSE_GIB} {FIFO}")
    program.wait_for("end\n")
    peer.track(WINDOW_MS, TRACK_GPT, TRACK_ACCESSED)
    # The first scan clears the bits that were set before.
    for _ in range(1 + 2 * UNTIL_IDLE):
        read, passed_over = one_scan(vm, peer)
    print(f"{read} entries read, {passed_over} passed over")
    # If a scan read the tables of pmd entries, it would pass over 512 entries in each GiB.  Other
    # mappings of the program share the first and the last GiB.
    assert passed_over >= SPARSE_GIB - 2 << 18
    vm.run(f"echo 0 > {FIFO}")
    program.wait()


@test(check=KERNELS, timeout=600, debug=True)
def idle_pages_are_passed_over_and_found_when_used(rig):
    """Scans do not read page tables that nothing has used since the last scans.  DAMON, which
    runs in Linux 7.3, clears the bits of a few pages before the driver sees them."""
    vm, peer = boot(rig, append="transparent_hugepage=never damon_stat.enabled=0")
    uses_after_idleness(vm, peer, "base", TRACK_ACCESSED)
    uses_after_idleness(vm, peer, "parts", 0)
    program = vm.spawn(f"idle base {IDLE_MIB} {FIFO}")
    program.wait_for("end\n")
    # The kernel is to reclaim memory of a process in a group.
    vm.run("modprobe zram; echo 64M > /sys/block/zram0/disksize && mkswap /dev/zram0 && "
           "swapon /dev/zram0; mkdir /run/groups && mount -t cgroup2 none /run/groups && "
           "cd /run/groups && echo +memory > cgroup.subtree_control && mkdir group && "
           "(echo 0 > group/cgroup.procs && exec dd if=/dev/zero of=/run/data bs=1M count=8)")
    by_generations = vm.run("cat /sys/kernel/mm/lru_gen/enabled").strip() != "0x0000"
    pages = IDLE_MIB * 256
    peer.track(WINDOW_MS, TRACK_GPT, TRACK_ACCESSED)
    for reclaim in True, False:
        # The first scan clears the bits that were set before.
        for _ in range(2 + UNTIL_IDLE):
            read, passed_over = one_scan(vm, peer)
        print(f"{read} entries read, {passed_over} passed over")
        assert read < pages <= passed_over
        if reclaim:
            read, passed_over = one_scan(vm, peer, "echo 1M > /run/groups/group/memory.reclaim")
            print(f"after reclaim: {read} entries read, {passed_over} passed over")
            # The multi-generational LRU clears the bits that the driver goes by.
            assert (passed_over == 0 and read > pages) == by_generations
    vm.run(f"echo 0 > {FIFO}")
    program.wait()


DAMON = "/sys/kernel/mm/damon/admin/kdamonds"
# Regions of the program's memory at least, of which DAMON checks a page every 5 ms.
REGIONS = IDLE_MIB * 64


@test(check=("6.12",), kernels=("6.12", "7.3"), timeout=600)
def what_damon_cleared_is_found(rig):
    """DAMON clears the accessed bits of most pages before the next scan."""
    vm, peer = boot(rig, append="transparent_hugepage=never damon_stat.enabled=0")
    program = vm.spawn(f"echo pid $$; while [ ! -e {STOP} ]; do sleep 0.1; done; "
                       f"exec idle base {IDLE_MIB} {FIFO}")
    program.wait_for("pid")
    pid = re.search(r"pid (\d+)", program.output)[1]
    vm.run(f"cd {DAMON} && echo 1 > nr_kdamonds && echo 1 > 0/contexts/nr_contexts && "
           "cd 0/contexts/0 && echo vaddr > operations && echo 1 > targets/nr_targets && "
           f"echo {pid} > targets/0/pid_target && "
           "cd monitoring_attrs && echo 100000 > intervals/update_us && "
           f"echo {2 * REGIONS} > nr_regions/max && echo {REGIONS} > nr_regions/min && "
           f"echo on > {DAMON}/0/state")
    peer.track(10 * WINDOW_MS, TRACK_GPT, TRACK_ACCESSED)
    peer.window()
    vm.run(f"touch {STOP}")
    program.wait_for("end\n")
    own = sum(1 << int(g) for g in re.findall(r"^(\d+)$", program.output, re.M))
    found = (peer.window()[1] | peer.window()[1]) & own
    print(f"{found.bit_count()} of {own.bit_count()} pages found used")
    assert found.bit_count() >= 0.99 * own.bit_count()
    vm.run(f"echo off > {DAMON}/0/state; echo 0 > {FIFO}")
    program.wait()


# The same numbers as in progs/pulse.c.
PULSE_UNUSED, HOT_READ, HOT_WRITTEN, HOT_READ_COLD_WRITTEN, COLD_READ, COLD_WRITTEN = range(6)
PULSE_HOT = (HOT_READ, HOT_WRITTEN, HOT_READ_COLD_WRITTEN)
PULSE_WRITTEN_HOT = (HOT_WRITTEN,)
LOOKS = 8


def looks_at_huge_pages(vm, peer, window_ms, pause):
    """All huge pages but the unused are used many times in a window, but only the hot
    ones in a 512th of it.  The guest's clock counts its instructions, so that how
    often it uses pages does not depend on the host."""
    vm.run(f"rm -f {STOP}")
    program = vm.spawn(f"pulse 48 {pause} 1000 {STOP}")
    program.wait_for("end\n")
    uses = {int(g): int(u) for g, u in re.findall(r"^(\d+) (\d)$", program.output, re.M)}
    assert set(uses.values()) == set(range(6))
    peer.track(window_ms, TRACK_GPT)
    peer.window()
    peer.window()
    accessed = dict.fromkeys(range(6), 0)
    written = dict.fromkeys(range(6), 0)
    for _ in range(LOOKS):
        dirty, seen = peer.window()
        assert not peer.tick.flags & TICK_INCOMPLETE
        for gfn, use in uses.items():
            frames = [(found >> gfn) & ((1 << 512) - 1) for found in (seen, dirty)]
            # A huge page is used as a whole.
            assert all(found in (0, (1 << 512) - 1) for found in frames), (gfn, use)
            accessed[use] += bool(frames[0])
            written[use] += bool(frames[1])
    of = LOOKS * len(uses) // 6
    print(f"in a window of {window_ms} ms, of {of} each: accessed {accessed}, "
          f"written {written}")
    peer.track(0, 0)
    vm.run(f"touch {STOP}")
    print(program.wait(), counters(vm, "scan_looks", "scan_looks_long",
                                   "scan_cleared", "scan_flushes"))
    for use in range(6):
        for found, hot in (accessed, PULSE_HOT), (written, PULSE_WRITTEN_HOT):
            if use in hot:
                assert found[use] >= 0.9 * of, (use, found)
            else:
                assert found[use] <= (0.2 * of if use else 0), (use, found)


@test(check=("7.3",), timeout=900)
def hot_huge_pages_are_told_from_cold_ones(rig):
    """A look at a huge page lasts a 512th of one at a base page: 195 us in windows of
    100 ms, 20 us in short windows and 2 ms in long ones."""
    # There is one processor, and no other program uses it.
    vm, peer = boot(rig, icount=True, cpus=1)
    assert peer.features & F_LOOK
    for window_ms, pause in (100, 1000), (10, 10), (1000, 10000):
        looks_at_huge_pages(vm, peer, window_ms, pause)


def shares_of_base_pages(peer, uses, window_ms, flags):
    """The shares of the pages of each use that looks find accessed."""
    accessed = dict.fromkeys(range(6), 0)
    peer.track(window_ms, TRACK_GPT, TRACK_ACCESSED | flags)
    peer.window()
    peer.window()
    for _ in range(LOOKS):
        seen = peer.window()[1]
        assert not peer.tick.flags & TICK_INCOMPLETE
        for gfn, use in uses.items():
            accessed[use] += seen >> gfn & 1
    peer.track(0, 0)
    return {use: found * 6 / LOOKS / len(uses) for use, found in accessed.items()}


@test(check=("6.1", "6.12"), timeout=900, debug=True)
def hot_base_pages_are_told_from_cold_ones(rig):
    """A look at base pages within a scan lasts 2 ms, though the scan takes longer.  Looks from scan
    to scan find more of the cold pages used, because they last as long as a scan and the shortest
    window, which is a little more than 2 ms."""
    # There is one processor, and no other program uses it.
    vm, peer = boot(rig, icount=True, cpus=1)
    vm.run(f"rm -f {STOP}")
    program = vm.spawn(f"pulse 96 10 40 {STOP} base")
    program.wait_for("end\n")
    uses = {int(g): int(u) for g, u in re.findall(r"^(\d+) (\d)$", program.output, re.M)}
    assert len(uses) == 96 * 256
    within = shares_of_base_pages(peer, uses, 2, TRACK_WITHIN)
    segments, late, scans = counters(vm, "scan_segments", "scan_segments_long", "scans")
    scan_to_scan = shares_of_base_pages(peer, uses, 3, 0)
    print(f"within {scans} scans, {segments} segments, {late} late: {within}; "
          f"from scan to scan: {scan_to_scan}")
    vm.run(f"touch {STOP}")
    print(program.wait())
    assert segments > scans
    for use, share in within.items():
        if use in PULSE_HOT:
            assert share >= 0.9, (use, share)
        elif use == PULSE_UNUSED:
            assert share == 0
        else:
            assert share <= 0.2 and 1.5 * share <= scan_to_scan[use], (use, share)


@test(timeout=600)
def stays_until_rearmed(rig):
    """A page is found accessed, and written, in every window until it is rearmed."""
    vm, peer = boot(rig)
    program = vm.spawn(f"access 4 {STOP}")
    program.wait_for("end\n")
    found = [(int(g), int(u)) for g, u in re.findall(r"^(\d+) (\d)$", program.output,
                                                     re.M)]
    # The order of window()'s results.
    used = [sum(1 << gfn for gfn, use in found if use in which)
            for which in ((WRITTEN, BOTH), (READ, WRITTEN, BOTH, READ_BY_CHILD))]

    def window(rearm=True):
        """The fractions of the used and of the written pages that were found."""
        return [(seen & of).bit_count() / of.bit_count()
                for seen, of in zip(peer.window(rearm), used)]
    vm.run("kill -STOP $(pidof access)")
    peer.track(WINDOW_MS, TRACK_GPT)
    assert max(window()) < 0.01
    vm.run("kill -CONT $(pidof access); sleep 0.5; kill -STOP $(pidof access)")
    window(rearm=False)
    # Pages that are rearmed at the end of a window have been found in it.
    for rearm in (False, True, False):
        seen = window(rearm)
        assert min(seen) > 0.99, seen
    assert max(window()) < 0.01
    vm.run(f"touch {STOP}; kill -CONT $(pidof access)")
    program.wait()


def out_of_memory(rig, how):
    """Pages go to swap and come back while all that was used is rearmed all the
    time, and the processors write on.  Reclaim writes a page to swap if it is
    dirty, which the driver must not hide from it, nor from the processors."""
    vm, peer = boot(rig, dram=96, nvm=64)
    vm.run("modprobe zram; echo 512M > /sys/block/zram0/disksize && "
           "mkswap /dev/zram0 && swapon /dev/zram0")
    program = vm.spawn(f"pressure check 160 {STOP} {how}")
    program.wait_for("start")
    peer.track(10, TRACK_GPT)

    def swapped():
        return [int(vm.run(f"sed -n 's/^{name} //p' /proc/vmstat"))
                for name in ("pswpout", "pswpin", "pglazyfreed")]
    enough = (1000 if rig.debug else 4000) * rig.rounds
    while min(swapped()[:2]) < enough:
        for _ in range(20):
            peer.window()
        assert program.status is None, program.output
    vm.run(f"touch {STOP}")
    print(program.wait())
    cleaned, flushes, ipis, incomplete = counters(
        vm, "scan_cleaned", "scan_flushes", "scan_ipis", "scan_incomplete")
    print(f"{swapped()} pages out, in, freed; {cleaned} dirty bits cleared, "
          f"{flushes} flushes, {ipis} interrupts, {incomplete} scans not complete")
    assert cleaned > enough // 2
    if how == "free":
        assert swapped()[2] > 0


@test(kernels=("6.1", "7.3"), check=("7.3",), timeout=900, debug=True, parallel=True)
def written_pages_are_swapped(rig):
    out_of_memory(rig, "private")


@test(kernels=("6.12",), check=(), timeout=900, debug=True, parallel=True)
def written_shared_pages_are_swapped(rig):
    out_of_memory(rig, "shared")


@test(kernels=("6.12",), timeout=900, debug=True, parallel=True)
def pages_given_away_and_written_again_stay(rig):
    """Data that is written after MADV_FREE is not discarded."""
    out_of_memory(rig, "free")


HOT_MIB, PASSES = 16, 12


def reclaim_keeps_the_hot_set(rig, lru):
    """Under memory pressure the guest's reclaim takes as little of a set in use with
    scans as without, though these clear the bits that it goes by."""
    vm, peer = boot(rig, dram=96, nvm=64)
    vm.run("modprobe zram; echo 512M > /sys/block/zram0/disksize && "
           "mkswap /dev/zram0 && swapon /dev/zram0")
    vm.run(f"echo {lru} > /sys/kernel/mm/lru_gen/enabled")
    program = vm.spawn(f"pressure hot {HOT_MIB} 160 100000")

    def passes():
        return [int(line) for line in program.output.splitlines(keepends=True)
                if line.endswith("\n")]

    def lost():
        """The number of the set's pages that are swapped out in the next passes."""
        done = len(passes()) + 1
        while len(passes()) < done + PASSES:
            if scanning:
                peer.window()
            else:
                time.sleep(0.1)
            assert program.status is None, program.output
        return sum(passes()[done:done + PASSES])
    scanning = False
    lost()
    without = lost()
    scanning = True
    peer.track(100, TRACK_GPT)
    with_scans = lost()
    pages = HOT_MIB * 256 * PASSES
    print(f"of {pages} pages read, {without} were in swap without scans, "
          f"{with_scans} with them")
    program.kill()
    assert with_scans <= 2 * without + pages // 100


@test(kernels=("6.1",), timeout=900)
def reclaim_goes_by_accesses(rig):
    reclaim_keeps_the_hot_set(rig, "n")


@test(kernels=("6.1", "6.12"), check=("6.12",), timeout=900)
def reclaim_by_generations_goes_by_accesses(rig):
    """The same with the multi-generational LRU, which walks page tables as well."""
    reclaim_keeps_the_hot_set(rig, "y")


@test(check=("7.3",), timeout=900, debug=True, parallel=True)
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


@test(check=("6.1",), timeout=600, debug=True)
def driver_comes_and_goes(rig):
    """The module is unloaded in the middle of scans, and of looks within scans, and takes them up
    again."""
    vm, peer = boot(rig)
    program = vm.spawn(f"access 8 {STOP}")
    program.wait_for("end\n")

    def see_program():
        # In such a short window, the program may not have run.
        for _ in range(1000):
            if peer.window()[1].bit_count() >= 8 * 256 // 2:
                return
        raise VMError("nothing that the program uses is found accessed")
    for turn in range(6 * rig.rounds):
        peer.track(0, 0)
        peer.track(10, TRACK_GPT, TRACK_ACCESSED | (TRACK_WITHIN if turn % 2 else 0))
        see_program()
        vm.run("rmmod virtio_hmem")
        peer.wait(lambda: not peer.state & DRIVER_OK, "the driver to go")
        vm.run("modprobe virtio_hmem")
        peer.wait_ready()
    see_program()
    vm.run(f"touch {STOP}")
    program.wait()
    assert "violation" not in vm.qemu_log.read_text()


@test(kernels=("6.12",), timeout=600)
def what_is_locked_is_not_taken_for_unused(rig):
    """The address space of a process stays locked: the scan leaves it out, and reports
    that."""
    vm, peer = boot(rig)
    peer.track(WINDOW_MS, TRACK_GPT)
    peer.window()
    peer.window()
    assert not peer.tick.flags & TICK_INCOMPLETE
    program = vm.spawn(f"locked {STOP}")
    program.wait_for("locked")
    for _ in range(20):
        peer.window()
        if peer.tick.flags & TICK_INCOMPLETE:
            break
    assert peer.tick.flags & TICK_INCOMPLETE
    assert vm.counter("scan_skipped") > 0 and vm.counter("scan_incomplete") > 0
    vm.run(f"touch {STOP}")
    program.wait()
    for _ in range(20):
        peer.window()
        if not peer.tick.flags & TICK_INCOMPLETE:
            break
    assert not peer.tick.flags & TICK_INCOMPLETE


@test(kernels=("6.12",), timeout=600, debug=True, parallel=True)
def exits_do_not_wait(rig):
    """During scans back to back, a process exits that had a file mapped.  Then the file
    system can be unmounted at once."""
    vm, peer = boot(rig)
    peer.track(10, TRACK_GPT)
    program = vm.spawn(f"exits {(20 if rig.debug else 60) * rig.rounds} 16")
    while program.status is None:
        peer.window()
    print(program.wait(), vm.counter("scans"), "scans")


@test(kernels=("6.12",), timeout=900)
def memory_goes_offline_and_comes_back(rig):
    """As much of tier 1 as possible goes offline, and comes back: the host is told how
    much is online."""
    vm, peer = boot(rig, nvm=640, append="movablecore=640M")
    assert peer.features & F_ONLINE
    blocks = "cd /sys/devices/system/node/node1"
    size = int(vm.run("cat /sys/devices/system/memory/block_size_bytes"), 16)

    def online(offline):
        """Wait until the host is told that so many blocks of tier 1 are offline."""
        peer.wait(lambda: peer.online[1] == whole - offline * size,
                  f"{offline} blocks to be offline: {peer.online[1]} bytes are left")
    peer.wait(lambda: all(peer.online[:2]), "the driver to tell what is online")
    whole = peer.online[1]
    assert whole <= 640 << 20 and peer.online[2:] == (0,) * 6, peer.online
    done = vm.run(f"{blocks}; for m in memory*; do echo offline > $m/state && "
                  "echo $m; done 2>/dev/null", check=False).split()
    print(f"{done}, of {size} bytes each, are offline")
    assert done
    online(len(done))
    vm.run(f"cd /sys/devices/system/memory; for m in {' '.join(done)}; do "
           "echo online > $m/state; done")
    online(0)


def promote_reads(rig, policy, window_ms):
    """Pages that are only read move to DRAM; dirty logging would not find them.  hmemd
    chooses the tracker itself.  Returns the machine and its program."""
    vm = rig.boot(dram=192, nvm=96, append=ALONE)
    program = vm.spawn(f"access {MIB} {STOP}")
    program.wait_for("end\n")
    rig.daemon.migrate_all(1)
    rig.daemon.policy(name=policy, window=window_ms)
    rig.daemon.wait(lambda: rig.daemon.status()["tracker"] == "gpt", "the tracker")
    # Four in five pages are used and move; the others stay.
    used = MIB * 256 * 4 // 5
    rig.daemon.wait(lambda: rig.daemon.stats()["counters"]["promoted"] > 0.9 * used,
                    "promotions")
    counters_now = rig.daemon.stats()["counters"]
    print(counters_now)
    assert counters_now["rearmed_pages"] > 0
    return vm, program


@test(check=("6.1",), timeout=600)
def hot_reads_are_promoted(rig):
    vm, program = promote_reads(rig, "hmmv", WINDOW_MS)
    vm.run(f"touch {STOP}")
    program.wait()


@test(timeout=600)
def auto_rests_from_scans(rig):
    """auto looks at pages in bursts now and then; most windows have no scan.  No scan
    clears dirty bits, which would interrupt other processors."""
    vm, program = promote_reads(rig, "auto", 50)

    def windows():
        return rig.daemon.stats()["counters"]["ticks"]

    scans, begun = vm.counter("scans"), windows()
    rig.daemon.wait(lambda: windows() >= begun + 40, "windows")
    print(f"{vm.counter('scans') - scans} scans in {windows() - begun} windows")
    assert vm.counter("scans") - scans <= (windows() - begun) / 2
    assert vm.counter("scan_cleared") and not vm.counter("scan_cleaned")
    # There are more bursts later.
    rig.daemon.wait(lambda: vm.counter("scans") > scans, "another burst")
    vm.run(f"touch {STOP}")
    program.wait()
