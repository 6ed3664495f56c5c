# SPDX-License-Identifier: GPL-2.0-or-later
"""
The guest, the device's accessed bits and hmemd run in lockstep: the pages that each
window finds depend on guest time only, and repeat exactly.
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from machine import NVM, bare, check, run_tests, step

import daemon
import qmp

FRAMES = 32
# The guest reads the same frames in random order for many windows of 2 ms, then
# writes them for a few windows.
STEPS = ([step("f", NVM, FRAMES * 64), step("c", NVM, 0x2800000)] +
         40 * [step("w", NVM, FRAMES * 64)])
# The length of a window; the device's shortest one for this machine is shorter.
MS = 2
WINDOW = re.compile(r"vm '(\w+)': window to (\d+) us: (\d+) accessed, (\d+) written, "
                    r"(\d+) rearmed")
PATIENCE = 120


def retry(function, what):
    """Call function until it returns a true value."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            if function():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


def launch(path, hmemd, name):
    """Start a stopped machine of that name; return its process and its monitor."""
    command = bare(STEPS, f"out={path}/{name},llc=256K,ways=4")
    command += ["-name", name, "-S", "-qmp", f"unix:{path}/{name}.qmp,server=on,wait=off",
                "-chardev", f"socket,id=hm,path={hmemd.vm_socket}",
                "-device", "virtio-hmem-pci,id=hmem0,chardev=hm"]
    qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        monitor = qmp.Monitor(path / f"{name}.qmp", qemu, PATIENCE)
        retry(lambda: monitor.run("query-virtio-hmem")[0]["tracker"] == "sim",
              "tracking to begin")
    except BaseException:
        qemu.kill()
        raise
    return qemu, monitor


def wait(qemu, slow):
    """Wait for QEMU's end, and stop the process slow, if any, again and again."""
    for _ in range(PATIENCE * 10):
        try:
            qemu.wait(0.05 if slow else PATIENCE)
            return
        except subprocess.TimeoutExpired:
            assert slow
            slow.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            slow.send_signal(signal.SIGCONT)
    raise AssertionError("QEMU does not end")


def run(policy, slow=None, names=("vm",)):
    """The windows of a run, as (VM, us, accessed, written, rearmed), and the
    simulator's counters of the first machine.  slow: "hmemd" or the name of a
    machine whose process is stopped again and again."""
    with tempfile.TemporaryDirectory(prefix="hmem-") as directory:
        path = pathlib.Path(directory)
        hmemd = daemon.Daemon(path, sanitize=False)
        hmemd.start("-v", f"--lockstep={len(names)}", "-p", f"observe,window={MS},{policy}")
        machines = {}
        try:
            for name in names:
                machines[name] = launch(path, hmemd, name)
            for _, monitor in machines.values():
                monitor.run("cont")
            slow = hmemd.process if slow == "hmemd" else slow and machines[slow][0]
            for qemu, _ in machines.values():
                wait(qemu, slow)
        finally:
            for qemu, _ in machines.values():
                qemu.kill()
                qemu.wait()
            hmemd.stop()
        windows = [(m[0], *map(int, m[1:]))
                   for m in WINDOW.findall(hmemd.log.read_text())]
        tracking = json.loads((path / names[0]).read_text())["total"]["tracking"]
    return windows, tracking


def test_windows_repeat():
    first, tracking = run("levels=0")
    # A window ends at its time, or at the end of the block of instructions then.
    assert len(first) > 20, first
    for i, (_, us, *_) in enumerate(first, 1):
        assert i * MS * 1000 <= us < i * MS * 1000 + 100, (i, us)
    again, tracking_again = run("levels=0", slow="hmemd")
    check("windows", len(again), len(first))
    for one, two in zip(first, again):
        assert one == two, (one, two)
    # The guest spins until QEMU has ended, which adds some stall.
    check("stall of tracking", tracking_again["stall_ns"], tracking["stall_ns"],
          0.01)


def test_what_is_found():
    windows, tracking = run("levels=0")
    reads = [w for w in windows if w[2] >= FRAMES > w[3]]
    writes = [w for w in windows if w[3] >= FRAMES]
    assert len(reads) > 20 and len(writes) > 3, windows
    for _, _, accessed, written, rearmed in reads[1:-1]:
        # These are the frames of the steps, and some of the guest's own.
        assert FRAMES <= accessed < FRAMES + 8 and written < 8, windows
    for _, _, accessed, written, rearmed in windows:
        # Without a queue hmemd rearms all accessed frames.
        assert rearmed == accessed >= written, windows
    check("rearmed in all", tracking["rearmed"],
          sum(w[4] for w in windows), 0.02)


def test_queue_saves():
    plain, tracking_plain = run("levels=0")
    queue, tracking = run("levels=7")
    check("windows", len(queue), len(plain), 0.1)
    rearmed = sum(w[4] for w in queue), sum(w[4] for w in plain)
    print("rearmed: {}, without {}".format(*rearmed))
    assert rearmed[0] * 2 < rearmed[1]
    assert tracking["stall_ns"] * 2 < tracking_plain["stall_ns"], tracking
    # With the queue, frames count as accessed that are not rearmed in each window.
    reads = [w for w in queue if w[2] >= FRAMES > w[3]]
    for _, _, accessed, *_ in reads[5:-1]:
        assert FRAMES <= accessed < 2 * FRAMES, queue


def test_machines_wait_for_each_other():
    """One of two machines is stopped again and again: a machine begins its next window
    only after both have ended the last one, and finds the same pages as if alone."""
    names = ["left", "right"]
    alone, _ = run("levels=0")
    both, _ = run("levels=0", slow="left", names=names)
    count = min(sum(w[0] == name for w in both) for name in names)
    check("windows that both have", count, len(alone), 0.1)
    assert [w[0] for w in both[:2 * count]] == names * count, both
    for name in names:
        for one, two in zip(alone, [w for w in both if w[0] == name]):
            assert one[1:] == two[1:], (one, two)


sys.stdout.reconfigure(line_buffering=True)
run_tests(globals())
