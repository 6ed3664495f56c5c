# SPDX-License-Identifier: GPL-2.0-or-later
"""Known sequences of accesses give exactly the expected counters."""

from machine import (DRAM, LINE, MIB, NVM, OTHER, Run, check, difference,
                     function, run_tests, step, sweep)

# 4096 lines: 1024 sets of 4.
CACHE = "llc=256K,ways=4"
LLC = 4096

TIERS = {"dram": DRAM, "nvm": NVM}

# Lines of the guest itself, in DRAM.  Their stack is dirty: a sweep evicts it.
OWN = 8


def others(delta, tier):
    return [v for k, v in delta["tiers"].items() if k != tier]


def test_reads():
    for prefetch in ("on", "off"):
        for tier, address in TIERS.items():
            run = Run([sweep(), step("r", address, 1024),
                       step("r", address, 1024),
                       step("r", address + 768 * LINE, 256)],
                      f"{CACHE},prefetch={prefetch}")
            first, again, last = run.deltas[1], run.deltas[2], run.deltas[3]
            check(f"{tier} fills", first["tiers"][tier]["fills"], 1024)
            check("bytes", first["tiers"][tier]["read_bytes"], 1024 * LINE)
            check("prefetched", first["tiers"][tier]["prefetched"],
                  1023 if prefetch == "on" else 0)
            check("LLC misses", first["llc_misses"], 1024)
            check("LLC hits", first["llc_hits"], 0)
            check("write-backs", first["tiers"][tier]["writebacks"], 0)
            check("of the other tier",
                  sum(o["fills"] + o["writebacks"] for o in others(first, tier)), 0)
            check("again, LLC hits", again["llc_hits"], 1024)
            check("again, fills", again["tiers"][tier]["fills"], 0)
            # The guest's own data may have evicted some lines.
            assert last["llc_hits"] <= OWN, last
            check("what the filter holds, misses", last["llc_misses"], 0)


def test_start_at_a_mark():
    read = step("r", NVM, 1024)
    run = Run([read, step("m", 0, 5), sweep(), read], f"{CACHE},start=mark")
    before, after = run.deltas[0], run.deltas[3]
    check("before, instructions", before["instructions"] > 1024, True)
    check("before, fills", before["tiers"]["nvm"]["fills"], 0)
    check("before, stall", before["tiers"]["nvm"]["read_stall_ns"], 0)
    check("after, fills", after["tiers"]["nvm"]["fills"], 1024)


def test_least_recently_used():
    # 5 lines of one set in turn never hit in 4 ways; 4 always do.
    stride = 1024
    for lines, misses in ((5, 5), (4, 0)):
        steps = [step("r", NVM + i * stride * LINE, 1) for i in range(lines)]
        # These reads, between the rounds, evict all lines from the filter, and go to
        # other sets of the cache.
        away = step("r", OTHER + 64 * LINE, 512)
        run = Run([sweep(), *steps, away, *steps], f"{CACHE},prefetch=off")
        check(f"misses of {lines} lines in a set of 4",
              sum(run.deltas[2 + lines + i]["llc_misses"] for i in range(lines)),
              misses)


def test_writes():
    run = Run([sweep(), step("w", NVM, 2 * LLC), step("r", OTHER, 2 * LLC)],
              CACHE)
    write = run.deltas[1]["tiers"]["nvm"]
    both = difference(run.begin[1], run.end[2])["tiers"]["nvm"]
    check("fills", write["fills"], 2 * LLC)
    check("write-backs", write["writebacks"], LLC)
    check("bytes written", write["write_bytes"], LLC * LINE)
    check("write-backs once all is evicted", both["writebacks"], 2 * LLC)

    run = Run([sweep(), step("w", DRAM, LLC), sweep()], CACHE)
    evict = run.deltas[2]["tiers"]
    check("write-backs to DRAM", evict["dram"]["writebacks"], LLC, OWN / LLC)
    check("none to NVM", evict["nvm"]["writebacks"], 0)


def test_store_to_a_line_that_was_loaded():
    run = Run([sweep(), step("r", NVM, 64), step("w", NVM, 64), sweep()], CACHE)
    check("fills", run.deltas[2]["tiers"]["nvm"]["fills"], 0)
    check("write-backs", run.deltas[3]["tiers"]["nvm"]["writebacks"], 64)


def test_access_across_a_line_end():
    run = Run([sweep(), step("x", NVM, 100)], CACHE)
    check("fills", run.deltas[1]["tiers"]["nvm"]["fills"], 101)


def test_memory_mode():
    size = 4 * MIB          # of the DRAM cache
    # Modulo size, neither firmware, guest nor sweep uses these addresses.
    a = NVM + 3 * MIB // 2
    b = a + size            # collides with it
    evict = NVM + 3 * MIB   # collides with neither
    run = Run([sweep(),
               step("r", a, 1024), step("r", evict, LLC), step("r", a, 1024),
               step("w", a, 1024), step("r", evict, LLC),
               step("r", b, 1024)], f"{CACHE},memory_mode=4M")
    for i, (what, hits, misses, dirty, dram_read, dram_write, nvm_read,
            nvm_write) in {
            1: ("miss", 0, 1024, 0, 1024, 1024, 1024, 0),
            3: ("hit", 1024, 0, 0, 1024, 0, 0, 0),
            # Write-backs of the 1024 lines hit; evict itself was read before.
            5: ("write hit", LLC + 1024, 0, 0, LLC + 1024, 1024, 0, 0),
            6: ("miss, dirty victim", 0, 1024, 1024, 1024, 1024, 1024, 1024),
    }.items():
        delta = run.deltas[i]
        dram, nvm = delta["tiers"]["dram"], delta["tiers"]["nvm"]
        own = OWN / 1024 if what == "write hit" else 0
        check(f"{what}: hits", delta["memory_mode"]["hits"], hits, own)
        check("misses", delta["memory_mode"]["misses"], misses)
        check("dirty victims", delta["memory_mode"]["dirty_victims"], dirty)
        check("DRAM reads", dram["fills"], dram_read, own)
        check("DRAM writes", dram["writebacks"], dram_write, own)
        check("NVM reads", nvm["fills"], nvm_read)
        check("NVM writes", nvm["writebacks"], nvm_write)


