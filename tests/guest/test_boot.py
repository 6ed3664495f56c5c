# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest finds its tiers and its driver, as an unmodified system does."""

from env import KERNELS
from guest import test


def sees_two_nodes(vm):
    """All tests rely on this topology: DRAM with the processors, and NVM without
    processors, which is slower according to the HMAT."""
    nodes = "/sys/devices/system/node"
    assert vm.run(f"cat {nodes}/has_cpu").strip() == "0"
    assert vm.run(f"cat {nodes}/has_memory").strip() == "0-1"
    latency = [int(vm.run(f"cat {nodes}/node{n}/access0/initiators/read_latency"))
               for n in (0, 1)]
    assert latency == [80, 300], latency


def loads_by_modalias(vm):
    """The device's alias loads the module, without naming it."""
    assert vm.run("cat /sys/module/virtio_hmem/refcnt").strip() == "0"
    driver = vm.run("basename $(readlink /sys/bus/virtio/drivers/virtio_hmem/"
                    "virtio*/driver)").strip()
    assert driver == "virtio_hmem", driver


def is_served(rig, vm):
    """hmemd serves the device.  Until hmemd starts, the device does no harm."""
    rig.daemon.wait_ready()
    state = rig.daemon.status()
    assert state["driver"] == "ok" and state["running"], state
    assert [t["kind"] for t in state["tiers"]] == ["dram", "nvm"], state
    assert [t["start_bytes"] >> 20 for t in state["tiers"]] == [vm.dram, vm.nvm], state


def moves_are_counted(rig, vm):
    """Moves count in /proc/vmstat, like those of migrate_pages()."""
    def counted():
        return int(vm.run("sed -n 's/^pgmigrate_success //p' /proc/vmstat"))
    before, count = counted(), rig.daemon.migrate_all(1)["moved"]
    assert count > 1000 and counted() - before >= count, (before, counted(), count)


@test(check=KERNELS, debug=True)
def unloads_and_reloads(rig):
    """A machine sees its tiers, is served, and its module comes and goes."""
    vm = rig.boot(ready=False, append="numa_balancing=disable")
    sees_two_nodes(vm)
    loads_by_modalias(vm)
    is_served(rig, vm)
    moves_are_counted(rig, vm)
    for _ in range(5 * rig.rounds):
        vm.run("rmmod virtio_hmem")
        rig.daemon.wait(lambda: rig.daemon.vms()["vm0"]["driver"] == "none",
                        "the driver to go")
        vm.run("modprobe virtio_hmem")
        rig.daemon.wait_ready()
