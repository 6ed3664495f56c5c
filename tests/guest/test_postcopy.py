# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that is given up, while the guest runs on the target of a live migration and a part of its
memory is still on the source (postcopy)."""

from guest import test
from sizes import STOP, finish, host_bytes, keep, settle, size
from vm import MIB

DRAM, NVM, LESS = 160, 256, 128
# Bytes per second.  What the guest touches is sent at once, whatever the limit is.
SLOW, FAST = 1 << 12, 1 << 40


def request(rig, vm, mib):
    rig.daemon.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{mib}M", ok=(0, 3))


class Postcopy:
    """A machine that has given up memory runs on the target of postcopy, which does not end."""

    def __init__(self, rig, mib):
        """A program keeps so many MiB."""
        self.rig = rig
        self.source = rig.boot(dram=DRAM, nvm=NVM, append="numa_balancing=disable")
        # Use all memory once, so that the source's host has allocated it.
        self.source.run("dd if=/dev/zero of=/tmp/used bs=1M count=300 2>/dev/null; rm /tmp/used")
        self.program = keep(self.source, mib)
        request(rig, self.source, LESS)
        settle(rig, self.source, LESS)
        self.vm = rig.twin(self.source, "defer")
        uri = f"unix:{rig.dir}/migration"
        for side in self.source, self.vm:
            side.qmp("migrate-set-capabilities", capabilities=[
                {"capability": "postcopy-ram", "state": True}])
        self.vm.qmp("migrate-incoming", uri=uri)
        self.source.migrate(uri, max_bandwidth=SLOW, max_postcopy_bandwidth=SLOW)
        self.source.wait_migration("active")
        self.source.qmp("migrate-start-postcopy")
        self.vm.take_over(self.source)
        self.source.wait_migration("postcopy-active")

    def under_way(self):
        return self.source.qmp("query-migrate")["status"] == "postcopy-active"

    def end(self):
        self.source.qmp("migrate-set-parameters", max_postcopy_bandwidth=FAST)
        info = self.source.wait_migration("completed")
        self.source.kill()
        self.rig.daemon.wait_ready(self.vm.name)
        self.rig.daemon.wait(lambda: not self.rig.daemon.vms()[self.vm.name]["migrating"],
                             "the migration to be over")
        return info["ram"]


@test(kernels=("6.12",), timeout=900)
def is_neither_sent_nor_provided(rig):
    """The source does not send what is given up, the target's host does not provide it, and the
    guest gives up nothing more meanwhile."""
    postcopy = Postcopy(rig, 100)
    vm = postcopy.vm
    request(rig, vm, LESS - 16)
    vm.run("true")
    assert size(rig, vm)["actual_bytes"] == LESS * MIB
    assert host_bytes(vm, NVM) <= LESS * MIB
    assert postcopy.under_way()
    ram = postcopy.end()
    # Some pages were sent twice.
    print(ram)
    settle(rig, vm, LESS - 16)
    assert host_bytes(vm, NVM) <= LESS * MIB
    assert (ram["normal"] + ram["duplicate"]) * 4096 < (DRAM + NVM) * MIB, ram
    request(rig, vm, NVM)
    settle(rig, vm, NVM)
    finish(vm, postcopy.program)
    finish(vm, keep(vm, 264))


@test(kernels=("6.12",), timeout=900)
def comes_back_before_the_oom_killer(rig):
    """The guest is short of memory on the target: it takes memory back, and finds zeros there."""
    postcopy = Postcopy(rig, 32)
    vm = postcopy.vm
    # More than fits: all that is free is on its way, and the rest is given up.
    short = vm.spawn("keep 220 /run/stop 20")
    short.wait_for("filled")
    assert postcopy.under_way()
    assert vm.counter("resize_oom") > 0
    assert size(rig, vm)["actual_bytes"] > LESS * MIB
    postcopy.end()
    vm.run(f"touch {STOP}")
    assert "all " in short.wait()
    finish(vm, postcopy.program)
    settle(rig, vm, LESS)
    assert host_bytes(vm, NVM) <= LESS * MIB


@test(kernels=("6.12",), timeout=900)
def comes_back_with_the_driver_gone(rig):
    """The driver resets the device on the target: the guest has all memory and can use it, though
    the source does not send what was given up.  Later, the guest gives it up again."""
    postcopy = Postcopy(rig, 32)
    vm = postcopy.vm
    vm.run("rmmod virtio_hmem")
    settle(rig, vm, NVM)
    # More than was not given up.
    vm.run(f"mkdir /tmp/1; mount -t tmpfs -o mpol=bind:1,size=1g 1 /tmp/1 && "
           f"dd if=/dev/zero of=/tmp/1/used bs=1M count={LESS + 32} 2>/dev/null")
    assert postcopy.under_way()
    vm.run("umount /tmp/1; modprobe virtio_hmem")
    assert size(rig, vm)["actual_bytes"] == NVM * MIB
    assert postcopy.under_way()
    postcopy.end()
    settle(rig, vm, LESS)
    assert host_bytes(vm, NVM) <= LESS * MIB
    finish(vm, postcopy.program)
