# SPDX-License-Identifier: GPL-2.0-or-later
"""Hints for a huge page, for a part of one, and for more than one: which huge pages move as
a whole, which are split, and what happens without room."""

from collections import Counter

from daemon import REASONS
from guest import test
from peer import Peer

ALONE = "numa_balancing=disable"
GO = "/run/go"
HUGE = 512
ORDER = 9
WINDOW_MS = 100


def boot(rig, before="true", **options):
    """A machine, and a peer that hints its pages."""
    peer = Peer(rig.dir)
    vm = rig.boot(ready=False, append=ALONE, **options)
    peer.wait_ready()
    # A machine with less than 512 MiB has no huge pages by default; with them, it keeps
    # much more memory free.  khugepaged would make huge pages again of split ones, and
    # compaction would move pages while they are hinted: switch both off.
    vm.run("cd /sys/kernel/mm/transparent_hugepage; "
           "m=$(cat /proc/sys/vm/min_free_kbytes); echo madvise > enabled; "
           "echo $m > /proc/sys/vm/min_free_kbytes; "
           f"echo {1 << 30} > khugepaged/scan_sleep_millisecs; "
           f"echo 0 > /proc/sys/vm/compaction_proactiveness; {before}")
    return vm, peer

class Huge:
    """The program huge (progs/huge.c) in a machine."""

    def __init__(self, vm, peer, low, high, how=""):
        self.vm, self.peer = vm, peer
        self.whole = vm.kernel == "7.3"     # the kernel moves huge pages as a whole
        self.program = vm.spawn(f"huge {low} {high} {how} {GO}")
        self.turn = 0
        self.read()
        assert (self.low_huge, self.high_huge) == (low, high), self.program.output

    def read(self):
        """Wait until the program has printed everything."""
        self.turn += 1

        def told():
            return self.program.output.count("\nhuge ") == self.turn and \
                self.program.output.endswith("\n")
        with self.vm.changed:
            self.vm.wait(lambda: told() or self.program.status is not None, None,
                         "the program to tell its huge pages")
        assert self.program.status is None, self.program.output
        low, high, huge = [line.split()[1:] for line in
                           self.program.output.splitlines()[-3:]]
        self.low, self.high = list(map(int, low)), list(map(int, high))
        self.low_huge, self.high_huge = map(int, huge)

    def end(self):
        self.program.kill()
        self.program.wait(check=False)

    def look(self):
        """Have the program check its memory and print its frames."""
        self.vm.run(f"touch {GO}")
        self.read()

    def hint(self, hints):
        """Send hints; returns {reason: frames}, and the new places of the frames."""
        results = self.peer.hint(hints)
        count, where = Counter(), {}
        for gfn, new, order, reason in results:
            count[REASONS[reason]] += 1 << order
            for k in range(1 << order):
                assert gfn + k not in where
                where[gfn + k] = new + k
        assert len(where) == sum(1 << order for _, order, _ in hints)
        print(f"{hints}: {dict(count)}, {len(results)} results")
        return count, where


def whole_page(vm, peer):
    """A huge page moves as a whole if the kernel can do that, otherwise in pieces."""
    huge = Huge(vm, peer, 4, 0)
    count, where = huge.hint([(huge.low[0], ORDER, 1)])
    assert count["moved"] == HUGE, count
    huge.look()
    assert huge.low_huge == (4 if huge.whole else 3)
    assert huge.low[0] == where[min(where)]
    assert vm.counter("large_moved") == huge.whole
    huge.end()


def base_page_in_a_huge_page(vm, peer):
    """A base page moves, and its huge page is split: the other parts stay."""
    huge = Huge(vm, peer, 4, 0)
    count, _ = huge.hint([(huge.low[0] + 7, 0, 1)])
    assert count == {"moved": 1}, count
    huge.look()
    assert huge.low_huge == 3
    # The rest of the huge page are base pages, which move one by one.  The frame that the
    # first page left contains no page of the program.
    count, _ = huge.hint([(huge.low[0], ORDER, 1)])
    assert count["moved"] >= HUGE - 1, count
    huge.look()
    assert huge.low_huge == 3
    huge.end()


def a_huge_page_and_base_pages(vm, peer):
    """A hint that is larger than a huge page covers one, and base pages."""
    huge = Huge(vm, peer, 24, 0)
    first = next(g for g in huge.low if g % (2 * HUGE) == 0 and g + HUGE in huge.low)
    huge.hint([(first + HUGE + 7, 0, 1)])
    count, _ = huge.hint([(first, ORDER + 1, 1)])
    assert count["moved"] >= 2 * HUGE - 1, count
    huge.look()
    assert huge.low_huge == (23 if huge.whole else 22)
    huge.end()


