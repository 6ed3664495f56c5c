# SPDX-License-Identifier: GPL-2.0-or-later
"""
For the simulator's tests: a guest without an operating system (guest/main.c) runs
under the plugin, on a machine with 256 MiB of DRAM in node 0 and 256 MiB of NVM in
node 1.  A test knows all accesses of the guest, so it can expect exact counters.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))

import env      # noqa: E402
import heatfile     # noqa: E402
import qmp      # noqa: E402

MIB = 1 << 20
LINE = 64

# Addresses in each node that are otherwise unused, and one to sweep caches with.
DRAM = 0x8000000
NVM = 0x14000000
OTHER = 0x1c000000

MEASURED = "rwsxcpP"     # steps that are enclosed by marks

ICOUNT = ("-icount", "shift=0,sleep=off")


def guest():
    """The guest's image."""
    return env.tool("build", "sim-guest", "tests/sim/guest") / "guest.elf"


def function(name):
    """The addresses of a function of the guest: START-END."""
    for line in subprocess.run(["nm", "-S", guest()], check=True, text=True,
                               capture_output=True).stdout.splitlines():
        start, size, *_, symbol = line.split() if line.count(" ") == 3 else 4 * [""]
        if symbol == name:
            return f"{start}-{int(start, 16) + int(size, 16):x}"
    raise env.Error(f"the guest has no function {name}")


def step(what, address=0, lines=0, source=0):
    """A step for the guest; see guest/main.c."""
    return f"{what}:{address:x}:{lines:x}:{source:x}"


def sweep(lines=0x4000):
    """Fill the last-level cache with clean lines of NVM."""
    return step("r", OTHER, lines)


def machine(*args, nodes=(256, 256), cpus=1):
    """QEMU's command line for a machine with nodes of these MiB, and processors in the first,
    then args."""
    data = env.qemu().parent / "qemu-bundle/usr/local/share/qemu"
    command = [env.qemu(), "-L", data, "-nodefaults", "-no-user-config",
               "-display", "none", "-no-reboot", "-M", "q35", "-cpu", "max",
               "-m", f"{sum(nodes)}M", "-accel", "tcg", "-smp", str(cpus)]
    for i, mib in enumerate(nodes):
        command += ["-object", f"memory-backend-ram,id=node{i},size={mib}M",
                    "-numa", f"node,nodeid={i},memdev=node{i}"
                    + ("" if i else f",cpus=0-{cpus - 1}")]
    return command + list(args)


def user_seconds(command, timeout=600):
    """Run a command; return its user CPU time and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    return after - before, done.stdout.decode("utf-8", "replace")


def bare(steps, options="", icount=ICOUNT, nodes=(256, 256), with_plugin=True, cpus=1):
    """The command that runs the steps in the guest."""
    command = machine(*icount, "-kernel", guest(),
                      "-append", " ".join([*steps, step("q")]),
                      "-chardev", "stdio,id=con",
                      "-device", "isa-debugcon,iobase=0xe9,chardev=con",
                      "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                      nodes=nodes, cpus=cpus)
    if with_plugin:
        command += ["-plugin", f"{env.simulator()}{options and ','}{options}"]
    return command


class Run:
    """
    Runs steps in the guest; the attributes are the results.

    out      the simulator's JSON
    samples  the lines of its series
    deltas   of each measured step, how the counters changed; by step number
    heat     (guest_ns, {gfn: (fills, write-backs)}) of each period
    begin    of each measured step, the counters before the step
    end      of each measured step, the counters after the step
    ns       of each step, the nanoseconds that the guest measured; of a step "a",
             the accessed bits that it counted
    """

    def __init__(self, steps, options="", heat=False, **more):
        with tempfile.TemporaryDirectory(prefix="hmem-") as directory:
            out, series = f"{directory}/out", f"{directory}/series"
            options = f"out={out},series={series}{options and ','}{options}"
            if heat:
                options += f",heat={directory}/heat"
            done = subprocess.run(
                bare(steps, options, **more), stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=300)
            self.stderr = done.stderr
            if done.returncode != 1:    # isa-debug-exit turns 0 into this status
                raise env.Error(f"status {done.returncode}, not 1:\n"
                                f"{done.stdout}{done.stderr}")
            self.text = pathlib.Path(out).read_text()
            self.series_text = pathlib.Path(series).read_text()
            self.heat = heat and [
                (ns, {gfn: tuple(lines) for gfn, *lines in frames})
                for ns, frames in heatfile.periods(
                    pathlib.Path(f"{directory}/heat").read_bytes())]
        self.out = json.loads(self.text)
        self.samples = [json.loads(x) for x in self.series_text.splitlines()]
        self.ns = [int(x.split()[1]) for x in done.stdout.splitlines()]
        marks = [s for s in self.samples if s["event"] == "mark"]
        self.deltas, self.begin, self.end = {}, {}, {}
        for i, one in enumerate(steps):
            if one[0] in MEASURED:
                self.begin[i], self.end[i], *marks = marks
                self.deltas[i] = difference(self.begin[i], self.end[i])
        assert not marks, "marks that belong to no step"


def difference(first, last):
    """last - first, in every counter."""
    return {k: difference(first[k], v) if isinstance(v, dict) else v - first[k]
            for k, v in last.items() if not isinstance(v, str) and k in first}


def check(what, found, expected, tolerance=0):
    """Print both figures; fail if they differ by more than the fraction tolerance of
    the expected one."""
    text = f"{what}: {found:g}, expected {expected:g}"
    if abs(found - expected) > tolerance * expected:
        raise AssertionError(text)
    print(text)


def run_tests(space):
    """Run all test_*() of a module, in order.  Exits with 1 if any has failed, else 0."""
    failed = 0
    for name, test in list(space.items()):
        if name.startswith("test_"):
            print(f"# {name}", flush=True)
            try:
                test()
            except (AssertionError, env.Error, qmp.Error,
                    subprocess.SubprocessError, OSError, ValueError, KeyError):
                traceback.print_exc()
                failed += 1
    sys.stdout.flush()
    os._exit(bool(failed))
