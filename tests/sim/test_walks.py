# SPDX-License-Identifier: GPL-2.0-or-later
"""
What TLB misses cost (walks=): the guest waits for as long as the model's arithmetic
says, in pages of 4 KiB and of 2 MiB, natively and in a virtual machine.
"""

from machine import DRAM, LINE, NVM, Run, check, run_tests, step

HUGE = 2 << 20
FRAME = 4096
FIRST, SECOND = 64, 2048        # entries of the TLB's levels for 4 KiB
FIRST_HUGE = 32
TLB_NS, ENTRY_NS = 2.33, 4.67
# One line of each frame, and not the same set of the cache each time.
STRIDE = FRAME + LINE
ENTRIES = LINE // 8             # page-table entries in a line
TABLES = {"dram": DRAM - (16 << 20), "nvm": NVM - (16 << 20)}
READ = {"dram": 68.7, "nvm": 176.6}
# All lines of a test fit in the cache, so nothing but walks takes time.
CACHED = "llc=16M,prefetch=off"
UNCACHED = "llc=64K,ways=4,prefetch=off"


def small(pages, tier="dram"):
    """Map so many pages of 2 MiB of NVM by pages of 4 KiB, with tables in a tier."""
    return step("k", NVM, pages, TABLES[tier])


def loads(num, stride=STRIDE):
    """Load from num frames, twice: the counters of the second time, for each load."""
    return [step("s", NVM, num, stride), step("s", NVM, num, stride)]


def cost(steps, options, num):
    """The wait for translations by the counters, and the whole wait: ns for a load."""
    run = Run(steps, options)
    delta = run.deltas[len(steps) - 1]
    wait = delta["guest_ns"] - delta["instructions"]
    return delta["tlb"], wait / num


def test_nothing_by_default():
    tlb, wait = cost([small(8), *loads(4096)], CACHED, 4096)
    check("walks", tlb["walks"], 0)
    check("wait, ns", wait, 0)


def test_first_and_second_level():
    # Few pages are in the first level.  More than it has are in the second one.
    num = FIRST // 2
    tlb, wait = cost([small(8), *loads(num)], f"{CACHED},walks=native", num)
    check(f"{num} pages: second level", tlb["second_hits"], 0)
    check("walks", tlb["walks"], 0)
    num = SECOND // 2
    tlb, wait = cost([small(8), *loads(num)], f"{CACHED},walks=native", num)
    check(f"{num} pages: second level", tlb["second_hits"], num)
    check("walks", tlb["walks"], 0)
    check("wait, ns", wait, TLB_NS, 0.05)


def test_walks_of_small_pages():
    # Each load misses both levels.  Natively a walk reads one entry, and the directory's
    # once for 512 of them.  In a virtual machine, the host's entry for the page comes
    # on top, unless the processor knows the translation of all 2 MiB.
    num = 4 * SECOND
    for options, entries in (("walks=native", 1), ("walks=nested", 1),
                             ("walks=nested,host_page=4K", 2)):
        tlb, wait = cost([small(20), *loads(num)], f"{CACHED},{options}", num)
        check(f"{options}: walks", tlb["walks"], num)
        # The guest's own data is also used now and then.
        assert tlb["second_hits"] < num / 100, tlb
        check("wait, ns", wait, entries * ENTRY_NS, 0.05)
        check("by the counters, ns", tlb["stall_ns"] / num, wait, 0.01)


def test_walks_of_huge_pages():
    # 16 huge pages are all in the first level, unless the host maps 4 KiB.
    num = 4 * SECOND
    for options, walks in (("walks=native", 0), ("walks=nested", 0),
                           ("walks=nested,host_page=4K", num)):
        tlb, wait = cost(loads(num), f"{CACHED},{options}", num)
        check(f"{options}: walks", tlb["walks"], walks)
        # The guest's entry, and the host's.
        check("wait, ns", wait, 2 * ENTRY_NS if walks else 0, 0.05)
    # One load of each of more than the first level has; they share a slot of L1.
    num = 2 * FIRST_HUGE
    tlb, _ = cost(loads(num, HUGE), f"{CACHED},walks=nested", num)
    check(f"{num} huge pages: second level", tlb["second_hits"], num)
    check("wait, ns", tlb["stall_ns"] / num, TLB_NS, 0.05)


def test_entries_come_from_memory():
    # Neither data nor entries fit in the cache; eight entries share a line.
    num = 4 * SECOND
    for tier, read in READ.items():
        tlb, wait = cost([small(20, tier), *loads(num)], f"{UNCACHED},walks=native", num)
        entry = (read + (ENTRIES - 1) * ENTRY_NS) / ENTRIES
        check(f"page tables in {tier}: an entry, ns", tlb["stall_ns"] / num, entry, 0.05)
        check("a load, ns", wait, READ["nvm"] + entry, 0.05)
    # The host's tables are in DRAM.
    tlb, _ = cost([small(20, "nvm"), *loads(num)],
                  f"{UNCACHED},walks=nested,host_page=4K", num)
    check("nested, ns", tlb["stall_ns"] / num,
          (READ["nvm"] + READ["dram"] + 2 * (ENTRIES - 1) * ENTRY_NS) / ENTRIES, 0.05)


def test_pointer_chase():
    # 64 MiB in disorder: huge pages need no walk.
    lines = 64 * 2**20 // LINE
    chase = [step("f", NVM, lines), step("c", NVM, lines)]
    huge = cost(chase, f"{UNCACHED},walks=nested", lines)
    pages = cost([small(32), *chase], f"{UNCACHED},walks=nested", lines)
    check("2 MiB: a load, ns", huge[1], READ["nvm"], 0.05)
    check("4 KiB: a load, ns", pages[1],
          READ["nvm"] + pages[0]["stall_ns"] / lines, 0.01)
    # All but one in eight loads miss a TLB of 2,048 entries with 16,384 pages.
    check("4 KiB: walks for a load", pages[0]["walks"] / lines,
          1 - SECOND / (64 * 2**20 / FRAME), 0.05)


def test_flushes():
    num = SECOND // 2
    run = Run([small(8), *loads(num), step("t"), step("s", NVM, num, STRIDE)],
              f"{CACHED},walks=native")
    check("before, walks", run.deltas[2]["tlb"]["walks"], 0)
    check("after the TLB was emptied, walks", run.deltas[4]["tlb"]["walks"], num)


def test_a_split_costs_reach():
    # The same addresses, first in huge pages, then in small ones.
    num = 4 * SECOND
    run = Run([*loads(num), small(20), *loads(num)], f"{CACHED},walks=nested")
    check("huge: walks", run.deltas[1]["tlb"]["walks"], 0)
    check("split: walks", run.deltas[4]["tlb"]["walks"], num)


def test_the_model_says_it():
    for options, walks in (("", "off"), ("walks=native", "native"),
                           ("walks=nested", "nested")):
        model = Run([step("r", NVM, 1)], options).out["model"]
        check(f"'{options}': walks", model["walks"] == walks, True)
    check("host's pages", model["host_page_bytes"], HUGE)


run_tests(globals())
