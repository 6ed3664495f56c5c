# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest measures, by its own clock, the configured latency and bandwidth."""

from machine import (DRAM, LINE, MIB, NVM, Run, check, run_tests, step, sweep)

CACHE = "llc=256K,ways=4"
TIERS = {"dram": DRAM, "nvm": NVM, "cxl": NVM}
CHASE = 0x10000     # lines, 16 times the cache
STREAM = 0x20000


def slow_tier(preset):
    return {"cxl": "cxl", "dram": "dram"}.get(preset, "nvm")


def chase(address, options):
    """Nanoseconds of a load that depends on the one before."""
    run = Run([step("f", address, CHASE), sweep(), step("c", address, CHASE)],
              f"{CACHE},{options}")
    return run.out["model"], run.ns[2] / CHASE


def stream(address, what, options):
    """GB/s of reading or writing in order; the cache is full before."""
    first = step(what, address, 0x4000)
    run = Run([sweep(), first, step(what, address + MIB, STREAM)],
              f"{CACHE},{options}")
    return run.out["model"], STREAM * LINE / run.ns[2]


def test_latency():
    for preset in ("dram", "optane", "cxl", "hme"):
        for tier, address in (("dram", DRAM), (slow_tier(preset), NVM)):
            model, ns = chase(address, f"preset={preset}")
            check(f"{preset}, {tier}, read ns", ns,
                  model["tiers"][tier]["read_ns"], 0.05)


def test_own_latency():
    for options, address, expected in (
            ("nvm.read_ns=1000,nvm.read_gbps=0", NVM, 1000),
            ("dram.read_ns=50", DRAM, 50),
            # With 4 loads at a time, each load costs a quarter of the latency.
            ("mlp=4,nvm.read_ns=800,nvm.read_gbps=1", NVM, 200),
            # The bandwidth is so low that it alone decides the time.
            ("nvm.read_ns=10,nvm.read_gbps=0.064", NVM, 1000),
            ("prefetch=off", NVM, 176.6)):
        _, ns = chase(address, options)
        check(options, ns, expected, 0.05)


def test_latency_of_writes():
    # A store to each line of a region that is dirty: a fill and a write-back.
    for options, expected in (
            ("nvm.write_ns=500,nvm.write_gbps=0,prefetch=off", 676.6),
            ("nvm.write_ns=0,nvm.write_gbps=0,prefetch=off", 176.6)):
        run = Run([step("w", NVM, 0x4000), step("w", NVM + MIB, STREAM)],
                  f"{CACHE},{options}")
        check(options, run.ns[1] / STREAM, expected, 0.05)


def test_bandwidth():
    for preset in ("dram", "optane", "cxl", "hme"):
        for tier, address in (("dram", DRAM), (slow_tier(preset), NVM)):
            # The latency of write-backs would hide the bandwidth: set it to 0.
            for what, name in (("r", "read"), ("w", "write")):
                model, gbps = stream(address, what, f"preset={preset},"
                                     f"{tier}.write_ns=0")
                check(f"{preset}, {tier}, {name} GB/s", gbps,
                      model["tiers"][tier][f"{name}_gbps"], 0.05)


def test_own_bandwidth():
    for what, name in (("r", "read"), ("w", "write")):
        _, gbps = stream(NVM, what, f"nvm.read_gbps=4,nvm.write_gbps=4,"
                         f"nvm.{name}_gbps=0.5")
        check(f"{name} GB/s", gbps, 0.5, 0.05)


def test_memory_mode():
    # A hit costs DRAM's latency, a miss DRAM's and NVM's.
    for size, expected in (("64M", 68.7), ("1M", 68.7 + 176.6)):
        run = Run([step("f", NVM, CHASE), step("c", NVM, CHASE),
                   step("c", NVM, CHASE)], f"{CACHE},memory_mode={size},"
                  "dram.write_gbps=0,nvm.write_gbps=0")
        check(f"memory_mode={size}, read ns", run.ns[2] / CHASE, expected, 0.05)


def test_clocks_agree():
    # The guest and the series measure the same time, except for pending stalls.
    run = Run([sweep(), step("r", NVM, STREAM)], f"{CACHE},step_ns=1000")
    check("ns", run.ns[1], run.deltas[1]["guest_ns"], 0.001)
    stall = run.deltas[1]["tiers"]["nvm"]
    check("of which stall and instructions",
          stall["read_stall_ns"] + run.deltas[1]["instructions"],
          run.deltas[1]["guest_ns"], 0.001)


run_tests(globals())
