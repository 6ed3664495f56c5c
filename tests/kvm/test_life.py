# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to machines on KVM while pages move: live migration to another QEMU,
a reboot, the device's unplugging, a second machine on the same hmemd.  No program
loses a write."""

from guest import test

STOP = "/run/stop"
MIB = 16


class Work:
    """A program that writes 16 MiB all the time, in tier 1 at first, while the
    policy promotes what it writes."""

    def __init__(self, host, vm):
        self.host, self.vm = host, vm
        vm.run(f"rm -f {STOP}")
        self.program = vm.spawn(f"anon {MIB} {STOP} calm")
        self.program.wait_for("start")

    def moves(self, least=500):
        """Until so many pages more have been promoted, of all that the program
        has, demoted before."""
        hmemd = self.host.hmemd
        hmemd.policy(self.vm.name, name="off")
        hmemd.migrate_all(1, vm=self.vm.name)
        before = hmemd.stats(self.vm.name)["counters"]["promoted"]
        hmemd.policy(self.vm.name, name="auto")
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
    # What the program says now comes by way of the other one.
    with target.changed:
        target.commands, target.numbers = source.commands, source.numbers
        target.boots = source.boots
    work.program.vm = work.vm = target
    host.hmemd.wait_ready("target")
    work.moves()
    work.finish()
    assert target.qom("driver-state") == "ok"


@test(kernels=("6.12",), timeout=1500, parallel=True, by_name=True)
def reboot(rig):
    """The guest is reset while pages move, and hmemd takes it up again."""
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
