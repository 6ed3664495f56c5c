# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on real KVM: hmemd finds and promotes the pages in tier 1 that a program
uses, and no data is lost.  The tests take each tracker, with KVM's dirty log and with
KVM's dirty ring."""

from guest import Skip, test
from nested import AUTO

STOP = "/run/stop"
MIB = 16
PAGES = MIB * 256
# The part of the program's pages to wait for: the trackers find some pages late, and
# some are busy.
PROMOTED = 0.5


def work(rig, policy, accel="kvm"):
    """A program writes all of its memory, which lies in tier 1, until hmemd has promoted
    the pages; the program then checks all of its memory."""
    host = rig.kvm_host()
    host.hmemd.start()
    vm = host.boot(accel=accel)
    program = vm.spawn(f"anon {MIB} {STOP} calm")
    program.wait_for("start")
    host.hmemd.migrate_all(1, vm=vm.name)
    host.hmemd.policy(vm.name, **policy)
    host.hmemd.wait(lambda: host.hmemd.stats(vm.name)["counters"]["promoted"] >=
                    PROMOTED * PAGES or program.status is not None,
                    "the policy to promote pages", timeout=600)
    status = host.hmemd.status(vm.name)
    counts, stats = vm.counts(), host.hmemd.stats(vm.name)["counters"]
    print(f"tracker {status['tracker']}", stats, counts)
    assert status["tracker"] == policy.get("track", "gpt")
    if status["tracker"] == "gpt":
        # With the dirty log on, KVM would have no 2 MiB mapping.
        assert stats["log_samples"] == 0, stats
        assert counts["pages_2m"] > 0, counts
    vm.run(f"touch {STOP}")
    print(program.wait())
    assert vm.info()["driver-state"] == "ok"
    assert "violation" not in vm.logs()


@test(kernels=("6.12",), timeout=900, parallel=True)
def page_tables(rig):
    """The tracker gpt, which auto takes, with KVM's dirty log."""
    work(rig, AUTO)


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def page_tables_ring(rig):
    """The tracker gpt, with KVM's dirty ring."""
    work(rig, AUTO, "kvm,dirty-ring-size=4096")


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def dirty_log(rig):
    """The tracker dirty, with KVM's dirty log."""
    work(rig, {"name": "hmmv", "track": "dirty"})


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def dirty_ring(rig):
    """The tracker dirty, with a KVM dirty ring that is full now and then."""
    work(rig, {"name": "hmmv", "track": "dirty"}, "kvm,dirty-ring-size=1024")


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def idle(rig):
    """The tracker idle, by the host kernel's idle page tracking."""
    host = rig.kvm_host()
    if host.status("[ -e /sys/kernel/mm/page_idle/bitmap ]"):
        raise Skip("no stock kernel has CONFIG_IDLE_PAGE_TRACKING; with a process "
                   "that plays QEMU: guest/host/idle of make check-debug-kernel")
    host.finish()
    work(rig, {"name": "hmmv", "track": "idle"})


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def damon(rig):
    """The tracker damon, by the host kernel's DAMON."""
    work(rig, {"name": "hmmv", "track": "damon"})
