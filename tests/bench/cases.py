# SPDX-License-Identifier: GPL-2.0-or-later
"""
The cases of the benchmark of capacity.  To add one, add a Case to CASES.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Guest:
    """
    name        the VM's name
    program     the source is tests/bench/workloads/PROGRAM.c
    options     the program's arguments KEY=VALUE
    dram, nvm   MiB of each tier that the VM has at first
    most        MiB of each tier's node, of which a VM that is resized has a part at first
    least       MiB of DRAM below which the VM is not resized; its kernel's pages are a part
    disk        options of the driver hmem-disk; "": no disk
    prepare     the guest runs tests/bench/guest/PREPARE
    image       tests/env/guest-root IMAGE makes additional files for the guest
    idle        (at, for): the program sleeps once, in seconds of the time that is measured
    """
    name: str
    program: str
    options: dict
    dram: int
    nvm: int
    most: tuple
    least: int
    disk: str = ""
    prepare: str = ""
    image: str = ""
    idle: tuple = ()

    def setup(self, config):
        return config.setup or self.prepare


@dataclasses.dataclass(frozen=True)
class Config:
    """
    name        the name in results
    about       a line for the report
    policy      hmemd's policy; "": neither hmemd nor the device runs
    options     more options of hmemd
    settings    hmemd's configuration file
    setup, place    as in configs.py
    part        of the case's guest time that is measured; less if the speed is always the same
    resizes     VMs have nodes that are larger than what they have at first
    nodes       a function from the guest's MiB of each tier to those of the machine's nodes
    memory_mode     DRAM is a cache of NVM, as large as the DRAM of all VMs
    filled      guest time in seconds at which all VMs of a case have filled their data
    """
    name: str
    about: str
    policy: str = ""
    options: tuple = ()
    settings: str = ""
    setup: str = ""
    place: str = "first-touch"
    part: float = 1
    resizes: bool = False
    nodes: object = staticmethod(lambda dram, nvm: (dram, nvm))
    memory_mode: bool = False
    filled: int = 6

    def memory(self, guest):
        """MiB of the machine's nodes."""
        return guest.most if self.resizes else self.nodes(guest.dram, guest.nvm)

    def props(self, guest):
        """A VM that can be resized begins with the sizes that it has in other configurations."""
        if not self.resizes:
            return ""
        return f"initial={guest.dram}M:{guest.nvm}M,minimum={guest.least}M:{guest.nvm}M"


@dataclasses.dataclass(frozen=True)
class Case:
    """
    name        the name in results
    about       a line for the report
    guests      the VMs, which run at the same time
    configs     the configurations to compare; the first is what others are compared with
    seconds     guest time to measure
    """
    name: str
    about: str
    guests: tuple
    configs: tuple
    seconds: int


# A window is 100 ms, as in configs.py.
AUTO = "auto,window=100"
# Trades are at constant cost, whatever the ratio; four to one is what the guest tests use.
PRICES = ("--prices", "4:1")

TRADE = (
    Config("static", "first touch; the VM swaps", part=0.1),
    Config("hmem-auto", "virtio-hmem places pages; the VM does not trade, so it swaps",
           policy=AUTO, options=PRICES, settings="[vm *]\ntrade = no\n", resizes=True,
           part=0.1),
    Config("hmem-trade", "virtio-hmem places pages, and trades DRAM for NVM at the same cost",
           policy=AUTO, options=PRICES, settings="[vm *]\ntrade = yes\n", resizes=True),
)

# 4 KiB at random, typical, and sequential bandwidth.
# SATA: Intel, SSD DC S4500/S4600 Series Product Specification.
# NVMe: Lenovo, product guide of the Intel P4500 NVMe drives, 1 TB.
DISKS = {
    "sata": "read-ns=110000,write-ns=52000,read-bps=500000000,write-bps=490000000",
    "nvme": "read-ns=85000,write-ns=20000,read-bps=3200000000,write-bps=600000000",
}


