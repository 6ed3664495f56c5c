# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiers change their sizes at random while programs run.  In between, the guest reboots, sleeps, or
moves to another QEMU, its driver is unloaded, hmemd is killed, and memory is plugged and unplugged.
No program loses data or is killed, and all sizes add up to the page.

HMEM_CYCLES is the number of resizes (120), HMEM_SEED makes the same choices again."""

import os
import random
import re
import time

from guest import test
from vm import MIB

STOP = "/run/stop"
KEPT = "/run/kept"
# The least and the most MiB of each tier.  The guest can follow some requests only in part.
TIERS = ((104, 160), (96, 192))
# What can be plugged into node 1, in steps of this size: one block of the guest's memory.
PLUGGED, BLOCK = 256, 128
MACHINE = {
    "dram": TIERS[0][1], "nvm": TIERS[1][1],
    "append": "numa_balancing=disable memhp_default_state=online_movable mem_sleep_default=deep",
    "args": ("-m", f"maxmem={2048 + PLUGGED}M", "-object",
             f"memory-backend-memfd,id=more,size={PLUGGED}M,share=on",
             "-device", "virtio-mem-pci,id=more0,memdev=more,node=1"),
}
# A fault after so many resizes, but no more than FAULTS in all, which take most of the time; and a
# look at all sizes after so many resizes.
FAULT, FAULTS, LOOK = 20, 120, 10
# Each so many resizes, the guest gets time to follow: until it has not changed any size for so many
# seconds, although it has told why.
WAITED, STILL = 4, 0.2
PATIENCE = 300


class World:
    """A machine whose tiers are resized.

    bare    bytes of each node that the guest's kernel would have if it had given up nothing
    """

    def __init__(self, rig, rnd):
        self.rig, self.rnd = rig, rnd
        self.vm = rig.boot(**MACHINE)
        self.plugged = 0
        self.reached = self.partly = 0
        self.wrong = self.user = None
        self.begin()

    # The guest

    def begin(self):
        """The guest has booted: measure its nodes, and start the program that checks its data."""
        self.vm.run(f"modprobe virtio_mem; rm -f {STOP}; keep 24 {STOP} 20 > {KEPT} 2>&1 &")
        self.vm.run(f"while ! grep -q filled {KEPT}; do sleep 0.1; done")
        for tier, (_, full) in enumerate(TIERS):
            self.resize(tier, full << 8)
        self.settle(complete=True)
        self.bare = self.totals()

    def end(self):
        """The program has found all its data, and nothing was killed."""
        self.used()
        self.vm.run(f"touch {STOP}; while pidof keep >/dev/null; do sleep 0.1; done")
        assert "all " in self.vm.run(f"cat {KEPT}"), self.vm.run(f"tail -3 {KEPT}")
        assert "Out of memory" not in self.vm.run("dmesg")

    def use(self):
        """The guest uses much of its memory for a moment, while its sizes change."""
        self.used()
        mib = self.rnd.randrange(8, 32)
        self.user = self.vm.spawn(
            f"dd if=/dev/zero of=/tmp/f bs=1M count={mib} 2>/dev/null; rm /tmp/f")

    def used(self):
        """Wait until the guest no longer uses the memory."""
        if self.user:
            self.user.wait()
        self.user = None

    def totals(self):
        text = self.vm.run("cat /sys/devices/system/node/node[01]/meminfo")
        return [int(kib) << 10 for kib in re.findall(r"MemTotal: +(\d+) kB", text)]

    # Sizes

    def sizes(self):
        tiers = self.rig.daemon.status(self.vm.name)["tiers"]
        return [tier["size"] for tier in tiers[:len(TIERS)]]

    def resize(self, tier, frames):
        self.rig.daemon.ctl("-d", self.vm.name, "resize", "--tier", tier, "--size", frames << 12)

    def settle(self, complete=False):
        """The guest has done what it can; with complete, all that was requested."""
        self.rig.daemon.wait(
            lambda: all(not s["pending_bytes"] or (s["why"] and not complete)
                        for s in self.sizes()), "the sizes", timeout=PATIENCE)

    def host_bytes(self):
        """Bytes of the host's memory that the backend of each tier uses."""
        directory = f"/proc/{self.vm.process.pid}/fd"
        found = [os.stat(f"{directory}/{fd}") for fd in os.listdir(directory)
                 if "memory-backend-memfd" in os.readlink(f"{directory}/{fd}")]
        used = {s.st_size // MIB: s.st_blocks * 512 for s in found}
        return [used[full] for _, full in TIERS]

    def add_up(self):
        """Do the guest's kernel, the device and the host agree about all sizes?"""
        before = self.sizes()
        totals, host = self.totals(), self.host_bytes()
        sizes = self.sizes()
        if [s["actual_bytes"] for s in before] != [s["actual_bytes"] for s in sizes]:
            return False        # the guest is still changing sizes
        for (_, full), size, total, bare, used in zip(TIERS, sizes, totals, self.bare, host):
            given = (full << 20) - size["actual_bytes"]
            if total != bare - given or used > size["actual_bytes"]:
                self.wrong = (sizes, totals, self.bare, host)
                return False
        return True

    def look(self):
        self.used()
        self.settle()
        self.wrong = None
        try:
            self.rig.daemon.wait(self.add_up, "all sizes to add up", timeout=60)
        except Exception:
            print("sizes, the kernel's totals, those of a whole guest, the host's:", self.wrong)
            raise

    def step(self):
        """A resize.  Most come faster than the guest can follow."""
        tier = self.rnd.randrange(len(TIERS))
        least, full = TIERS[tier]
        self.resize(tier, self.rnd.randrange(least << 8, (full << 8) + 1))
        if self.rnd.randrange(WAITED):
            return
        if self.followed():
            self.reached += 1
        else:
            self.partly += 1

    def followed(self):
        """Wait until the guest has done what it can.  Returns whether that is all."""
        before = None
        end = time.monotonic() + PATIENCE
        while True:
            sizes = self.sizes()
            pending = [s for s in sizes if s["pending_bytes"]]
            if not pending:
                return True
            if sizes == before and all(s["why"] for s in pending):
                return False
            assert time.monotonic() < end, sizes
            before = sizes
            time.sleep(STILL)

    # Faults

    def hmemd_killed(self):
        self.rig.daemon.kill()
        time.sleep(self.rnd.random() / 2)
        self.rig.daemon.start()
        self.rig.daemon.wait_ready(self.vm.name)

    def reboot(self):
        self.end()
        self.vm.reboot()
        self.rig.daemon.wait_ready(self.vm.name)
        self.begin()

    def migration(self):
        uri = f"unix:{self.rig.dir}/migration"
        to = self.rig.twin(self.vm, uri)
        self.vm.migrate(uri, max_bandwidth=1 << 40)
        to.take_over(self.vm)
        self.vm.wait_migration("completed")
        self.vm.kill()
        self.vm = to
        self.rig.daemon.wait_ready(to.name)

    def plug(self):
        """Plug or unplug memory.  The guest cannot always give plugged memory back."""
        self.look()
        wanted = PLUGGED - self.plugged
        self.vm.qmp("qom-set", path="/machine/peripheral/more0", property="requested-size",
                    value=wanted * MIB)
        end = time.monotonic() + 10
        while self.vm.qom("size", "more0") != wanted * MIB and time.monotonic() < end:
            time.sleep(0.1)
        now = self.vm.qom("size", "more0")
        self.vm.qmp("qom-set", path="/machine/peripheral/more0", property="requested-size",
                    value=now)
        self.bare[1] += now - self.plugged * MIB
        self.plugged = now // MIB

    def slept(self):
        """The guest takes all memory back before it sleeps, and gives it up again."""
        self.vm.sleep_and_wake().wait()
        self.rig.daemon.wait_ready(self.vm.name)

    def unloaded(self):
        self.vm.run("rmmod virtio_hmem")
        self.look()
        self.vm.run("modprobe virtio_hmem")
        self.rig.daemon.wait_ready(self.vm.name)

    FAULTS = hmemd_killed, migration, plug, reboot, slept, unloaded


@test(kernels=("6.12",), timeout=900)
def random_sizes(rig):
    seed = int(os.environ.get("HMEM_SEED") or random.randrange(1 << 32))
    cycles = int(os.environ.get("HMEM_CYCLES") or 120)
    print(f"SEED={seed} CYCLES={cycles} makes the same choices", flush=True)
    world = World(rig, random.Random(seed))
    counts = {}
    fault_after = max(FAULT, cycles // FAULTS)
    for cycle in range(1, cycles + 1):
        world.step()
        if not world.rnd.randrange(5):
            world.use()
        if not cycle % LOOK:
            world.look()
        if not cycle % fault_after:
            world.used()
            fault = World.FAULTS[cycle // fault_after % len(World.FAULTS)]
            print(f"cycle {cycle}: {fault.__name__}", flush=True)
            fault(world)
            counts[fault.__name__] = counts.get(fault.__name__, 0) + 1
    world.look()
    world.end()
    print(f"{cycles} resizes: {world.reached} reached, {world.partly} in part, the others were "
          f"too fast; {counts}")
