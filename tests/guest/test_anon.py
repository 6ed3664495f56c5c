# SPDX-License-Identifier: GPL-2.0-or-later
"""Anonymous memory moves while it is written, read, forked, cut and torn down:
no write is lost.  The program (progs/anon.c) counts; what it prints says what
moved."""

import re

from guest import test

# Off, because the guest's own placement would move pages back.
ALONE = "numa_balancing=disable"
# Off, because khugepaged would make huge pages again of split ones.
KHUGEPAGED = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs"
MIB = 64


def torture(rig, *how, rounds=2, before="true"):
    vm = rig.boot(poison=True, append=ALONE, on_hint=lambda tier, gfns:
                  rig.daemon.migrate(gfns, tier, order=9))
    vm.run(before)
    mib = MIB // 4 if rig.debug else MIB    # the debug kernel is slow
    pages = mib * 256
    output = vm.run(f"anon {mib} {rounds * rig.rounds} {' '.join(how)}")
    print(output)
    end = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", output[output.index("\nend"):])}
    # The driver moved all memory there and back.  But copies that writers make after a
    # fork are in DRAM from the start; the program itself checks where all pages are.  A huge
    # page that processes map in parts cannot move, and as many of them are torn as the forks
    # find time for, so how many of their pages move is left to chance.
    moved = rig.daemon.stats()["reasons"]["moved"]
    promoted, demoted, hints = (vm.counter(name)
                                for name in ("promoted", "demoted", "hints"))
    assert promoted + demoted == moved, (promoted, demoted, moved)
    least = rounds // 2 * pages
    if "calm" not in how and "thp" in how:
        assert demoted, (promoted, demoted)
    else:
        assert demoted >= 0.98 * least, (promoted, demoted)
        assert promoted >= (0.98 if "calm" in how else 0.1) * least, (promoted, demoted)
    assert hints == vm.info()["stats"]["hints"], hints
    # Each moved page has a pause, and few other pages have one.
    pause = [(kind, int(ns), int(pages)) for kind, ns, pages in re.findall(
        r"(\w+) (\d+) (\d+)", vm.run("cat /sys/kernel/debug/virtio_hmem/*/pause"))]
    away = sum(pages for _, _, pages in pause)
    assert moved <= away, (moved, pause)
    if "calm" in how:
        assert away < 1.2 * moved, (moved, pause)
        whole = sum(pages for kind, _, pages in pause if kind == "large")
        assert whole == 512 * vm.counter("large_moved"), pause
    # hmemd knows the same pauses.
    told = rig.daemon.status()["pauses"]
    assert told["pages"] == away, (told, pause)
    assert told["sum_ns"] == vm.counter("pause_ns"), (told, pause)
    # A page counts in the first power of two that is not shorter; the last one has no limit.
    most = sum(n * ns for _, ns, n in pause)
    assert told["sum_ns"] > most / 2, (told, pause)
    assert told["sum_ns"] <= most or any(ns == 1 << 31 for _, ns, _ in pause), (told, pause)
    for percent in 50, 99:
        bound = told[f"p{percent}_ns"]
        assert sum(n for _, ns, n in pause if ns < bound) < percent / 100 * away, (told, pause)
        assert sum(n for _, ns, n in pause if ns <= bound) >= percent / 100 * away, (told, pause)
    return vm, end


@test(check=("6.1",), debug=True, timeout=600, parallel=True)
def small_pages(rig):
    """With forks, cuts and exits, in base pages."""
    _, end = torture(rig)
    assert end["huge_before_kib"] == 0, end


@test(check=("7.3",), debug=True, timeout=600)
def huge_pages(rig):
    """With forks, cuts and exits, in huge pages, which forks split."""
    _, end = torture(rig, "thp")
    assert end["huge_before_kib"] > 0, end


@test(check=("7.3",), timeout=600)
def whole_huge_pages(rig):
    """Huge pages that nothing splits move as a whole if the kernel can do that, and
    otherwise in pieces."""
    vm, end = torture(rig, "thp", "calm", before=f"echo {1 << 30} > {KHUGEPAGED}")
    assert end["huge_before_kib"] == MIB * 1024, end
    large = vm.counter("large_moved")
    if vm.kernel == "7.3":
        assert end["huge_after_kib"] == end["huge_before_kib"], end
        assert large >= 2 * MIB // 2, large
    else:
        assert end["huge_after_kib"] == 0, end
        assert large == 0, large


@test(kernels=("6.12",))
def competing_mover(rig):
    """NUMA balancing in the guest moves pages back: hmemd reports that."""
    vm = rig.boot(append="numa_balancing=enable")
    vm.run("cd /sys/kernel/debug/sched/numa_balancing;"
           "echo 10 > scan_delay_ms; echo 10 > scan_period_min_ms")
    program = vm.spawn("anon 16 /run/stop calm")
    program.wait_for("start")

    def told():
        rig.daemon.migrate_all(1)
        return rig.daemon.stats()["counters"]["foreign_moves"]
    rig.daemon.wait(told, "NUMA balancing to move pages back")
    assert vm.counter("foreign_moves") >= \
        rig.daemon.stats()["counters"]["foreign_moves"]
    vm.run("touch /run/stop")
    program.wait()


@test(kernels=("6.12", "7.3"), check=("7.3",), debug=True, timeout=600)
def process_ends_while_its_pages_move(rig):
    """When a process has ended, the driver keeps nothing of it: the file system that it
    used can be unmounted.  Each page takes a while here."""
    vm = rig.boot(append=ALONE)
    vm.run("echo 500 > /sys/module/virtio_hmem/parameters/race_delay_us")
    print(vm.run(f"ending {16 * rig.rounds}"))
    assert vm.counter("demoted") > 0