def test_migration():
    options = f"{CACHE},copy={function('copy_pages')}"
    run = Run([sweep(), step("P", DRAM, 512, NVM), sweep(),
               step("p", DRAM, 512, NVM), sweep(),
               step("P", DRAM, 512, NVM), step("w", DRAM, 512), sweep()],
              options)

    def migration(i, tier, what):
        return run.deltas[i]["tiers"][tier]["migration"][what]

    for tier in TIERS:
        check(f"{tier} fills", run.deltas[1]["tiers"][tier]["fills"], 512)
        check("by migration", migration(1, tier, "fills"), 512)
        check("by a copy of the guest's own", migration(3, tier, "fills"), 0)
        check("which are", run.deltas[3]["tiers"][tier]["fills"], 512)
    check("write-backs by migration", migration(2, "dram", "writebacks"), 512)
    check("by a copy of the guest's own", migration(4, "dram", "writebacks"), 0)
    check("of what the guest wrote after", migration(7, "dram", "writebacks"), 0)
    check("which are", run.deltas[7]["tiers"]["dram"]["writebacks"], 512, OWN / 512)
    assert migration(1, "nvm", "read_stall_ns") > 0


def test_region_of_interest():
    begin, end = step("m", 0, 1), step("m", 0, 2)
    # A second end or begin has no effect.
    run = Run([sweep(), begin, begin, step("r", NVM, 100), end,
               step("r", NVM + MIB, 1000), end,
               begin, step("w", NVM + 2 * MIB, 10), end], CACHE)
    check("fills", run.out["roi"]["tiers"]["nvm"]["fills"], 110)
    total = run.out["total"]
    assert total["tiers"]["nvm"]["fills"] >= 1110 + LLC
    assert 0 < run.out["roi"]["guest_ns"] < total["guest_ns"]
    assert 0 < run.out["roi"]["instructions"] < total["instructions"]


def test_region_that_does_not_end():
    run = Run([sweep(), step("m", 0, 1), step("r", NVM, 100)], CACHE)
    check("fills", run.out["roi"]["tiers"]["nvm"]["fills"], 100)


def test_periodic_samples():
    run = Run([sweep(), step("r", NVM, 0x10000)], f"{CACHE},period_ms=1")
    times = [s["guest_ns"] for s in run.samples if s["event"] == "period"]
    # A sample is taken at the first miss after its time; in this step misses are dense.
    read = [t for t in times if t > times[-1] - 5_000_000]
    assert 5 <= len(read) <= 6, times
    assert all(t % 1_000_000 < 10_000 for t in read), read


def test_heat():
    run = Run([sweep(), step("r", NVM, 10 * 64), step("w", NVM + MIB, 5 * 64),
               sweep(), step("r", NVM + 10 * 4096, 7)],
              f"{CACHE},period_ms=1", heat=True)
    times = [t for t, _ in run.heat]
    assert len(times) > 2 and times == sorted(set(times)), times
    sums = {}
    for _, frames in run.heat:
        assert list(frames) == sorted(frames)
        for gfn, lines in frames.items():
            assert any(lines), "a frame without lines"
            old = sums.get(gfn, (0, 0))
            sums[gfn] = (old[0] + lines[0], old[1] + lines[1])
    first, other = NVM >> 12, (NVM + MIB) >> 12
    for i in range(10):
        assert sums[first + i] == (64, 0), (i, sums[first + i])
    assert sums[first + 10] == (7, 0), sums[first + 10]
    for i in range(5):
        assert sums[other + i] == (64, 64), (i, sums[other + i])
    for tier, low, high in (("dram", 0, 0x10000), ("nvm", 0x10000, 0x20000)):
        for way, name in enumerate(("fills", "writebacks")):
            check(f"{tier}: frames' {name}, in all",
                  sum(n[way] for gfn, n in sums.items() if low <= gfn < high),
                  run.out["total"]["tiers"][tier][name])


def test_two_runs_are_the_same():
    steps = [step("m", 0, 1), sweep(), step("f", NVM, 1024),
             step("c", NVM, 4096), step("w", DRAM, 5000), step("m", 0, 4),
             step("r", DRAM, 100), step("m", 0, 2)]
    first, second = (Run(steps, f"{CACHE},period_ms=1,guest_rearm=on")
                     for _ in range(2))
    # "total" includes the time until QEMU has stopped the guest, so it may differ.
    for part in ("model", "roi"):
        assert first.out[part] == second.out[part], part
    assert first.series_text == second.series_text
    assert first.ns[:len(steps)] == second.ns[:len(steps)]
    print("yes")


run_tests(globals())