def trade_swap(name, options):
    """A working set of 1.5 times DRAM and NVM."""
    dram, nvm = 256, 128
    return Case(
        f"trade-swap-{name}",
        f"random updates of {(dram + nvm) * 3 // 2} MiB, each page as often as the others, in "
        f"a VM with {dram + nvm} MiB that swaps to a {name.upper()} SSD",
        (Guest("vm", "gups", {"mib": (dram + nvm) * 3 // 2, "weight": 0, "interval": 1},
               dram, nvm, most=(dram, 640), least=96, disk=f"size=512M,{options}",
               prepare="swap"),),
        TRADE, seconds=50)


# GB/s of a core in the preset optane; see docs/system/hmem-sim.rst.
BANDWIDTH = {"dram.read": 88.2 / 36, "dram.write": 88.2 / 36, "nvm.read": 21.4 / 36,
             "nvm.write": 21.4 / 36 * 13.9 / 39.4}


def bandwidth(cores):
    """Options of the simulator for the bandwidth of so many cores."""
    return [f"{name}_gbps={gbps * cores:.6g}" for name, gbps in BANDWIDTH.items()]


# Each VM's DRAM: what its kernel uses, 72 MiB, and an equal part of a quarter of all data.
SHARE, NVM = 128, 320
VMS = (
    ("gups", {"mib": 256, "hot": 64}, ""),
    ("graph", {"run": "pagerank", "scale": 19}, ""),
    ("redis", {"keys": 180000, "hot": 36000}, "redis"),
    ("hash", {"items": 1 << 20}, ""),
)
POOL = SHARE * len(VMS)
FOUR = (
    Config("static", "static shares of DRAM; first touch, nothing moves"),
    Config("all-dram", "as much DRAM as DRAM and NVM together",
           nodes=lambda dram, nvm: (dram + nvm, 32)),
    Config("numab1", "static shares; NUMA balancing, mode 1", setup="numab1"),
    Config("numab2", "static shares; NUMA balancing, mode 2 (memory tiering), with demotion by "
           "reclaim", setup="numab2"),
    Config("memory-mode", "the host's DRAM is one cache of the NVM of all VMs; hardware",
           nodes=lambda dram, nvm: (dram, dram + nvm), place="nvm", memory_mode=True,
           filled=20),
    Config("hmem-auto", "static shares; virtio-hmem places the pages of each VM", policy=AUTO),
    Config("hmem-pool", "virtio-hmem places pages, and one pool gives each VM its DRAM",
           policy=AUTO, options=("--pool", f"{POOL}M"), resizes=True),
)

FOUR_VM = Case(
    "four-vm",
    f"four VMs share {POOL} MiB of DRAM, and the bandwidth of DRAM and NVM: random updates, a "
    "graph, redis, and a hash table",
    tuple(Guest(program, program, options, SHARE, NVM,
                most=(2 * SHARE, NVM), least=96, image=image)
          for program, options, image in VMS),
    FOUR, seconds=20)

# Seconds: all VMs work; two VMs sleep, in turn; all VMs work again.
FIRST, SLEEP, LAST = 3, 4, 4
LENDERS = tuple(
    Guest(f"{program}-{copy}", program, options, SHARE, NVM, most=(2 * SHARE, NVM), least=96,
          image=image, idle=(FIRST + SLEEP * (2 * copy + i // 2), SLEEP))
    for copy in range(2) for i, (program, options, image) in enumerate(VMS))
LEND_RETURN = Case(
    "lend-return",
    f"eight VMs, the four of four-vm twice, share {2 * POOL} MiB of DRAM; two of them at a time, "
    f"in turn, sleep for {SLEEP} s",
    LENDERS,
    (Config("hmem-auto", "static shares; virtio-hmem places the pages of each VM", policy=AUTO),
     Config("hmem-pool", "virtio-hmem places pages, and one pool gives each VM its DRAM",
            policy=AUTO, options=("--pool", f"{2 * POOL}M"), resizes=True)),
    seconds=FIRST + len(LENDERS) // 2 * SLEEP + LAST)

CASES = (*(trade_swap(name, options) for name, options in DISKS.items()), FOUR_VM, LEND_RETURN)
