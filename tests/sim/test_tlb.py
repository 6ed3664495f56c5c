# SPDX-License-Identifier: GPL-2.0-or-later
"""
The size of the TLB, found from the accessed bits in the guest's own page tables: the
processor sets them when the TLB misses.
"""

from machine import LINE, NVM, OTHER, Run, check, run_tests, step

FRAME = 4096
HUGE = 2 << 20          # the guest's page size: each has one accessed bit


def accessed(options, entries, between):
    """1 if a load sets a page's accessed bit, which was cleared after an earlier load
    of the page, else 0.  Between the two loads, as many other pages are accessed as
    between says.  Before all this the TLB is filled and emptied, which makes QEMU's
    own TLB grow unless its size is fixed."""
    page = NVM + entries * 3 // 4 * FRAME

    def pages(num):
        return step("r", OTHER, num * FRAME // LINE)

    run = Run([pages(4 * entries), step("t"), pages(4 * entries), step("t"),
               step("r", page, 1), step("z", NVM, entries * FRAME // HUGE + 1),
               pages(between), step("r", page, 1),
               step("a", NVM, entries * FRAME // HUGE + 1)], options)
    return run.ns[-1]


def test_entries():
    for entries in (64, 256, 2048):
        for between, expected in ((entries // 2, 0), (entries * 2, 1)):
            check(f"tlb={entries}: accessed, after {between} other pages",
                  accessed(f"tlb={entries}", entries, between), expected)


def test_default():
    check("accessed, after 1024 other pages", accessed("", 2048, 1024), 0)
    check("after 4096", accessed("", 2048, 4096), 1)


def test_as_qemu_sees_fit():
    check("tlb=0: accessed, after 512 other pages", accessed("tlb=0", 256, 512), 0)


def test_the_model_says_it():
    for options, entries in (("", 2048), ("tlb=64", 64), ("tlb=0", 0)):
        run = Run([step("r", NVM, 1)], options)
        check(f"'{options}': entries", run.out["model"]["tlb_entries"], entries)


run_tests(globals())
