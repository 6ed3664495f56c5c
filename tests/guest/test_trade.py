# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM trades DRAM for NVM at the same cost.  A program uses more memory than the VM has, so the
guest swaps to a disk.  After trades, the VM has more memory for the same price, and the
program runs without the disk."""

import re

from guest import test
from vm import MIB

DRAM, NVM = 192, 96
PRICE = 4
BUDGET = PRICE * DRAM + NVM
# Together with what the guest's kernel uses, this is more than DRAM and NVM.
USED = 240
PAGES = USED * 256
# The machine has more NVM than it may use at first.
MACHINE = {"dram": DRAM, "nvm": 384, "append": "numa_balancing=disable",
           "hmem_props": f"initial=:{NVM}M,minimum=96M:{NVM}M"}
# Looks at a VM that waits for its swap take a window, so windows are short.
POLICY = "auto,window=100"
CONFIG = "[vm *]\ntrade = {}\n"


def swapped_in(vm):
    return int(re.search(r"pswpin (\d+)", vm.run("cat /proc/vmstat")).group(1))


def rounds(program):
    """How often the program has used all of its pages."""
    return len(re.findall(r"^round ", program.output, re.M))


class Run:
    """What a program does in some rounds: the pages that it reads from swap for each that
    it uses."""

    def __init__(self, vm, program, number):
        first, begin = rounds(program), swapped_in(vm)
        with vm.changed:
            vm.wait(lambda: rounds(program) >= first + number or
                    program.status is not None, 600, f"{number} rounds")
        self.read = swapped_in(vm) - begin
        self.used = (rounds(program) - first) * PAGES
        assert program.status is None, program.output


class Trades:
    def __init__(self, daemon):
        self.daemon = daemon
        self.last = None

    def get(self):
        got = self.daemon.ctl("trades")
        vm = got["vms"][0]
        new = [vm["state"], got["trades"] and got["trades"][-1]]
        if new != self.last:
            print(vm, new[1], self.daemon.status()["tiers"][0]["size"],
                  self.daemon.status()["paging"])
        self.last = new
        return got

    def sizes(self):
        return [t["size"]["actual_bytes"] / MIB for t in self.daemon.status()["tiers"]]

    def cost(self):
        """The VM never costs more than its budget."""
        sizes = self.sizes()
        assert PRICE * sizes[0] + sizes[1] <= BUDGET, sizes
        return sizes

    def at_rest(self):
        """Has the effect of a trade been measured, and is no trade under way?"""
        got = self.get()
        self.cost()
        return [t for t in got["trades"] if t["state"] == "kept"] and \
            got["vms"][0]["state"] in ("no-trade", "patient", "holds-off")


@test(kernels=("6.12",), timeout=1800)
def swapping_ends(rig):
    rig.daemon.stop()
    config = rig.dir / "hmemd.conf"
    config.write_text(CONFIG.format("no"))
    rig.daemon.start("--config", config, "--prices", f"{PRICE}:1", "--policy", POLICY)
    vm = rig.boot(**MACHINE, disks=[rig.disk("swap", 256)])
    vm.run("mkswap /dev/vda && swapon /dev/vda")
    trades = Trades(rig.daemon)
    rig.daemon.wait(lambda: trades.sizes()[1] == NVM, "the VM to have its first size")
    program = vm.spawn(f"keep {USED} /run/stop 20")
    program.wait_for("filled")
    rig.daemon.wait(lambda: trades.get()["vms"][0]["state"] == "dry-run",
                    "hmemd to say that a trade would pay", timeout=600)
    before = Run(vm, program, 1)
    # Nothing has changed until hmemd may trade.
    assert trades.cost() == [DRAM, NVM] and not trades.get()["trades"]
    config.write_text(CONFIG.format("yes"))
    rig.daemon.ctl("reload")
    print(f"before: {before.read} pages read from swap, {before.used} used")
    while True:
        run = Run(vm, program, 2)
        trades.cost()
        # Other programs may read a few pages of theirs.
        if run.read < run.used / 1000 and trades.at_rest():
            break
    after = Run(vm, program, 20)
    print(f"after: {after.read} pages read from swap, {after.used} used")
    # Memory that is left over can be traded back meanwhile.
    rig.daemon.wait(trades.at_rest, "trades to end", timeout=600)
    ledger = trades.get()["trades"]
    sizes = trades.cost()
    vm.run("touch /run/stop")
    assert "all " in program.wait()

    assert sum(sizes) > DRAM + NVM and sizes[0] < DRAM, sizes
    assert PRICE * sizes[0] + sizes[1] > BUDGET - 1, sizes
    # The ledger adds up to the sizes, without trades that were undone.
    for tier, first in enumerate((DRAM, NVM)):
        assert ledger[0]["before_bytes"][tier] == first * MIB
    for trade in ledger:
        given, taken = trade["given_bytes"], trade["taken_bytes"]
        assert (PRICE if not trade["from_tier"] else 1) * given >= \
            (PRICE if not trade["to_tier"] else 1) * taken, trade
    kept = [t for t in ledger if t["state"] == "kept"]
    assert all(t["measured_ns_per_s"] is not None for t in kept), kept
    assert kept[-1]["after_bytes"] == [s * MIB for s in sizes], (kept, sizes)
    # For each page that it reads from swap, the program uses far more pages.  How many pages it
    # read before depends on when the dry run ended.
    assert before.read > PAGES / 100, before.read
    assert after.read * before.used < before.read * after.used / 30
    assert "Out of memory" not in vm.run("dmesg")
