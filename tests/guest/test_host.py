# SPDX-License-Identifier: GPL-2.0-or-later
"""Trackers of the host's kernel, which hmemd reads.  Here the guest is the host: it runs
hmemd, and a process that plays QEMU, half of whose memory is hot."""

import json
import os
import random
import re
import time

from guest import test
from vm import VMError

NO_DEVICE = {"hmem": None, "module": False}
SOCKET, CONTROL = "/run/vm.sock", "/run/control.sock"
# Of an hmemd without privileges, and the directory for what it makes.
USER, HOME = 1000, "/run/hmemd"
TRACKERS, NOTES = "/run/trackers.sock", "/run/hmemd-trackers"
STOP = "/run/stop"
WINDOW_MS = 500
DAMON = "/sys/kernel/mm/damon/admin/kdamonds"
# The kernel's own use of DAMON excludes all others.
DAMON_STAT = "/sys/module/damon_stat/parameters/enabled"
NO_IDLE = "CONFIG_IDLE_PAGE_TRACKING"
NO_DAMON = "CONFIG_DAMON_SYSFS"
# Bars: idle page tracking knows each page, DAMON guesses where a region ends.
IDLE, REGIONS = 0.95, 0.8


class Host:
    """A guest with hmemd in it."""

    def __init__(self, rig, **options):
        self.vm = rig.boot(ready=False, overlay=rig.host_overlay(),
                           **{**NO_DEVICE, **options})
        self.socket, self.control = SOCKET, CONTROL
        self.start()

    def start(self):
        self.hmemd = self.vm.spawn(
            f"hmemd -v --policy off --vm-socket {self.socket} --socket {self.control}")
        self.hmemd.wait_for("ready")

    def replace_by_user(self, policy="off"):
        """Start hmemd as a user who has no privileges, in place of root."""
        self.stop()
        self.vm.run(f"echo 'user:x:{USER}:{USER}::/:/bin/sh' >/etc/passwd")
        self.vm.run(f"mkdir {HOME} && chown {USER} {HOME}")
        self.socket, self.control = f"{HOME}/vm.sock", f"{HOME}/control.sock"
        self.start_as_user(policy)
        users = self.vm.run("stat -c %u $(pidof hmemd | sed 's,[0-9][0-9]*,/proc/&,g')")
        assert set(users.split()) == {str(USER)}, users

    def start_as_user(self, policy):
        self.hmemd = self.vm.spawn(
            f"start-stop-daemon -S -c {USER}:{USER} -x /bin/hmemd -- -v --policy {policy} "
            f"--vm-socket {self.socket} --socket {self.control} --trackers-socket {TRACKERS}")
        self.hmemd.wait_for("ready")
        return self.hmemd

    def start_trackers(self):
        self.vm.run(f"mkdir -p {NOTES}")
        trackers = self.vm.spawn(f"RUNTIME_DIRECTORY={NOTES} hmemd-trackers --socket {TRACKERS} "
                                 f"--vm-socket {self.socket}")
        trackers.wait_for("ready")
        self.vm.run(f"chown {USER} {TRACKERS}")
        return trackers

    def tracker(self):
        """The better one that hmemd-trackers has in this kernel, and its bar."""
        self.damon_alone()
        if self.vm.status("[ -e /sys/kernel/mm/page_idle ]"):
            return "damon", REGIONS
        return "idle", IDLE

    def stop(self):
        self.vm.run("kill $(pidof hmemd)")
        self.hmemd.wait()

    def wait(self, condition, what):
        end = time.monotonic() + self.vm.timeout
        while not condition():
            if time.monotonic() > end:
                raise VMError(f"waited {self.vm.timeout} s for {what}:\n"
                              f"{self.hmemd.output[-4000:]}")
            time.sleep(0.1)

    def ctl(self, *args, check=True):
        return self.vm.run(" ".join(["hmemctl", "-s", self.control, *args, "2>&1"]),
                           check=check)

    def policy(self, *settings, check=True):
        return self.ctl("policy", "vmm", "set", *settings, check=check)

    def run(self, mib, block, windows=0, how=""):
        """Start the process that plays QEMU.  If windows is not 0, the process prints after
        so many windows which pages were found."""
        self.vm.run(f"rm -f {STOP}")
        program = self.vm.spawn(
            f"vmm {self.socket} {mib} {block} {windows} {STOP} {how}")
        program.wait_for("ready")
        return program

    def end(self, program):
        self.vm.run(f"touch {STOP}")
        program.wait()

    def accuracy(self, track, mib, block, windows, how=""):
        """Precision and recall of the pages found hot in tier 1, while the process
        keeps running."""
        program = self.run(mib, block, windows, how)
        self.policy("name=hmmv", f"track={track}", f"window={WINDOW_MS}", "rate=65536")
        assert f"tracker     {track}" in self.ctl("status", "vmm")
        program.wait_for("end\n")
        print(program.output)
        assert "memory is intact" in program.output
        hot = list(map(int, re.search(r"tier 1: hot (\d+), up (\d+), down (\d+); "
                                      r"cold (\d+), up (\d+), down (\d+)",
                                      program.output).groups()))
        precision = hot[1] / max(hot[1] + hot[4], 1)
        recall = hot[1] / sum(hot[:3])
        print(f"{track} {how}: precision {precision:.4f}, recall {recall:.4f}")
        return program, precision, recall

    def kdamonds(self):
        return int(self.vm.run(f"cat {DAMON}/nr_kdamonds"))

    def kdamonds_gone(self):
        """Wait until DAMON is free: hmemd's last request may take a window."""
        self.vm.run(f"while [ $(cat {DAMON}/nr_kdamonds) != 0 ]; do sleep 0.1; done")

    def damon_alone(self):
        self.vm.run(f"[ ! -e {DAMON_STAT} ] || echo N >{DAMON_STAT}")


