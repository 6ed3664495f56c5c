# SPDX-License-Identifier: GPL-2.0-or-later
"""A device of the host that is assigned to a guest (VFIO) has the guest's memory pinned.  Memory
that is pinned cannot leave the host, and memory that has left cannot be pinned: each side refuses,
and says why.  The host is a guest itself, with an emulated IOMMU."""

import nested
from guest import test
from vm import MIB, VMError

DRAM, NVM, LESS = 112, 144, 96
# What the host gives to its guest.
ADDRESS = "0000:00:1c.0"
ASSIGNED = f"virtio-rng-pci,addr={ADDRESS[-4:]},disable-legacy=on,iommu_platform=on"
DRIVERS = "/sys/bus/pci/drivers"


def size(host, vm):
    return host.hmemd.status(vm.name)["tiers"][1]["size"]


def request(host, vm, mib):
    host.hmemd.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{mib}M")


def settle(host, vm, mib):
    host.hmemd.wait(lambda: size(host, vm)["actual_bytes"] == mib * MIB,
                    f"tier 1 to have {mib} MiB", timeout=600)


def resize(host, vm, mib):
    request(host, vm, mib)
    settle(host, vm, mib)


def assign(vm):
    vm.qmp("device_add", driver="vfio-pci", host=ADDRESS, id="assigned", bus="slot1")


@test(kernels=("6.12",), timeout=1800, parallel=True, by_name=True)
def assigned_devices(rig):
    host = rig.kvm_host(append=f"{nested.APPEND} intel_iommu=on", args=[
        "-device", "intel-iommu,intremap=on", "-device", ASSIGNED])
    host.run("modprobe vfio_iommu_type1 && modprobe vfio-pci && "
             f"cd /sys/bus/pci/devices/{ADDRESS} && echo vfio-pci >driver_override && "
             f"echo {ADDRESS} >driver/unbind; echo {ADDRESS} >/sys/bus/pci/drivers_probe && "
             f"[ -e {DRIVERS}/vfio-pci/{ADDRESS} ]")
    host.hmemd.start()
    vm = host.boot(dram=DRAM, nvm=NVM, args=["-device", "pcie-root-port,id=slot1,chassis=2"])

    resize(host, vm, LESS)
    try:
        assign(vm)
    except VMError as e:
        print("with memory given up:", e)
    else:
        raise AssertionError("a device was assigned though memory is given up")

    resize(host, vm, NVM)
    assign(vm)
    request(host, vm, LESS)
    host.hmemd.wait(lambda: size(host, vm)["why"] == "refused", "the device to refuse",
                    timeout=600)
    assert size(host, vm)["actual_bytes"] == NVM * MIB
    print("with an assigned device:", size(host, vm))

    vm.unplug("assigned")
    settle(host, vm, LESS)
