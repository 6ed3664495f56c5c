# SPDX-License-Identifier: GPL-2.0-or-later
"""On KVM, programs lose no write while pages move and the machine is migrated live to
another QEMU, is rebooted, has its device unplugged, or shares hmemd with a second
machine."""

from guest import test
from nested import AUTO

STOP = "/run/stop"
MIB = 16

# In a port's configuration space; bits of the high byte of the slot's control.
PCI_CAPABILITIES, PCI_CAP_EXPRESS, SLOT_CONTROL = 0x34, 0x10, 0x18
SLOT_OFF = 0x07


class Work:
    """A program that writes 16 MiB all the time; its pages begin in tier 1, and the
    policy promotes them."""

    def __init__(self, host, vm):
        self.host, self.vm = host, vm
        vm.run(f"rm -f {STOP}")
        self.program = vm.spawn(f"anon {MIB} {STOP} calm")
        self.program.wait_for("start")

    def moves(self, least=500):
        """Demote all of the program's pages; wait until at least least pages have been
        promoted again."""
        hmemd = self.host.hmemd
        hmemd.policy(self.vm.name, name="off")
        hmemd.migrate_all(1, vm=self.vm.name)
        before = hmemd.stats(self.vm.name)["counters"]["promoted"]
        hmemd.policy(self.vm.name, **AUTO)
        hmemd.wait(lambda: hmemd.stats(self.vm.name)["counters"]["promoted"] >=
                   before + least or self.program.status is not None,
                   "pages to be promoted", timeout=600)

    def finish(self):
        self.vm.run(f"touch {STOP}")
        print(self.program.wait())


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def migration(rig):
    """Live migration between two QEMUs: pages move before, meanwhile and after."""
    host = rig.kvm_host(guests=("source", "target"))
    host.hmemd.start("--policy", "auto")
    source = host.boot("source")
    work = Work(host, source)
    work.moves()
    target = host.guest("target", incoming="unix:/run/migrate").start(wait=False)
    source.qmp("migrate", uri="unix:/run/migrate")
    host.hmemd.wait(lambda: source.qmp("query-migrate")["status"] in
                    ("completed", "failed"), "the migration", timeout=900)
    done = source.qmp("query-migrate")
    print(done)
    assert done["status"] == "completed", done
    source.kill()
    target.take_over(source)
    work.vm = target
    host.hmemd.wait_ready("target")
    work.moves()
    work.finish()
    assert target.info()["driver-state"] == "ok"


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def reboot(rig):
    """The guest is reset while pages move; hmemd moves pages of the booted guest."""
    host = rig.kvm_host()
    host.hmemd.start("--policy", "auto")
    vm = host.boot()
    Work(host, vm).moves()
    vm.qmp("set-action", reboot="reset")
    boots = vm.boots
    vm.qmp("system_reset")
    vm.wait_boot(boots + 1)
    host.hmemd.wait_ready(vm.name)
    work = Work(host, vm)
    work.moves()
    work.finish()


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def unplug(rig):
    """The device is unplugged while pages move, and plugged in again."""
    host = rig.kvm_host()
    host.hmemd.start("--policy", "auto")
    vm = host.boot()
    work = Work(host, vm)
    work.moves()
    vm.unplug()
    host.hmemd.wait(lambda: vm.name not in host.hmemd.vms(), "the VM to be gone")
    vm.plug()
    host.hmemd.wait_ready(vm.name)
    work.moves()
    work.finish()


def ejection(vm):
    """Two commands for the guest.  The first switches the power of the device's slot
    off while the driver still uses the device; the second makes the guest's kernel
    notice that the device is gone."""
    device = vm.run("cd -P /sys/bus/virtio/drivers/virtio_hmem/virtio*/.. && "
                    "pwd -P").strip()
    port = f"{device}/.."
    config = bytes.fromhex(vm.run(
        f"head -c 256 {port}/config | hexdump -v -e '1/1 \"%02x\"'"))
    at = config[PCI_CAPABILITIES]
    while config[at] != PCI_CAP_EXPRESS:
        at = config[at + 1]
    at += SLOT_CONTROL
    low, high = config[at], config[at + 1] | SLOT_OFF
    return (f"printf '\\x{low:02x}\\x{high:02x}' | "
            f"dd of={port}/config bs=2 seek={at // 2} conv=notrunc",
            f"echo 1 > {device}/remove")


def ejected(rig, accel, rounds=4):
    """The guest ejects the device while QEMU switches the dirty log on or off or reads
    the log, which the guest may have to run for.  A device plugged in then works; this
    is repeated."""
    host = rig.kvm_host()
    host.hmemd.start()
    vm = host.boot(accel=accel, args=(
        "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"))
    work = Work(host, vm)
    for _ in range(rounds * rig.rounds):
        eject, remove = ejection(vm)
        # This is the shortest window that leaves the guest time to run.
        host.hmemd.policy(vm.name, name="hmmv", track="dirty", window=250,
                          faults=1000000)
        host.hmemd.wait(lambda: host.hmemd.stats(vm.name)["counters"]["log_samples"]
                        >= 3, "samples of the dirty log")
        since = len(vm.events)
        vm.run(eject)
        vm.wait_event("DEVICE_DELETED", since, device="hmem0")
        vm.run(remove)
        host.hmemd.wait(lambda: vm.name not in host.hmemd.vms(), "the VM to be gone")
        vm.plug()
        host.hmemd.wait_ready(vm.name)
    host.hmemd.migrate_all(1, vm=vm.name)
    work.finish()


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def eject_log(rig):
    """With KVM's dirty log."""
    ejected(rig, "kvm")


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def eject_ring(rig):
    """With KVM's dirty ring, for which QEMU stops the guest's processors."""
    ejected(rig, "kvm,dirty-ring-size=4096")


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def two_machines(rig):
    """Two machines on one hmemd: each gets its own pages."""
    host = rig.kvm_host(guests=("one", "two"))
    host.hmemd.start("--policy", "auto")
    vms = [host.guest(name).start(wait=False) for name in ("one", "two")]
    for vm in vms:
        vm.wait_boot()
        host.hmemd.wait_ready(vm.name)
    works = [Work(host, vm) for vm in vms]
    for work in works:
        work.moves()
    for work in works:
        work.finish()