def pages_of_several_processes(vm, peer):
    """Base pages move, whichever process has them.  A huge page of which each process maps
    a different part is neither moved nor split."""
    huge = Huge(vm, peer, 2, 0, "share")
    base, shared = huge.low
    huge.hint([(base + 7, 0, 1)])
    huge.look()
    count, _ = huge.hint([(base, ORDER, 1)])
    # Another page may have come to the frame that the first page left.
    assert count["moved"] >= HUGE - 1, count
    count, _ = huge.hint([(shared, ORDER, 1)])
    assert count == {"large": HUGE}, count
    huge.look()
    # Children print errors that they find.
    assert "word" not in huge.program.output, huge.program.output
    huge.end()


@test(check=("6.12", "7.3"))
def hints_of_all_sizes(rig):
    """For a huge page, a part of one, more than one, and one that processes share."""
    vm, peer = boot(rig)
    for part in (whole_page, base_page_in_a_huge_page, a_huge_page_and_base_pages,
                 pages_of_several_processes):
        print(f"{part.__name__}:")
        part(vm, peer)


@test(check=("6.12",), timeout=600)
def parts_that_moved_become_a_huge_page_again(rig):
    """First the even base pages of a huge page move, and then the odd ones.  When all are on the
    new node, khugepaged makes a huge page there, and the driver counts it."""
    vm, peer = boot(rig)
    huge = Huge(vm, peer, 4, 1)
    first = huge.low[0]
    for parity in 0, 1:
        count, _ = huge.hint([(first + page, 0, 1) for page in range(parity, HUGE, 2)])
        assert count["moved"] == HUGE // 2, count
        huge.look()
        assert huge.low_huge == 3 and huge.high_huge == 1
    assert vm.counter("huge_collapsed") == 0
    # An administrator can have khugepaged look without pauses.
    vm.run("cd /sys/kernel/mm/transparent_hugepage/khugepaged; echo 65536 > pages_to_scan; "
           "echo 0 > alloc_sleep_millisecs; echo 100 > scan_sleep_millisecs")
    for _ in range(100):
        huge.look()
        if huge.low_huge == 4:
            break
    assert huge.low_huge == 4, vm.run("grep thp_collapse /proc/vmstat")
    # Node 1 has the upper frames.
    assert max(huge.low[1:]) < vm.dram * 256 <= huge.low[0], huge.low
    assert vm.counter("huge_collapsed") == 1
    huge.end()


def exchange(rig, before):
    """DRAM is full: a huge page is neither promoted nor split until another huge page is
    demoted."""
    huge = Huge(*boot(rig, before, dram=192, nvm=256, cpus=1), 6, 6, "full")
    high = huge.high
    while high:
        count, _ = huge.hint([(high[0], ORDER, 0)])
        if count["no-memory"] == HUGE:
            break
        high.pop(0)
    assert len(high) >= 3, "DRAM does not fill up"
    huge.look()
    split = 6 - len(high)
    assert huge.high_huge == (6 if huge.whole else 6 - split)
    for number in range(3):
        hints = [(huge.low[number], ORDER, 1), (high[number], ORDER, 0)]
        if number & 1:
            hints.reverse()
        count, _ = huge.hint(hints)
        assert count == {"moved": 2 * HUGE}, (number, count)
    huge.look()
    assert (huge.low_huge, huge.high_huge) == \
        ((6, 6) if huge.whole else (3, 3 - split))


@test(check=("7.3",))
def exchange_in_a_full_node(rig):
    exchange(rig, "true")


@test(check=("7.3",))
def exchange_with_pages_kept_by_processors(rig):
    """A frame that a page left is in a list of the processor before it is free.  On a
    machine with much memory, this list is so long that it contains huge pages."""
    exchange(rig, "echo 8 > /proc/sys/vm/percpu_pagelist_high_fraction")


@test(kernels=("7.3",), timeout=600)
def hot_huge_pages_are_promoted_whole(rig):
    """hmemd names each hot huge page with one hint, so that the kernel splits none."""
    # Both nodes have free huge pages, whatever else moves.
    vm = rig.boot(dram=256, nvm=256, append=ALONE)
    vm.run("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    program = vm.spawn("access 48 /run/stop thp")
    program.wait_for("end\n")
    # The program uses three in five of its 24 huge pages.
    used = sum(1 for line in program.output.splitlines()
               if line.endswith((" 1", " 2", " 3"))) // HUGE
    rig.daemon.ctl("migrate", "--all", "--to", 1, "--order", ORDER, "--wait", ok=(0, 3))
    split = int(vm.run("sed -n 's/^thp_split_page //p' /proc/vmstat"))
    moved = vm.counter("large_moved")
    rig.daemon.policy(name="hmmv", window=WINDOW_MS)
    assert moved >= used, moved
    rig.daemon.wait(lambda: vm.counter("large_moved") - moved >= used, "promotions")
    assert int(vm.run("sed -n 's/^thp_split_page //p' /proc/vmstat")) == split
    print(rig.daemon.stats()["counters"], f"{used} huge pages in use")
    vm.run("touch /run/stop")
    program.wait()
