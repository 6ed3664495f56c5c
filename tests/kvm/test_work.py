# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job on real KVM: what a program uses in tier 1 is found and promoted
while it is used, and none of its data is lost.  With KVM's dirty log and with its
dirty ring, by what the guest's page tables tell and by what is written."""

from guest import Skip, test

STOP = "/run/stop"
MIB = 16
PAGES = MIB * 256
# Of the program's pages: those that a look misses, or that are busy, come later.
PROMOTED = 0.5


def work(rig, policy, accel="kvm"):
    """A program writes all of its memory, which lies in tier 1, until it is
    promoted; it then checks all of it."""
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
        # Nothing has asked for the dirty log, under which there is none.
        assert stats["log_samples"] == 0, stats
        assert counts["pages_2m"] > 0, counts
    vm.run(f"touch {STOP}")
    print(program.wait())
    assert vm.qom("driver-state") == "ok"
    assert "violation" not in vm.logs()


@test(kernels=("6.12",), timeout=900, parallel=True)
def page_tables(rig):
    """As hmemd does by itself."""
    work(rig, {"name": "auto"})


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def page_tables_ring(rig):
    """... where KVM has a dirty ring instead of a dirty log."""
    work(rig, {"name": "auto"}, "kvm,dirty-ring-size=4096")


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def dirty_log(rig):
    """By what is written, with KVM's dirty log."""
    work(rig, {"name": "hmmv", "track": "dirty"})


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def dirty_ring(rig):
    """... with KVM's dirty ring, which is full now and then."""
    work(rig, {"name": "hmmv", "track": "dirty"}, "kvm,dirty-ring-size=1024")


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def idle(rig):
    """By the host kernel's idle page tracking."""
    host = rig.kvm_host()
    if host.status("[ -e /sys/kernel/mm/page_idle/bitmap ]"):
        raise Skip("no stock kernel has CONFIG_IDLE_PAGE_TRACKING; with a process "
                   "that plays QEMU: guest/host/idle of make check-debug-kernel")
    host.finish()
    work(rig, {"name": "hmmv", "track": "idle"})


@test(kernels=("6.12",), timeout=900, parallel=True, by_name=True)
def damon(rig):
    """By the host kernel's DAMON."""
    work(rig, {"name": "hmmv", "track": "damon"})
