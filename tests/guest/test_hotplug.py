# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of a tier's node that comes and goes while the guest runs."""

from daemon import REASONS
from guest import test

MIB = 1 << 20
SIZE = 256 * MIB
# The address of memory devices on QEMU's q35, with this little memory at boot.
DEVICES = 4 << 30
ARGS = ("-m", "slots=4,maxmem=2G")
APPEND = "memhp_default_state=online_movable numa_balancing=disable"
# In MiB.  Pages that move to node 1 first use the memory that was plugged in, because it
# is in the zone for movable pages.
DRAM, NVM, DATA = 256, 128, 64


def boot(rig, *args):
    return rig.boot(dram=DRAM, nvm=NVM, args=(*ARGS, *args), append=APPEND)


def node_kib(vm, node):
    return int(vm.run(f"sed -n 's/.*MemTotal: *\\([0-9]*\\) kB/\\1/p' "
                      f"/sys/devices/system/node/node{node}/meminfo"))


def fill(vm):
    """Write data to node 0; returns its checksum."""
    vm.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count={DATA}")
    return vm.run("md5sum /tmp/data")


def move(rig, start, end, tier):
    """Hint all pages; returns how many are in the devices' memory now."""
    results = rig.daemon.migrate(range(start >> 12, end >> 12), tier)
    count = {}
    for _, new, reason in results:
        name = REASONS[reason] if reason >= 0 else "none"
        count[name] = count.get(name, 0) + 1
    print(f"to {tier}:", count)
    return count.get("moved", 0), sum(
        new >= DEVICES >> 12 for _, new, reason in results
        if reason >= 0 and REASONS[reason] == "moved")


def check_plugged(rig, vm, checksum):
    """Pages move to memory that came later, and back."""
    moved, there = move(rig, 16 * MIB, DRAM * MIB, 1)
    assert moved >= DATA * 256 and there >= DATA * 256 // 2, (moved, there)
    assert vm.info()["driver-state"] == "ok" and vm.info()["connected"]
    moved, there = move(rig, DEVICES, DEVICES + SIZE, 0)
    assert moved > 1000 and not there, (moved, there)
    assert vm.info()["driver-state"] == "ok" and vm.info()["connected"]
    assert vm.run("md5sum /tmp/data") == checksum


def wait_node(rig, vm, kib):
    rig.daemon.wait(lambda: node_kib(vm, 1) == kib, f"{kib} KiB in node 1")


@test(kernels=("6.12", "7.3"), check=("7.3",), timeout=900)
def dimm(rig):
    """Memory comes, is used, and goes."""
    vm = boot(rig)
    checksum = fill(vm)
    before = node_kib(vm, 1)
    vm.qmp("object-add", **{"qom-type": "memory-backend-memfd", "id": "m2",
                            "size": SIZE})
    vm.qmp("device_add", driver="pc-dimm", id="d2", memdev="m2", node=1)
    wait_node(rig, vm, before + SIZE // 1024)
    check_plugged(rig, vm, checksum)
    move(rig, 16 * MIB, DRAM * MIB, 1)
    # The guest moves the remaining pages away, and frees the memory.
    vm.unplug("d2")
    vm.qmp("object-del", id="m2")
    wait_node(rig, vm, before)
    move(rig, 16 * MIB, DRAM * MIB, 1)
    assert vm.info()["driver-state"] == "ok" and vm.info()["connected"]
    assert vm.run("md5sum /tmp/data") == checksum


@test(kernels=("6.12",), check=(), timeout=900)
def virtio_mem(rig):
    """The same with a device whose memory the guest plugs in parts."""
    vm = boot(rig, "-object", f"memory-backend-memfd,id=m2,size={SIZE // MIB}M",
              "-device", "virtio-mem-pci,id=v2,memdev=m2,node=1,requested-size=0")
    vm.run("modprobe virtio_mem")
    checksum = fill(vm)
    before = node_kib(vm, 1)
    vm.qmp("qom-set", path="/machine/peripheral/v2", property="requested-size",
           value=SIZE)
    wait_node(rig, vm, before + SIZE // 1024)
    check_plugged(rig, vm, checksum)
    vm.qmp("qom-set", path="/machine/peripheral/v2", property="requested-size",
           value=0)
    rig.daemon.wait(lambda: vm.qom("size", "v2") == 0, "the memory to be unplugged")
    # Unplugged memory belongs to the tier, but the guest does not have it.
    move(rig, DEVICES, DEVICES + SIZE, 0)
    assert vm.info()["driver-state"] == "ok" and vm.info()["connected"]
    assert vm.run("md5sum /tmp/data") == checksum
