# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migration while hmemd moves pages, by hand and by its policy.  During migration
no page moves and no page is tracked.  Afterwards both continue on the target, and the
guest's program has lost no write.  The tests do the same with every kernel, so each test
runs with one kernel."""

import daemon
import env
from guest import test
from work import Work, moved

# A migration takes seconds because of memory that is written all the time.
SLOW, FAST = 1 << 20, 1 << 40
MACHINE = {"dram": 96, "nvm": 128, "append": "numa_balancing=disable"}
POLICY = {"name": "auto", "window": 200}


def scanned(vm):
    """Wait until the policy's tracker is at work."""
    before = vm.info()["stats"]["ticks"]
    return lambda: vm.info()["tracker"] == "gpt" and vm.info()["stats"]["ticks"] > before + 1


def boot(rig, **options):
    """A machine with moving pages and background work."""
    vm = rig.boot(**MACHINE, **options)
    rig.daemon.policy(**POLICY)
    rig.daemon.wait(scanned(vm), "the policy to track")
    work = Work(rig, vm)
    work.wait_jobs(1)
    return vm, work


def migrating(host, *names):
    return all(host.vms().get(n, {}).get("migrating") for n in names)


def stands_still(host, vm):
    """Moves that the guest had begun end, and no new ones begin."""
    host.wait(lambda: migrating(host, vm.name), "migration to be seen")
    assert vm.info()["tracker"] == "none"
    host.wait(lambda: vm.info()["outstanding"] == 0, "the guest to finish")
    before = moved(vm)
    # A change of tracking waits as well.
    host.policy(vm.name, **{**POLICY, "track": "dirty", "window": 100})
    assert vm.info()["tracker"] == "none"
    assert moved(vm) == before
    rejected = vm.info()["stats"]["rejected"]
    assert rejected["invalid"] == rejected["busy"] == 0, rejected


def goes_on(host, vm, work):
    """Pages move on the target, and the policy is at work again."""
    host.wait_ready(vm.name)
    host.wait(lambda: not migrating(host, vm.name), "migration to be over")
    work.follow(vm, host)
    host.policy(vm.name, track="auto", **POLICY)
    before = moved(vm)
    work.wait_jobs()
    assert moved(vm) > before
    host.wait(scanned(vm), "the policy to track again")


def leave(vm):
    """Wait until the guest has left the source, and end the source's QEMU."""
    vm.wait_migration("completed")
    vm.kill()


@test(kernels=("6.12",), timeout=600)
def precopy(rig):
    """Migrate to another QEMU with the same hmemd."""
    vm, work = boot(rig)
    uri = f"unix:{rig.dir}/migration"
    to = rig.twin(vm, uri)
    vm.migrate(uri, max_bandwidth=SLOW)
    stands_still(rig.daemon, vm)
    vm.qmp("migrate-set-parameters", max_bandwidth=FAST)
    to.take_over(vm)
    leave(vm)
    goes_on(rig.daemon, to, work)
    work.finish()


@test(kernels=("6.12",), timeout=600, qemus=env.QEMUS)
def upgrade(rig):
    """Migrate from the oldest supported QEMU to the newest."""
    old, new = env.QEMUS[0], env.QEMUS[-1]
    vm, work = boot(rig, qemu=old, machine=f"pc-q35-{old}")
    uri = f"unix:{rig.dir}/migration"
    to = rig.twin(vm, uri, qemu=new)
    vm.migrate(uri, max_bandwidth=FAST)
    to.take_over(vm)
    leave(vm)
    goes_on(rig.daemon, to, work)
    work.finish()


@test(kernels=("7.3",), timeout=600)
def file_and_back(rig):
    """Migrate to a file, from there to a QEMU with another hmemd, and back."""
    vm, work = boot(rig)
    other = daemon.Daemon(rig.dir, name="other")
    other.start()
    for host in other, rig.daemon:
        path = rig.dir / "migration.img"
        vm.migrate(f"file:{path}", max_bandwidth=FAST)
        leave(vm)
        to = rig.twin(vm, f"file:{path}", hmem=str(host.vm_socket))
        to.take_over(vm)
        goes_on(host, to, work)
        vm = to
    work.finish()
    other.stop()


@test(kernels=("6.12",), timeout=600)
def postcopy(rig):
    """The guest runs on the target before its memory is there (postcopy): both sides are
    migrating until it is."""
    vm, work = boot(rig)
    uri = f"unix:{rig.dir}/migration"
    to = rig.twin(vm, "defer")
    for side in vm, to:
        side.qmp("migrate-set-capabilities", capabilities=[
            {"capability": "postcopy-ram", "state": True}])
    to.qmp("migrate-incoming", uri=uri)
    vm.migrate(uri, max_bandwidth=SLOW, max_postcopy_bandwidth=SLOW)
    stands_still(rig.daemon, vm)
    vm.qmp("migrate-start-postcopy")
    to.take_over(vm)
    vm.wait_migration("postcopy-active")
    rig.daemon.wait(lambda: migrating(rig.daemon, vm.name, to.name),
                    "both sides to be migrating")
    work.follow(to)
    stands_still(rig.daemon, to)
    vm.qmp("migrate-set-parameters", max_postcopy_bandwidth=FAST)
    leave(vm)
    goes_on(rig.daemon, to, work)
    work.finish()


@test(kernels=("6.1",), timeout=600)
def cancel(rig):
    """Migration is cancelled: pages move, and a request for tracking takes effect."""
    vm, work = boot(rig)
    vm.migrate(f"file:{rig.dir}/migration.img", max_bandwidth=SLOW)
    stands_still(rig.daemon, vm)
    vm.qmp("migrate_cancel")
    vm.wait_migration("cancelled")
    rig.daemon.wait(lambda: vm.info()["tracker"] == "dirty",
                    "the requested tracking to begin")
    goes_on(rig.daemon, vm, work)
    work.finish()
