# SPDX-License-Identifier: GPL-2.0-or-later
"""The accessed and dirty bits that an access log reports, and their cost."""

from machine import DRAM, NVM, Run, check, run_tests, step, sweep

OPTIONS = "llc=256K,ways=4,guest_rearm=on,walk_ns=1000"
REARM = step("m", 0, 4)
FRAME = 64      # lines


def frames(*steps):
    """How many frames are found accessed and dirty after steps."""
    run = Run([sweep(), REARM, *steps, REARM], OPTIONS)
    last = [s for s in run.samples if s["event"] == "rearm"][-1]
    return last["frames_accessed"], last["frames_dirty"]


def test_bits():
    # The guest's own frames are the same for all steps: count them without a step.
    own = frames(step("r", NVM, 0))
    assert own[0] >= own[1] > 0, own
    for what, address, lines, accessed, dirty in (
            ("r", NVM, 10 * FRAME, 10, 0), ("w", NVM, 10 * FRAME, 10, 10),
            ("r", DRAM, 1000 * FRAME, 1000, 0), ("w", DRAM, 1, 1, 1),
            # This load is half in one frame, half in the next.
            ("x", NVM + (FRAME - 1) * 64, 1, 2, 0)):
        found = frames(step(what, address, lines))
        check(f"{what} {lines} lines, accessed", found[0] - own[0], accessed)
        check("dirty", found[1] - own[1], dirty)


def test_bits_of_the_first_and_last_frame_of_a_node():
    own = frames(step("r", NVM, 0))
    for address in (0x10000000, 0x20000000 - 4096):
        found = frames(step("w", address, 1))
        check(f"{address:#x}, accessed", found[0] - own[0], 1)
        check("dirty", found[1] - own[1], 1)


def test_cost():
    run = Run([sweep(), REARM,
               step("r", NVM, 10 * FRAME), step("w", NVM, 10 * FRAME),
               step("w", DRAM, 5 * FRAME), step("w", DRAM, 5 * FRAME)], OPTIONS)
    for i, (what, accessed, dirtied, walks) in {
            2: ("loads", 10, 0, 10), 3: ("then stores", 0, 10, 10),
            4: ("stores at once", 5, 5, 5), 5: ("again", 0, 0, 0)}.items():
        tracking = run.deltas[i]["tracking"]
        check(f"{what}: accessed", tracking["accessed"], accessed)
        check("dirtied", tracking["dirtied"], dirtied)
        check("stall", tracking["stall_ns"], walks * 1000)


def test_bits_are_free_until_they_are_rearmed():
    run = Run([sweep(), step("w", NVM, 10 * FRAME)], OPTIONS)
    check("stall", run.out["total"]["tracking"]["stall_ns"], 0)


def test_no_cache_hides_a_rearmed_frame():
    run = Run([sweep(), step("w", NVM, FRAME), REARM, step("r", NVM, FRAME),
               step("w", NVM, FRAME)], OPTIONS)
    check("accessed", run.deltas[3]["tracking"]["accessed"], 1)
    check("by loads that hit", run.deltas[3]["llc_hits"], FRAME)
    check("dirtied", run.deltas[4]["tracking"]["dirtied"], 1)


run_tests(globals())
