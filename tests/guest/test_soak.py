# SPDX-License-Identifier: GPL-2.0-or-later
"""Two real machines and hmemd, each of which is killed at random points, also in the middle of a
live migration.  Programs in the guests find their data as it was, and after each fault hmemd
serves both machines, and has no more files open, nor more shared memory mapped, than before.  In
the end hmemd is stopped, and LeakSanitizer looks at it.

HMEM_CYCLES is the number of faults (10), HMEM_SEED makes the same choices again.  A machine is
started from a saved one, so a fault takes seconds."""

import os
import pathlib
import random
import time

from guest import test

POLICY = ("--policy", "auto,window=200")
MACHINE = {"dram": 96, "nvm": 96, "append": "numa_balancing=disable"}
START, END = 0x1000000, 0x1400000       # addresses of pages that are moved by hand
SLOW = 8 << 20


class World:
    def __init__(self, rig, rnd):
        self.rig, self.rnd = rig, rnd
        self.image = f"file:{rig.dir}/machine.img"
        first = rig.boot(**MACHINE)
        first.run("rm -f /run/stop; keep 16 /run/stop 20 > /run/kept 2>&1 &")
        first.run("while ! grep -q filled /run/kept; do sleep 0.1; done")
        first.migrate(self.image, max_bandwidth=1 << 40)
        first.wait_migration("completed")
        first.kill()
        self.original = first
        self.machines = [self.another() for _ in range(2)]
        self.ended = 0
        self.serves_all()
        self.held = self.holds()

    def another(self):
        machine = self.rig.twin(self.original, self.image)
        machine.take_over(self.original)
        return machine

    def holds(self):
        """hmemd's open files, and its mappings of memory that it shares with machines."""
        process = pathlib.Path(f"/proc/{self.rig.daemon.process.pid}")
        return (len(os.listdir(process / "fd")),
                (process / "maps").read_text("utf-8", "replace").count("/memfd:"))

    def holds_no_more(self):
        """hmemd holds no more than ever before when both machines were served."""
        now = self.holds()
        no_more = all(n <= h for n, h in zip(now, self.held))
        # There was one file too many if hmemd had not noticed yet that hmemctl has ended.
        self.held = tuple(map(min, now, self.held))
        return no_more

    def serves_all(self):
        daemon = self.rig.daemon
        for machine in self.machines:
            daemon.wait_ready(machine.name)
            daemon.wait(lambda n=machine.name: not daemon.vms()[n]["migrating"],
                        "migration to be over")
            reasons = daemon.migrate_range(START, END, self.rnd.randrange(2), machine.name)
            assert sum(reasons.values()) == (END - START) >> 12, reasons
        daemon.wait(lambda: len(daemon.vms()) == len(self.machines),
                    "machines that have ended to be gone")

    def move_all(self):
        """Moves of all pages are under way."""
        for machine in self.machines:
            self.rig.daemon.ctl("-d", machine.name, "migrate", "--all", "--to",
                                self.rnd.randrange(2), ok=(0, 1, 3))

    def some_time(self):
        time.sleep(self.rnd.random() * 0.5)

    def end(self, machine):
        """The guest's program has found all its data; forget the machine's logs."""
        machine.run("touch /run/stop; while pidof keep >/dev/null; do sleep 0.1; done")
        assert "all " in machine.run("cat /run/kept")
        machine.kill()
        self.ended += 1

    # Faults

    def hmemd_killed(self):
        self.rig.daemon.kill()
        self.some_time()
        self.rig.daemon.start(*POLICY)

    def qemu_killed(self):
        i = self.rnd.randrange(2)
        self.machines[i].kill()
        self.machines[i] = self.another()

    def both_killed(self):
        order = [self.rig.daemon.kill, self.machines[self.rnd.randrange(2)].kill]
        self.rnd.shuffle(order)
        for kill in order:
            kill()
        self.rig.daemon.start(*POLICY)
        self.machines = [m if m.process.poll() is None else self.another()
                         for m in self.machines]

    def killed_while_migrating(self):
        """The source or the target is killed; the machine goes on, or is started anew."""
        i = self.rnd.randrange(2)
        source = self.machines[i]
        uri = f"unix:{self.rig.dir}/migration"
        target = self.rig.twin(source, uri)
        source.migrate(uri, max_bandwidth=SLOW)
        self.some_time()
        if self.rnd.randrange(2):
            target.kill()
            source.wait_migration("failed", "completed")
            if source.qmp("query-migrate")["status"] == "failed":
                source.qmp("cont")
                return
        source.kill()
        target.killed = True    # it ends by itself if its state is not complete
        target.kill()
        self.machines[i] = self.another()

    def replaced(self):
        """A machine ends in peace."""
        i = self.rnd.randrange(2)
        self.end(self.machines[i])
        self.machines[i] = self.another()

    FAULTS = hmemd_killed, qemu_killed, both_killed, killed_while_migrating, replaced


@test(kernels=("6.12",), timeout=900)
def kills(rig):
    seed = int(os.environ.get("HMEM_SEED") or random.randrange(1 << 32))
    cycles = int(os.environ.get("HMEM_CYCLES") or 10)
    print(f"SEED={seed} CYCLES={cycles} makes the same choices", flush=True)
    rnd = random.Random(seed)
    rig.daemon.stop()
    rig.daemon.start(*POLICY)
    world = World(rig, rnd)
    counts = {}
    for cycle in range(cycles):
        fault = World.FAULTS[cycle % len(World.FAULTS)]
        print(f"cycle {cycle}: {fault.__name__}", flush=True)
        if rnd.randrange(2):
            world.move_all()
        world.some_time()
        fault(world)
        world.serves_all()
        rig.daemon.wait(world.holds_no_more, f"hmemd to hold no more than {world.held} files "
                        "and mappings")
        counts[fault.__name__] = counts.get(fault.__name__, 0) + 1
    for machine in world.machines:
        world.end(machine)
    print(f"{cycles} faults {counts}, {world.ended} programs found all their data")
