# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of hmemd on a host with KVM, by KVM's own counts: machines run the same
program side by side, one of them without hmemd."""

from guest import test

# The bars: at least this ratio of 2 MiB mappings with hmemd to those without, and at
# most this ratio of nested page faults beyond one for each base page that is mapped.
# Chance decides how many base pages a boot maps: a range for which the host has no huge
# page takes up to 512 faults, so the same machine had 418 or 646 faults, but 165 or 169
# beyond those of base pages.  A boot with the dirty log on has a hundred times as many.
MAPPINGS, FAULTS = 0.95, 1.5

# Half of each program's memory lies in tier 1, with the hot pages, which come last.
GUPS = "/bench/gups mib=96 hot=24 interval=5 seconds={}"
REDIS = "/bench/redis keys=40000 hot=8000 interval=5 seconds={}"

SHOWN = ("pages_2m", "pages_4k", "pf_taken", "pf_fast", "exits", "tlb_flush",
         "remote_tlb_flush")


class Machine:
    """A machine whose counts are taken; policy: hmemd's policy and its settings, None
    for a machine without hmemd."""

    def __init__(self, host, name, policy=None, **options):
        self.name = name
        self.policy = policy
        self.vm = host.guest(
            name, hmem="" if policy is None else host.hmemd.vm_socket, **options)
        self.samples = []

    def start(self, command):
        self.boot = self.vm.counts()
        self.program = self.vm.spawn(command)

    def sample(self):
        self.samples.append(self.vm.counts())

    def mean(self, count):
        return sum(s[count] for s in self.samples) / len(self.samples)

    @staticmethod
    def faults(counts):
        """Nested faults that mapped a huge page, or what was mapped before."""
        return counts["pf_taken"] - counts["pages_4k"]

    def show(self):
        end = self.samples[-1]
        print(f"{self.name:8} boot: " +
              " ".join(f"{k}={self.boot[k]}" for k in SHOWN) +
              "\n         end:  " + " ".join(f"{k}={end[k]}" for k in SHOWN) +
              f"\n         mean: pages_2m={self.mean('pages_2m'):.1f} "
              f"pages_4k={self.mean('pages_4k'):.1f}"
              "\n         2 MiB mappings every 5 s: " +
              " ".join(str(s["pages_2m"]) for s in self.samples))
        print("         more: " + " ".join(
            f"{k}={end[k] - self.boot[k]}" for k in sorted(end) if end[k] != self.boot[k]
            and k not in SHOWN and "_ns" not in k and "hist" not in k))


def measure(rig, command, wanted, **options):
    """Boot machines with these names and options, and run the command in all of them.
    Returns the host, and the machines with their counts."""
    host = rig.kvm_host(guests=wanted)
    host.hmemd.start("--policy", "auto")
    machines = {n: Machine(host, n, **options, **o) for n, o in wanted.items()}
    for m in machines.values():
        m.vm.start(wait=False)
    for m in machines.values():
        m.vm.wait_boot()
        if m.policy is not None:
            host.hmemd.wait_ready(m.name)
            host.hmemd.policy(m.name, **m.policy)
    for m in machines.values():
        m.start(command)
    while any(m.program.status is None for m in machines.values()):
        host.run("sleep 5")
        for m in machines.values():
            m.sample()
    for m in machines.values():
        print(m.program.wait().splitlines()[-1])
        m.show()
        if m.policy is not None:
            print(host.hmemd.stats(m.name)["counters"])
    return host, machines


def judge(machines):
    """Check that the machine "auto" costs no more than the bars allow."""
    without, auto = machines["without"], machines["auto"]
    ends = {"boot": (auto.boot, without.boot),
            "end": (auto.samples[-1], without.samples[-1])}
    mappings = auto.mean("pages_2m") / without.mean("pages_2m")
    faults = {when: auto.faults(a) / without.faults(w) for when, (a, w) in ends.items()}
    print(f"with hmemd, of what they are without: 2 MiB mappings {mappings:.3f}, "
          f"nested faults {faults}")
    assert without.mean("pages_2m") > 10, "no huge mappings even without hmemd"
    assert mappings >= MAPPINGS, mappings
    assert max(faults.values()) <= FAULTS, faults


AUTO = {"without": {}, "auto": {"policy": {"name": "auto"}}}
DIRTY = {"policy": {"name": "hmmv", "track": "dirty"}}
TRACKERS = {**AUTO, "dirty": DIRTY,
            "ring": {**DIRTY, "accel": "kvm,dirty-ring-size=4096"}}


@test(kernels=("6.12",), timeout=900, parallel=True)
def briefly(rig):
    """The bars, with some seconds of gups."""
    host, machines = measure(rig, GUPS.format(40), AUTO)
    judge(machines)
    assert host.hmemd.status("auto")["tracker"] == "gpt"
    assert host.hmemd.stats("auto")["counters"]["log_samples"] == 0


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def gups(rig):
    """The bars, with two minutes of gups."""
    _, machines = measure(rig, GUPS.format(120), AUTO)
    judge(machines)


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def redis(rig):
    """The bars, with two minutes of redis-server under load."""
    _, machines = measure(rig, REDIS.format(120), AUTO, archives=("redis",))
    judge(machines)


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def trackers(rig):
    """The trackers to choose from, with two minutes of gups: the table in
    docs/cost.md.  Both KVM's log and KVM's ring report written pages."""
    host, machines = measure(rig, GUPS.format(120), TRACKERS)
    judge(machines)
    for name in ("dirty", "ring"):
        assert host.hmemd.stats(name)["counters"]["dirty_pages"] > 0, name
