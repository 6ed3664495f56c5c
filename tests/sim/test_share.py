# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that share the bandwidth of tiers, and the DRAM cache, run in turns of guest time."""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile

from machine import LINE, MIB, NVM, bare, check, run_tests, step, sweep

# The latency of a line is 0, so bandwidth alone decides: 640 ns for each line.
LINE_NS = 640
MODEL = f"llc=256K,ways=4,prefetch=off,nvm.read_ns=0,nvm.read_gbps={LINE / LINE_NS}"
LINES = 0x4000
# Of the loop that reads a line, in instructions of 1 ns each.
PATIENCE = 300


class Member:
    """One machine; the attributes are as those of machine.Run."""

    def __init__(self, path, number, members, steps, options):
        self.out = path / f"out{number}"
        options = (f"out={self.out},share={path}/share,members={members},member={number},"
                   f"{options}")
        self.process = subprocess.Popen(bare(steps, options), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True)

    def finish(self):
        text, _ = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 1, (self.process.returncode, text)
        self.ns = [int(x.split()[1]) for x in text.splitlines()]
        return self

    def counters(self):
        return json.loads(self.out.read_text())["total"]


def together(*programs, options=MODEL):
    """Run a machine for each list of steps; returns the members."""
    with tempfile.TemporaryDirectory(prefix="hmem-") as directory:
        path = pathlib.Path(directory)
        members = [Member(path, i, len(programs), steps, options)
                   for i, steps in enumerate(programs)]
        try:
            for one in members:
                one.finish()
                one.total = one.counters()
        finally:
            for one in members:
                one.process.kill()
                one.process.wait()
    return members


def reads(lines=LINES):
    """Fill the cache, and read lines that are not in the cache."""
    return [sweep(), step("r", NVM, lines)]


def test_members_share_bandwidth():
    """A member that is alone has all of the tier's bandwidth; two get half of it each."""
    alone, _ = together(reads(), reads(1))
    check("ns per line, alone", alone.ns[1] / LINES, LINE_NS, 0.02)
    for one in together(reads(), reads()):
        check("ns per line, two", one.ns[1] / LINES, 2 * LINE_NS, 0.02)
    for one in together(reads(), reads(), reads()):
        check("ns per line, three", one.ns[1] / LINES, 3 * LINE_NS, 0.03)


def test_one_that_ends():
    """A member that reads half as much has ended when the other is at three quarters of its
    time: it had half of the bandwidth until then, and has all of it from then on."""
    short, long = together(reads(LINES // 2), reads())
    check("ns per line, short", short.ns[1] / (LINES // 2), 2 * LINE_NS, 0.03)
    check("ns per line, long", long.ns[1] / LINES, 1.5 * LINE_NS, 0.03)


def test_one_that_is_killed():
    """The others wait for all members to join, but not for one that has crashed since, also
    if its parent has not waited for it."""
    with tempfile.TemporaryDirectory(prefix="hmem-") as directory:
        path = pathlib.Path(directory)
        endless = [step("r", NVM, 1)] + [step("r", NVM, LINES)] * 40
        victim = Member(path, 0, 2, endless, MODEL)
        other = Member(path, 1, 2, reads(), MODEL)
        try:
            assert victim.process.stdout.readline()     # of its first step
            victim.process.send_signal(signal.SIGKILL)
            other.finish()
        finally:
            for one in (victim, other):
                one.process.kill()
                one.process.wait()
    assert len(other.ns) == 2, other.ns


def test_runs_repeat():
    programs = [[sweep(), step("r", NVM, LINES), step("w", NVM + MIB, LINES)],
                [sweep(), step("w", NVM, LINES), step("r", NVM + MIB, LINES // 4)],
                reads()]
    first, second = together(*programs), together(*programs)
    for one, two in zip(first, second):
        assert one.ns == two.ns, (one.ns, two.ns)
        print(one.ns)


def test_one_cache():
    """In memory mode, members use one DRAM cache.  Half of the cache is enough for the lines of
    a member, but not if another member reads all of the cache in between."""
    cache = 2 * MIB
    half = cache // 2 // LINE
    options = f"llc=64K,ways=4,prefetch=off,memory_mode={cache}"
    small = [step("r", NVM, half)] * 8
    alone, _ = together(small, [step("r", NVM, 1)], options=options)
    hits = [m.total["memory_mode"]["hits"] for m in
            (alone, together(small, [step("r", NVM, 2 * half)] * 8, options=options)[0])]
    print("hits alone, and with another member:", hits)
    assert hits[1] < hits[0] * 0.8, hits


def refuses(text, options):
    done = subprocess.run(bare(reads(), options), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and text in done.stderr, (text, done.stderr)


def test_wrong_options():
    belong = "share=FILE, members=N and member=I belong together"
    refuses(belong, "members=2")
    refuses(belong, "share=/tmp/x,members=1")
    refuses(belong, "share=/tmp/x,members=2,member=2")
    refuses("turn_us=0: not 1 to 1000", "turn_us=0")
    refuses("No such file or directory", "share=/nonexistent/x,members=2")
    with tempfile.TemporaryDirectory(prefix="hmem-") as directory:
        path = pathlib.Path(directory) / "share"
        path.write_text("x")
        refuses("an empty file for each run", f"share={path},members=2")


sys.stdout.reconfigure(line_buffering=True)
run_tests(globals())
