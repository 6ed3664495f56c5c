# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migration while hmemd moves pages, by hand and by its policy.  During migration
no page moves and no page is tracked.  Afterwards both continue on the target, and the
guest's program has lost no write.  The tests do the same with every kernel, so each test
runs with one kernel."""

import json
import subprocess
import threading
import time

import daemon
import env
from guest import test
from work import STOP, Work, moved

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


@test(kernels=("6.12",), timeout=600)
def output(rig):
    """What a program prints while its machine migrates, again and again, comes whole."""
    vm = rig.boot(ready=False, hmem=None, **MACHINE)
    program = vm.spawn(f"keep 4 {STOP}")
    program.wait_for("filled")
    uri = f"unix:{rig.dir}/migration"
    for _ in range(8):
        to = rig.twin(vm, uri)
        vm.migrate(uri, max_bandwidth=FAST)
        to.take_over(vm)
        leave(vm)
        vm = to
    vm.run(f"touch {STOP}")
    first, *rounds, last = program.wait().splitlines()
    assert (first, last[:4]) == ("filled", "all "), (first, last)
    wrong = [line for i, line in enumerate(rounds) if line != f"round {i + 1}"]
    assert not wrong, wrong[:3]


def resize(host, vm, mib):
    """Ask for a size of tier 1, and do not wait."""
    host.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{mib}M", ok=(0, 3))


def has_size(host, vm, mib):
    def actual():
        return host.status(vm.name)["tiers"][1]["size"]["actual_bytes"]
    host.wait(lambda: actual() == mib << 20, f"tier 1 to have {mib} MiB")


def postcopy_to(rig, vm, to, uri):
    for side in vm, to:
        side.qmp("migrate-set-capabilities", capabilities=[
            {"capability": "postcopy-ram", "state": True}])
    to.qmp("migrate-incoming", uri=uri)
    vm.migrate(uri, max_bandwidth=SLOW, max_postcopy_bandwidth=SLOW)
    stands_still(rig.daemon, vm)


@test(kernels=("6.12",), timeout=600, qemus=env.QEMUS)
def upgrade(rig):
    """Migrate from the oldest supported QEMU to the newest, while the guest gives up
    memory; and back by postcopy, while it takes the memory back."""
    old, new = env.QEMUS[0], env.QEMUS[-1]
    vm, work = boot(rig, qemu=old, machine=f"pc-q35-{old}")
    uri = f"unix:{rig.dir}/migration"
    resize(rig.daemon, vm, 104)
    has_size(rig.daemon, vm, 104)
    to = rig.twin(vm, uri, qemu=new)
    resize(rig.daemon, vm, 96)
    vm.migrate(uri, max_bandwidth=FAST)
    to.take_over(vm)
    leave(vm)
    goes_on(rig.daemon, to, work)
    has_size(rig.daemon, to, 96)

    vm, to = to, rig.twin(to, "defer", qemu=old)
    postcopy_to(rig, vm, to, uri)
    resize(rig.daemon, vm, 112)
    vm.qmp("migrate-start-postcopy")
    to.take_over(vm)
    vm.qmp("migrate-set-parameters", max_postcopy_bandwidth=FAST)
    leave(vm)
    goes_on(rig.daemon, to, work)
    has_size(rig.daemon, to, 112)
    work.finish()


@test(kernels=("6.12",), timeout=600)
def transfer(rig):
    """A new QEMU takes over the guest's memory from the old one (cpr-transfer)."""
    vm, work = boot(rig, machine="q35,aux-ram-share=on")
    resize(rig.daemon, vm, 96)
    has_size(rig.daemon, vm, 96)

    def channel(kind):
        return {"channel-type": kind, "addr": {
            "transport": "socket", "type": "unix", "path": f"{rig.dir}/{kind}"}}

    def send():
        while not (rig.dir / "cpr").exists():
            time.sleep(0.02)
        vm.qmp("migrate", channels=[channel("main"), channel("cpr")])
    vm.qmp("migrate-set-parameters", mode="cpr-transfer")
    # The new QEMU answers its monitor only when it has the memory.
    threading.Thread(target=send, daemon=True).start()
    to = rig.twin(vm, f"unix:{rig.dir}/main",
                  args=["-incoming", json.dumps(channel("cpr"))])
    to.take_over(vm)
    leave(vm)
    goes_on(rig.daemon, to, work)
    has_size(rig.daemon, to, 96)
    work.finish()


@test(kernels=("6.12",), timeout=600)
def snapshot(rig):
    """A machine goes back to what it was (savevm, loadvm): hmemd has other pages then, and
    memory that had been given up, and was taken back since, is given up again."""
    image = rig.dir / "snapshots.qcow2"
    subprocess.run([env.qemu().with_name("qemu-img"), "create", "-q", "-f", "qcow2", image,
                    "1M"], check=True)
    vm, work = boot(rig, args=["-drive", f"if=none,id=snap,format=qcow2,file={image}",
                               "-device", "virtio-blk-pci,drive=snap"])

    def monitor(line):
        said = vm.qmp("human-monitor-command", command_line=line)
        assert not said, said
    resize(rig.daemon, vm, 96)
    has_size(rig.daemon, vm, 96)
    monitor("savevm here")
    goes_on(rig.daemon, vm, work)
    resize(rig.daemon, vm, 128)
    has_size(rig.daemon, vm, 128)
    monitor("loadvm here")
    rig.daemon.wait_ready(vm.name)
    has_size(rig.daemon, vm, 96)
    goes_on(rig.daemon, vm, work)
    work.finish()


@test(kernels=("7.3",), timeout=600)
def file_and_back(rig):
    """Migrate to a file, from there to a QEMU with another hmemd, and back as for a reboot
    of the host (cpr-reboot)."""
    vm, work = boot(rig)
    other = daemon.Daemon(rig.dir, name="other")
    other.start()
    uri = f"file:{rig.dir}/migration.img"
    for host, mode in (other, "normal"), (rig.daemon, "cpr-reboot"):
        vm.migrate(uri, max_bandwidth=FAST, mode=mode)
        leave(vm)
        to = rig.twin(vm, "defer", hmem=str(host.vm_socket))
        to.qmp("migrate-set-parameters", mode=mode)
        to.qmp("migrate-incoming", uri=uri)
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
    postcopy_to(rig, vm, to, uri)
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