@test(kernels=(), debug=True, timeout=600)
def idle(rig):
    """Idle page tracking finds the pages that are used, one by one and in huge
    pages."""
    host = Host(rig)
    for block, how in (1, ""), (512, "thp"):
        program, precision, recall = host.accuracy("idle", 32, block, 12, how)
        assert precision >= IDLE and recall >= IDLE
        host.end(program)
    host.stop()


@test(kernels=("6.12", "7.3"), timeout=600)
def damon(rig):
    """DAMON finds the used regions, and hmemd leaves nothing of it behind.  Not on the
    debug kernel, where hot pages are used more rarely than DAMON samples."""
    host = Host(rig)
    host.damon_alone()
    # DAMON samples by the clock, so on a busy machine it may need another try.
    for _ in range(3):
        program, precision, recall = host.accuracy("damon", 32, 512, 24)
        if precision >= REGIONS and recall >= REGIONS:
            break
        host.end(program)
    assert precision >= REGIONS and recall >= REGIONS
    assert host.kdamonds() > 0
    assert host.vm.run("ps | grep -c '[k]damond'").strip() == "1"

    # DAMON ends with another tracker or none, with the process, and with hmemd.
    host.policy("track=dirty")
    host.kdamonds_gone()
    host.policy("track=damon")
    assert host.kdamonds() > 0
    host.end(program)
    host.kdamonds_gone()
    program = host.run(32, 512)
    host.policy("name=observe", "track=damon", "window=10")
    host.stop()
    assert host.kdamonds() == 0
    assert host.vm.run("ps | grep -c '[k]damond'", check=False).strip() == "0"
    # DAMON ends with hmemd.
    program.wait(check=False)

    # hmemd leaves kdamonds of others alone.
    host.start()
    host.vm.run(f"echo 1 >{DAMON}/nr_kdamonds")
    program = host.run(32, 512)
    said = host.policy("name=observe", "track=damon", check=False)
    assert "DAMON is in use" in said, said
    assert host.kdamonds() == 1
    host.end(program)
    host.stop()


@test(kernels=("6.12",), debug=True, timeout=600)
def without_privileges(rig):
    """An hmemd without privileges tracks with the help of hmemd-trackers, which finds the same:
    with DAMON, or by idle page tracking if the kernel has that."""
    host = Host(rig)
    track, bar = host.tracker()
    host.replace_by_user()
    program = host.run(32, 512)
    said = host.policy("name=hmmv", f"track={track}", check=False)
    assert "systemctl enable --now hmemd-trackers.socket" in said, said
    host.end(program)

    trackers = host.start_trackers()
    for _ in range(3):
        program, precision, recall = host.accuracy(track, 32, 512, 24)
        if precision >= bar and recall >= bar:
            break
        host.end(program)
    assert precision >= bar and recall >= bar
    host.end(program)
    if track == "damon":
        host.kdamonds_gone()
    # It leaves nothing behind when it ends in the midst of tracking either.
    program = host.run(32, 512)
    host.policy("name=observe", f"track={track}")
    host.vm.run("kill $(pidof hmemd-trackers)")
    trackers.wait()
    assert "hmemd-trackers" in host.ctl("status", "vmm")
    if track == "damon":
        assert host.kdamonds() == 0
    host.stop()
    program.wait(check=False)


