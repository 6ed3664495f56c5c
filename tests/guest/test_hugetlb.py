# SPDX-License-Identifier: GPL-2.0-or-later
"""A tier whose memory backend has huge pages of the host's (hugetlb): the guest gives up whole such
pages, and takes them back if the host has any."""

import re

import hugetlb
import sizes
from guest import test
from sizes import finish, keep, settle, size
from vm import MIB

DRAM, NVM, LESS = 160, 256, 160
# So many MiB need more of the NVM than is left after the guest has given some up, and leave enough
# to the kernel and its initramfs.
FILLS = 264
MACHINE = {"dram": DRAM, "nvm": NVM, "append": "numa_balancing=disable", "huge": ("nvm",)}


def host_bytes(vm):
    used = sizes.host_bytes(vm, NVM)
    assert not used % hugetlb.SIZE
    return used


def total(vm):
    """Bytes of memory that the guest's kernel has in node 1."""
    text = vm.run("grep MemTotal /sys/devices/system/node/node1/meminfo")
    return int(re.search(r"(\d+) kB", text).group(1)) << 10


def request(rig, vm, mib):
    rig.daemon.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{mib}M")


@test(kernels=("6.12",), timeout=900)
def gives_up_whole_huge_pages(rig):
    """Each huge page that the guest gives up is one page less on the host, and none is in part."""
    with hugetlb.allowed(NVM):
        vm = rig.boot(**MACHINE)
        whole = total(vm)
        finish(vm, keep(vm, FILLS))
        used = host_bytes(vm)
        assert used > LESS * MIB, used
        status, _, errors = rig.daemon.hmemctl(["-d", vm.name, "resize", "--tier", "1", "--size",
                                                f"{LESS + 1}M"])
        assert status == 2 and "2 MiB" in errors, (status, errors)
        request(rig, vm, LESS)
        settle(rig, vm, LESS)
        assert host_bytes(vm) <= LESS * MIB
        assert total(vm) == whole - (NVM - LESS) * MIB
        assert vm.counter("resize_huge") == (NVM - LESS) * MIB // hugetlb.SIZE

        # A program uses more than the tier could do without: what is free goes, in whole pages.
        program = keep(vm, 190)
        request(rig, vm, 64)
        rig.daemon.wait(lambda: size(rig, vm)["why"] == "node-full", "the node to be full")
        now = size(rig, vm)["actual_bytes"]
        assert 64 * MIB < now and not now % hugetlb.SIZE, now
        assert host_bytes(vm) <= now
        request(rig, vm, NVM)
        settle(rig, vm, NVM)
        assert total(vm) == whole
        finish(vm, program)
        finish(vm, keep(vm, FILLS))


@test(kernels=("6.12",), timeout=900)
def comes_back_if_the_host_has_any(rig):
    """Other programs of the host use the huge pages that the guest has given up: the guest gets
    none back, tells so, and goes on; later, it gets all."""
    with hugetlb.allowed(NVM):
        vm = rig.boot(**MACHINE)
        program = keep(vm, 120)
        request(rig, vm, LESS)
        settle(rig, vm, LESS)
        with hugetlb.taken():
            request(rig, vm, NVM)
            rig.daemon.wait(lambda: size(rig, vm)["why"] == "refused",
                            "the device to refuse the memory")
            assert size(rig, vm)["actual_bytes"] == LESS * MIB, size(rig, vm)
            assert host_bytes(vm) <= LESS * MIB
        settle(rig, vm, NVM)
        assert size(rig, vm)["why"] is None
        finish(vm, program)
        finish(vm, keep(vm, FILLS))


@test(kernels=("6.12",), timeout=900)
def is_not_sent(rig):
    """Live migration, to and fro, sends no huge page that is given up, and provides none on the
    target, also by postcopy.  The guest gets all pages back."""
    with hugetlb.allowed(2 * NVM):
        vm = rig.boot(**MACHINE)
        program = keep(vm, 120)
        request(rig, vm, LESS)
        settle(rig, vm, LESS)
        for postcopy in False, True:
            to = rig.twin(vm, "defer")
            uri = f"unix:{rig.dir}/migration"
            for side in vm, to:
                side.qmp("migrate-set-capabilities", capabilities=[
                    {"capability": "postcopy-ram", "state": postcopy}])
            to.qmp("migrate-incoming", uri=uri)
            vm.migrate(uri, max_bandwidth=1 << 20 if postcopy else 1 << 40)
            if postcopy:
                vm.wait_migration("active")
                vm.qmp("migrate-start-postcopy")
            to.take_over(vm)
            vm.wait_migration("completed")
            vm.kill()
            rig.daemon.wait_ready(to.name)
            vm = to
            assert host_bytes(vm) <= LESS * MIB
            settle(rig, vm, LESS)
        request(rig, vm, NVM)
        settle(rig, vm, NVM)
        finish(vm, program)
        finish(vm, keep(vm, FILLS))
