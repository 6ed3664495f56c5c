# SPDX-License-Identifier: GPL-2.0-or-later
"""For tests that change the size of a tier: its state, and a program in the guest whose data must
not be lost meanwhile."""

import os

from vm import MIB

STOP = "/run/stop"


def size(rig, vm, tier=1):
    return rig.daemon.status(vm.name)["tiers"][tier]["size"]


def settle(rig, vm, mib):
    rig.daemon.wait(lambda: size(rig, vm)["actual_bytes"] == mib * MIB,
                    f"tier 1 to have {mib} MiB", timeout=200)


def host_bytes(vm, mib):
    """Bytes of the host's memory that the backend of so many MiB uses."""
    directory = f"/proc/{vm.process.pid}/fd"
    found = [os.stat(f"{directory}/{fd}") for fd in os.listdir(directory)
             if "memory-backend-memfd" in os.readlink(f"{directory}/{fd}")]
    return next(s.st_blocks * 512 for s in found if s.st_size == mib * MIB)


def keep(vm, mib):
    """Begin to keep data in so much memory."""
    program = vm.spawn(f"rm -f {STOP}; keep {mib} {STOP} 20")
    program.wait_for("filled")
    return program


def finish(vm, program):
    """The program has found all of its data, and no process was killed."""
    vm.run(f"touch {STOP}")
    assert "all " in program.wait()
    assert "Out of memory" not in vm.run("dmesg")