class Killed:
    """A host on which programs are killed at random points, and started again."""

    def __init__(self, rig, rnd):
        self.host, self.rnd = Host(rig), rnd
        self.track = self.host.tracker()[0]
        policy = f"observe,track={self.track},window=100"
        self.host.replace_by_user(policy)
        self.start = {"hmemd": lambda: self.host.start_as_user(policy),
                      "hmemd-trackers": self.host.start_trackers,
                      "vmm": lambda: self.host.run(8, 64)}
        self.running = {"hmemd": self.host.hmemd}
        for name in "hmemd-trackers", "vmm":
            self.running[name] = self.start[name]()
        self.goes_on()
        self.held = self.holds()
        assert all(self.held), self.held

    def kill(self, *names):
        """Kill these, and wait for them and for what ends with them."""
        time.sleep(self.rnd.random())
        # The process that plays QEMU may end by itself as soon as hmemd is killed.
        self.host.vm.run(f"killall -KILL {' '.join(self.rnd.sample(names, len(names)))}",
                         check=False)
        ended = [n for n in self.running if n in names or (n == "vmm" and "hmemd" in names)]
        for name in ended:
            self.running[name].wait(check=False)
        for name in ended:
            self.running[name] = self.start[name]()

    def accessed(self):
        """How many pages hmemd has found used so far, if the process is connected."""
        try:
            answer = self.host.ctl("-o", "json", "-d", "vmm", "stats")
        except VMError:
            return None
        return json.loads(answer)["counters"]["accessed_pages"]

    def goes_on(self):
        """hmemd is told of used pages, by itself."""
        self.host.wait(lambda: self.accessed() is not None, "the process to be connected")
        before = self.accessed()
        self.host.wait(lambda: self.accessed() > before, "hmemd to find used pages")
        assert f"tracker     {self.track}" in self.host.ctl("status", "vmm")

    def holds(self):
        """The open files, and the mappings of shared memory, of both daemons.  The processes that
        close files for hmemd have names of their own: they share its files, and those of a killed
        hmemd may outlive it for a moment.  A process that has ended meanwhile holds nothing."""
        return [int(n) for n in self.host.vm.run(
            "pids=$(cd /proc; grep -lxE 'hmemd|hmemd-trackers' [0-9]*/comm 2>/dev/null | "
            "sed 's,/comm,,'); for p in $pids; do ls /proc/$p/fd; done 2>/dev/null | wc -l; "
            "for p in $pids; do cat /proc/$p/maps; done 2>/dev/null | grep -c memfd:",
            check=False).split()]

    def holds_no_more(self):
        now = self.holds()
        no_more = all(n <= h for n, h in zip(now, self.held))
        # There was one file too many if hmemd had not noticed yet that hmemctl has ended.
        self.held = list(map(min, now, self.held))
        return no_more

    def end(self):
        """Nothing is left in the kernel, and the daemons end in peace."""
        self.host.end(self.running["vmm"])
        if self.track == "damon":
            self.host.kdamonds_gone()
        self.host.stop()
        self.host.vm.run("kill $(pidof hmemd-trackers)")
        self.running["hmemd-trackers"].wait()


@test(kernels=("6.12",), timeout=600)
def kills(rig):
    """The process that plays QEMU, hmemd and hmemd-trackers are killed, alone and together.
    Tracking goes on by itself when they run again, and they leave nothing behind.  HMEM_CYCLES is
    the number of faults (8), HMEM_SEED makes the same choices again."""
    seed = int(os.environ.get("HMEM_SEED") or random.randrange(1 << 32))
    cycles = int(os.environ.get("HMEM_CYCLES") or 8)
    print(f"HMEM_SEED={seed} HMEM_CYCLES={cycles} makes the same choices", flush=True)
    world = Killed(rig, random.Random(seed))
    faults = (("vmm",), ("hmemd-trackers",), ("hmemd",), ("vmm", "hmemd", "hmemd-trackers"))
    for cycle in range(cycles):
        names = faults[cycle % len(faults)]
        print(f"cycle {cycle}: {names}", flush=True)
        world.kill(*names)
        world.goes_on()
        world.host.wait(world.holds_no_more,
                        f"the daemons to hold no more than {world.held} files and mappings")
    world.end()


@test(check=("7.3",), timeout=600)
def what_is_missing(rig):
    """If the kernel lacks a tracker, the error says what is missing, and nothing
    changes."""
    host = Host(rig)
    program = host.run(32, 512)
    said = host.policy("name=observe", "track=idle", check=False)
    assert NO_IDLE in said, said
    said = host.policy("name=observe", "track=damon", check=False)
    if rig.kernel == "6.1":
        assert NO_DAMON in said, said
    elif rig.kernel == "7.3":
        assert "damon_*/parameters/enabled" in said, said
        assert host.kdamonds() == 0
    assert ("policy off" in host.ctl("status", "vmm")) == (rig.kernel != "6.12")
    host.end(program)
    host.stop()
