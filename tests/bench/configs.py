# SPDX-License-Identifier: GPL-2.0-or-later
"""
The configurations to compare.  To add a baseline, add a Config to BASELINES, and a shell
fragment guest/NAME if the guest must be set up for it.  guest/init runs the fragment, after
it has switched off everything that moves pages.
"""

import dataclasses

MIN_NODE = 32           # MiB of a node whose tier no program is to use


@dataclasses.dataclass(frozen=True)
class Config:
    """
    name        the name in results
    about       a line for the report
    setup       the guest runs tests/bench/guest/SETUP
    place       how the workload places its data (see workloads/lib/bench.h)
    memory      a function from the workload's MiB of DRAM and NVM to the machine's
    sim         a function from the same to additional options of the simulator
    policy      hmemd's policy; "": neither hmemd nor the device runs
    software    stock software manages the pages: a policy has to be faster
    """
    name: str
    about: str
    setup: str = ""
    place: str = "first-touch"
    memory: object = staticmethod(lambda dram, nvm: (dram, nvm))
    sim: object = staticmethod(lambda dram, nvm: [])
    policy: str = ""
    software: bool = False


BASELINES = (
    Config("all-dram", "as much DRAM as DRAM and NVM together",
           memory=lambda dram, nvm: (dram + nvm, MIN_NODE)),
    Config("all-nvm", "the workload's memory bound to the NVM node, which is large enough",
           place="nvm", memory=lambda dram, nvm: (dram, dram + nvm)),
    Config("static", "first touch; nothing moves", software=True),
    Config("numab1", "NUMA balancing, mode 1", setup="numab1", software=True),
    Config("numab2", "NUMA balancing, mode 2 (memory tiering), with demotion by reclaim",
           setup="numab2", software=True),
    Config("damon", "DAMON, migrate_hot and migrate_cold", setup="damon", software=True),
    Config("memory-mode", "the machine's DRAM is a cache of NVM, which is all that the guest "
           "sees; hardware, no software",
           # Simulate from the boot on, so that filling the data also fills the cache.
           sim=lambda dram, nvm: [f"memory_mode={dram}M", "start=boot"],
           memory=lambda dram, nvm: (dram, dram + nvm), place="nvm"),
    Config("oracle", "the best placement that does not change, by the workload's own definition",
           place="oracle"),
)

HMEM = "hmem"
# "all-dram-hmem-POLICY" shows the cost of hmem-POLICY where no move gains anything.
NOTHING_TO_GAIN = ("all-dram", "oracle")
DEFAULT_POLICY = "auto"         # if the configuration's name has none
# The simulator's tracker sees every access, which no host has: a virtual machine has this.
TRACKER = "gpt"


def hmem(name):
    """The configuration "hmem" or "hmem-POLICY", where POLICY can have tunables of hmemd, as
    in hmem-auto:window=100:track=sim."""
    policy = name.removeprefix(HMEM).removeprefix("-") or DEFAULT_POLICY
    policy = policy.replace(":", ",")
    if "track=" not in policy:
        policy += f",track={TRACKER}"
    return Config(name, f"virtio-hmem, hmemd --policy {policy}; all other movers are off",
                  policy=policy)


def find(name):
    """The configuration with this name, or None."""
    if name == HMEM or name.startswith(HMEM + "-"):
        return hmem(name)
    base, with_hmem, policy = name.partition(f"-{HMEM}-")
    found = next((c for c in BASELINES if c.name == base), None)
    if found and with_hmem:
        if base not in NOTHING_TO_GAIN:
            return None
        ours = hmem(f"{HMEM}-{policy}")
        return dataclasses.replace(found, name=name, policy=ours.policy,
                                   about=f"{found.about}; {ours.about}")
    return found
