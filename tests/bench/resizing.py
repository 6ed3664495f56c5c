# SPDX-License-Identifier: GPL-2.0-or-later
"""
The case resize of the benchmark of capacity: how many instructions a guest executes to give up
a page of a tier and to take it back, compared with virtio-balloon in the same guest.
"""

import contextlib
import shutil
import statistics

import guest
import vm

NAME = "resize"
ABOUT = ("the guest's instructions for each page that it gives up and takes back, in base pages "
         "and in whole huge pages, and for each page of virtio-balloon")
# The name of a configuration, and the kernel's argument.
CONFIGS = {
    "uncleared": ("the kernel does not clear pages that it allocates", "init_on_alloc=0"),
    "cleared": ("the kernel clears pages that it allocates: Debian's default",
                "init_on_alloc=1"),
}
UNIT = "instructions"
DRAM, NVM = 256, 512
# The driver gives up base pages if a request is for less than a huge page.
STEP, STEPS = 255, 32
HUGE_FRAMES = 256 << 8
# The kernel's workers do other work as well, so the median of some measurements counts.
REPEATS = 3
# What the guest's clock counts are instructions.  While the guest is idle, its clock follows the
# host's: otherwise it would pass over hours in which other work of the kernel is due.
ICOUNT = ("-icount", "shift=0,sleep=on")


@contextlib.contextmanager
def new_rig(kernel):
    """A test rig whose machines are checked and removed at the end."""
    directory = guest.short_directory()
    rig = guest.Rig(kernel, directory)
    try:
        yield rig
        rig.finish()
    finally:
        for one in rig.vms:
            one.kill()
        shutil.rmtree(directory, ignore_errors=True)


def workers_ns(one):
    """Processor time in ns of the kernel's workers: the balloon uses one that others share."""
    out = one.run("cd /proc; for p in $(grep -l '^kworker' [0-9]*/comm); do "
                  "cat ${p%comm}schedstat; done")
    return sum(int(line.split()[0]) for line in out.splitlines())


class Resizing:
    """A guest whose driver, or whose balloon, takes pages away and gives them back."""

    def __init__(self, rig, append):
        self.daemon = rig.daemon
        self.vm = rig.boot(dram=DRAM, nvm=NVM, cpus=1, append=f"numa_balancing=disable {append}",
                           args=("-cpu", vm.CPU_SLOW_STRINGS, *ICOUNT,
                                 "-device", "virtio-balloon-pci,id=balloon0"))
        self.vm.run("modprobe virtio_balloon")

    def tier(self, frames):
        """The driver has given up so many frames of NVM."""
        size = (NVM << 20) - (frames << 12)
        self.daemon.ctl("resize", "--tier", 1, "--size", size)
        self.daemon.wait(lambda: self.daemon.status()["tiers"][1]["size"]["actual_bytes"] == size,
                         "the tier's size")

    def balloon(self, frames):
        """The balloon has so many frames."""
        value = ((DRAM + NVM) << 20) - (frames << 12)
        self.vm.qmp("balloon", value=value)
        self.daemon.wait(lambda: self.vm.qmp("query-balloon")["actual"] == value,
                         "the balloon's size")

    def cost(self, to, sizes):
        """Instructions per frame to go through these sizes in frames, and back to 0."""
        taken = []
        for course in (sizes, [0]):
            before = workers_ns(self.vm)
            for frames in course:
                to(frames)
            taken.append((workers_ns(self.vm) - before) / sizes[-1])
        return taken

    def median_cost(self, to, sizes):
        costs = [self.cost(to, sizes) for _ in range(REPEATS)]
        return [statistics.median(c) for c in zip(*costs)]


def measure(kernel, append):
    """{who: (instructions per frame given up, taken back)}"""
    steps = [STEP * (i + 1) for i in range(STEPS)]
    with new_rig(kernel) as rig:
        resizing = Resizing(rig, append)
        before = resizing.vm.counter("resize_huge")
        base = resizing.median_cost(resizing.tier, steps)
        assert resizing.vm.counter("resize_huge") == before, "huge pages were given up"
        huge = resizing.median_cost(resizing.tier, [HUGE_FRAMES])
        return {"balloon": resizing.median_cost(resizing.balloon, [STEP * STEPS]),
                "base": base, "huge": huge}


def rows(kernel, config):
    """The results of a configuration."""
    _, append = CONFIGS[config]
    found = measure(kernel, append)
    return [{"workload": NAME, "config": config, "vm": who, "unit": UNIT,
             "given_up_per_page": given, "taken_back_per_page": taken,
             "ratio_given_up": given / found["balloon"][0],
             "ratio_taken_back": taken / found["balloon"][1]}
            for who, (given, taken) in found.items()]
