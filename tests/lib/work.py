# SPDX-License-Identifier: GPL-2.0-or-later
"""Background work in a guest while a test checks something else."""

import threading
import time

from vm import VMError

STOP = "/run/stop"
HOT = "anon 16 {} calm"


class Work:
    """A program in the guest that writes 16 MiB all the time, and a thread that moves
    all of the guest's memory back and forth by hand."""

    def __init__(self, rig, vm, output=None):
        self.daemon, self.vm = rig.daemon, vm
        self.done = threading.Event()
        self.jobs = self.failed = 0
        vm.run(f"rm -f {STOP}")
        program = HOT.format(STOP)
        if output:
            program = f"({program}; echo anon: $?) > {output} 2>&1"
        self.program = vm.spawn(program)
        if not output:
            self.program.wait_for("start")
        self.thread = threading.Thread(target=self.move, daemon=True)
        self.thread.start()

    def move(self):
        tier = 1
        while not self.done.is_set():
            try:
                self.daemon.migrate_all(tier, self.vm.name)
                self.jobs += 1
                tier = 1 - tier
            except (VMError, OSError, ValueError, KeyError, TypeError):
                # There is no hmemd, no VM or no driver now: try again.
                self.failed += 1
                time.sleep(0.05)

    def follow(self, vm, daemon=None):
        """The guest now runs in that machine."""
        self.vm, self.daemon = vm, daemon or self.daemon

    def wait_jobs(self, more=2):
        """Wait until more further jobs have succeeded."""
        want = self.jobs + more
        end = time.monotonic() + self.vm.timeout
        while self.jobs < want:
            assert self.program.status is None, self.program.output
            assert time.monotonic() < end, "no moves any more\n" + \
                self.daemon.tail()
            time.sleep(0.05)

    def finish(self):
        self.done.set()
        self.thread.join(self.vm.timeout)
        self.vm.run(f"touch {STOP}")
        print(self.program.wait())


def moved(vm):
    return vm.info()["stats"]["frames-by-reason"]["moved"]
