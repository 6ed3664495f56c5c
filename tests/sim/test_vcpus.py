# SPDX-License-Identifier: GPL-2.0-or-later
"""
Several vCPUs run side by side: each has its own time, and all share the cache and the tiers.
"""

import json
import pathlib
import re
import subprocess
import tempfile

from machine import (DRAM, ICOUNT, LINE, MIB, NVM, bare, check, env, machine, run_tests, step,
                     sweep, user_seconds)

LOOPS = 3000000     # of two instructions of 1 ns each
LINES = 0x4000
CACHE = "llc=256K,ways=4"
UNLIMITED = f"{CACHE},nvm.read_gbps=0,nvm.write_gbps=0"
# The latency of a line is 0, so bandwidth alone decides: 160 ns for each line.
LINE_NS = 160
NARROW = f"{CACHE},prefetch=off,nvm.read_ns=0,nvm.read_gbps={LINE / LINE_NS}"


class Vcpus:
    """
    Runs a program, a list of steps, on each vCPU.

    ns      of each program, the nanoseconds of each step by the vCPU's own clock
    all_ns  the nanoseconds from the begin of all programs to the end of the last one; None if
            there is one program
    text    what the guest has printed
    roi     the simulator's counters of the region of interest
    """

    def __init__(self, *programs, options="", cpus=None):
        steps = [one for program in programs for one in (*program, step("/"))][:-1]
        with tempfile.TemporaryDirectory(prefix="hmem-") as directory:
            out = pathlib.Path(directory) / "out"
            done = subprocess.run(
                bare(steps, f"out={out}{options and ','}{options}",
                     cpus=cpus or len(programs)),
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
            if done.returncode != 1:    # isa-debug-exit turns 0 into this status
                raise env.Error(f"status {done.returncode}, not 1:\n{done.stdout}{done.stderr}")
            self.roi = json.loads(out.read_text())["roi"]
        self.text = done.stdout
        results = [int(line.split()[1]) for line in self.text.splitlines()]
        self.ns = []
        for program in programs:
            self.ns.append(results[:len(program)])
            results = results[len(program):]
        self.all_ns = results[0] if results else None


def loops(number=LOOPS):
    return [step("l", 0, number)]


def chase(address):
    return [step("f", address, LINES), step("c", address, LINES)]


def reads(address, lines=LINES):
    return [step("r", address, lines)]


def test_instructions_take_no_time_from_others():
    alone = Vcpus(loops()).ns[0][0]
    check("ns, alone", alone, 2 * LOOPS, 0.001)
    check("ns, beside vCPUs that are off", Vcpus(loops(), cpus=4).ns[0][0], alone, 0.001)
    check("ns, beside a halted one", Vcpus(loops(), []).all_ns, alone, 0.001)
    for num in 2, 4:
        several = Vcpus(*num * [loops()])
        for own in several.ns:
            check(f"ns, own clock, {num} vCPUs", own[0], alone, 0.001)
        check(f"ns, all of {num} vCPUs", several.all_ns, alone, 0.002)


def test_waiting_takes_no_time_from_others():
    """A vCPU that waits for memory most of the time, beside one that executes instructions."""
    alone = sum(Vcpus(chase(NVM), options=UNLIMITED).ns[0])
    both = Vcpus(chase(NVM), chase(NVM + 16 * MIB), options=UNLIMITED)
    check("ns, both wait", both.all_ns, alone, 0.01)
    number = int(alone) // 2
    for programs in (chase(NVM), loops(number)), (loops(number), chase(NVM)):
        check("ns, one waits", Vcpus(*programs, options=UNLIMITED).all_ns, alone, 0.01)


def test_bandwidth_is_shared():
    """Two vCPUs that saturate a tier get half of its bandwidth each, four a quarter; one that
    does not use the tier takes none, even if it runs first in every other round."""
    alone = Vcpus(reads(NVM), options=NARROW).ns[0][0]
    check("ns per line, alone", alone / LINES, LINE_NS, 0.01)
    for num in 2, 4:
        several = Vcpus(*(reads(NVM + i * 16 * MIB) for i in range(num)), options=NARROW)
        for own in several.ns:
            check(f"ns per line, {num} vCPUs", own[0] / LINES, num * LINE_NS, 0.05)
        check(f"ns per line, all of {num} vCPUs", several.all_ns / LINES / num, LINE_NS, 0.01)
    short = loops(LINES * LINE_NS // 4)
    for programs in (reads(NVM), short), (short, reads(NVM)):
        check("ns per line, beside instructions",
              Vcpus(*programs, options=NARROW).all_ns / LINES, LINE_NS, 0.01)


def test_unequal_shares():
    """A vCPU that reads 16 lines, and then computes for ten times as long, gets at least half of
    the bandwidth while it reads, and the other one all the rest."""
    times, lines = 25, 16
    rare = [one for i in range(times) for one in
            (step("l", 0, 10 * lines * LINE_NS // 2),
             *reads(NVM + 16 * MIB + i * lines * LINE, lines))]
    both = Vcpus(rare, reads(NVM), options=NARROW)
    check("time, in units of the computing", sum(both.ns[0]) / (times * 10 * lines * LINE_NS),
          1.2, 0.05)
    check("ns per line of both", both.all_ns / (LINES + times * lines), LINE_NS, 0.02)


def test_cache_is_shared():
    """vCPU 1 finds in the cache what vCPU 0 has read."""
    lines = 0x800
    later = [step("l", 0, 1000000), step("r", DRAM, lines)]
    found = Vcpus(reads(DRAM, lines), later).ns[1][1]
    missed = Vcpus(reads(DRAM + 16 * MIB, lines), later).ns[1][1]
    assert found < 5 * lines, found
    assert missed > 10 * lines, missed
    print(f"{found / lines:.1f} and {missed / lines:.1f} ns per line")


def test_tlb_is_not_shared():
    """If one vCPU empties its TLB, the other walks no more than before.  A walk takes long here,
    because an entry that the cache has costs 20 us."""
    slow = "walks=native,entry_ns=20000"
    read = [step("r", DRAM, 0x100), step("r", DRAM, 0x2000)]
    quiet = Vcpus(read, loops(), options=slow).ns[0][1]
    check("ns beside one that empties its TLB",
          Vcpus(read, 20 * [*loops(4000), step("t")], options=slow).ns[0][1], quiet, 0.01)
    own = Vcpus([read[0], step("t"), read[1]], options=slow).ns[0][2]
    assert own > quiet + 19000, (own, quiet)
    print(f"{own:g} ns after emptying its own")


def test_runs_repeat():
    programs = [[step("m", 0, 1), *chase(NVM), *reads(DRAM), step("m", 0, 2)],
                [*reads(NVM + 16 * MIB), *loops()], [*chase(NVM + 32 * MIB), sweep()]]
    first, second = (Vcpus(*programs, options=f"{CACHE},walks=nested") for _ in range(2))
    assert first.text == second.text, (first.text, second.text)
    assert first.roi == second.roi, (first.roi, second.roi)
    print(f"{first.roi['guest_ns']} ns")


def test_linux_boots():
    """The kernel finds nothing wrong, its crypto self-tests among others, until there is no root
    file system."""
    _, text = user_seconds(machine(
        *ICOUNT, "-kernel", env.kernel("6.12") / "vmlinuz",
        "-append", "console=ttyS0 panic=-1 loglevel=5 tsc=reliable", "-serial", "stdio",
        "-plugin", env.simulator(), cpus=2))
    assert "VFS: Unable to mount root fs" in text, text[-8000:]
    assert not re.search(r"BUG|WARNING|Oops|corrupt", text), text[-8000:]
    assert re.search(r'"total".*?"instructions": [1-9]', text), text[-8000:]
    print("yes")


run_tests(globals())
