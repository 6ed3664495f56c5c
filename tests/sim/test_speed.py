# SPDX-License-Identifier: GPL-2.0-or-later
"""
The cost of the simulator: the ratio of QEMU's user CPU time with the plugin to QEMU's
time when it only counts instructions, both measured in this run.  The target is a
ratio of at most 3; the tests fail above 4.  One test boots a kernel; the other does
loads that all miss the cache, which is worse than any program.
"""

import re

from machine import (ICOUNT, NVM, bare, env, machine, run_tests, step,
                     user_seconds)

LIMIT = 4


def compare(what, command, with_plugin, shown):
    plain, text = user_seconds(command)
    assert re.search(shown, text), text
    modelled, text = user_seconds(with_plugin)
    assert re.search(shown, text), text
    found = re.search(r'"total".*?"instructions": (\d+)', text)
    million = int(found[1]) / 1e6
    print(f"{what}: {modelled / plain:.2f} times the user CPU time of plain "
          f"icount ({million / plain:.0f} against {million / modelled:.0f} "
          "million guest instructions/s)")
    return modelled / plain


def test_kernel():
    # It boots until it finds no init.
    command = machine(*ICOUNT, "-kernel", env.kernel("6.12") / "vmlinuz",
                      "-append", "console=ttyS0 panic=-1 quiet cryptomgr.notests", "-serial",
                      "stdio")
    ratio = compare("Linux 6.12 boots", command,
                    [*command, "-plugin", env.simulator()], "Kernel panic")
    assert ratio < LIMIT, ratio


def test_misses():
    # Few enough pages that QEMU's own TLB has them all.
    steps = [step("f", NVM, 0x2000), step("c", NVM, 0x4000000)]
    compare("dependent loads, each a miss", bare(steps, with_plugin=False),
            bare(steps, "llc=64K,ways=4"), "c ")


run_tests(globals())
