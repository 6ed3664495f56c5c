# SPDX-License-Identifier: GPL-2.0-or-later
"""
What is compared.  To add a baseline, add a Config to BASELINES, and if the guest
must be set up for it, a shell fragment guest/NAME (see guest/init, which runs
it; everything that moves pages is off until it does).
"""

import dataclasses

MIN_NODE = 32           # MiB: what stands for a tier that is not to be used


@dataclasses.dataclass(frozen=True)
class Config:
    """
    name        as in results
    about       one line for the report
    setup       tests/bench/guest/SETUP is run in the guest
    place       how the workload places its data, see workloads/lib/bench.h
    memory      given the workload's DRAM and NVM in MiB, the machine's
    sim         given the same, more options of the simulator
    policy      of hmemd; "" is no hmemd and no device
    software    stock software that manages pages: what a policy has to beat
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
           # From the boot on, so that the filling has filled the cache, too.
           sim=lambda dram, nvm: [f"memory_mode={dram}M", "start=boot"],
           memory=lambda dram, nvm: (dram, dram + nvm), place="nvm"),
    Config("oracle", "the best placement that does not change, by the workload's own definition",
           place="oracle"),
)

HMEM = "hmem"
# "all-dram-hmem-POLICY" is what hmem-POLICY costs where it has nothing to gain.
NOTHING_TO_GAIN = ("all-dram", "oracle")
DEFAULT_POLICY = "auto"         # of the configuration that names none
# As memory is a 64th of the papers' and a window takes in as many accesses, a
# window of their 1 s would find every page accessed, hot or cold.
WINDOW_MS = 100


def hmem(name):
    """The configuration "hmem" or "hmem-POLICY"; POLICY may have hmemd's tunables:
    hmem-writes:rate=100."""
    policy = name.removeprefix(HMEM).removeprefix("-") or DEFAULT_POLICY
    policy = policy.replace(":", ",")
    if "window=" not in policy:
        policy += f",window={WINDOW_MS}"
    return Config(name, f"virtio-hmem, hmemd --policy {policy}; all other movers are off",
                  policy=policy)


def find(name):
    """The configuration of that name, None if there is none."""
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
