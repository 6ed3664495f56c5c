# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that is given up, and what else starts kernels or takes memory: no data is lost, and all
sizes add up."""

import re

import env
from guest import test
from sizes import finish, host_bytes, keep, settle, size
from vm import CMDLINE, MIB

DRAM, NVM, LESS = 160, 256, 160
MACHINE = {"dram": DRAM, "nvm": NVM, "append": "numa_balancing=disable"}


def total(vm, node=1):
    """Bytes of memory that the guest's kernel has in a node."""
    text = vm.run(f"grep MemTotal /sys/devices/system/node/node{node}/meminfo")
    return int(re.search(r"(\d+) kB", text).group(1)) << 10


def resize(rig, vm, mib):
    rig.daemon.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{mib}M")
    settle(rig, vm, mib)


def bring_kernel(rig, vm):
    """Copy the files of the machine's kernel from its disks; returns their paths."""
    vm.run("cat /dev/vda >/tmp/vmlinuz; cat /dev/vdb >/tmp/initrd; "
           "echo 3 >/proc/sys/vm/drop_caches")
    return "/tmp/vmlinuz /tmp/initrd"


def images(rig):
    """Disks with the kernel and its initramfs, in whole sectors."""
    made = []
    for name, path in (("kernel.img", env.kernel(rig.kernel) / "vmlinuz"),
                       ("initrd.img", env.initramfs(rig.kernel))):
        data = path.read_bytes()
        made.append(rig.dir / name)
        made[-1].write_bytes(data + bytes(-len(data) % 512))
    return made


@test(check=("6.1", "7.3"), timeout=900)
def kexec_without_the_driver(rig):
    """The guest starts another kernel, without a reset of the machine, and that kernel has no
    driver: it has all memory, which is also sent in a live migration."""
    vm = rig.boot(**MACHINE, disks=images(rig))
    resize(rig, vm, LESS)
    assert host_bytes(vm, NVM) <= LESS * MIB
    files = bring_kernel(rig, vm)
    vm.reboot(f"kexec now {files} '{CMDLINE} numa_balancing=disable module_blacklist=virtio_hmem'")
    settle(rig, vm, NVM)
    assert not vm.run("grep virtio_hmem /proc/modules || true")
    # The new kernel uses what the old one had given up.
    program = keep(vm, 264)
    uri = f"unix:{rig.dir}/migration"
    to = rig.twin(vm, uri)
    vm.migrate(uri, max_bandwidth=1 << 40)
    to.take_over(vm)
    vm.wait_migration("completed")
    vm.kill()
    finish(to, program)


@test(kernels=("6.12",), timeout=900)
def kexec_with_the_driver(rig):
    """The new kernel gives up what was requested."""
    vm = rig.boot(**MACHINE, disks=images(rig))
    resize(rig, vm, LESS)
    files = bring_kernel(rig, vm)
    vm.reboot(f"kexec now {files} '{CMDLINE} numa_balancing=disable'")
    rig.daemon.wait_ready(vm.name)
    settle(rig, vm, LESS)
    assert host_bytes(vm, NVM) <= LESS * MIB
    less = total(vm)
    program = keep(vm, 32)
    resize(rig, vm, NVM)
    assert total(vm) == less + (NVM - LESS) * MIB
    finish(vm, program)


# Linux 7.3 panics (in alloc_workqueue) when no memory is in the node of its processor.
@test(kernels=("6.1", "6.12"), check=("6.1",), timeout=900)
def crash_kernel(rig):
    """The guest's kernel panics, and a crash kernel, which lies in the tier that had given up
    memory, reads all of the memory that was the first one's.  The crash kernel gives nothing up.
    After a reboot, the guest gives up again what was requested."""
    less = 208
    vm = rig.boot(dram=320, nvm=NVM, disks=images(rig),
                  append="numa_balancing=disable nokaslr crashkernel=144M@352M")
    vm.expected = "Kernel panic - not syncing: sysrq triggered crash"
    resize(rig, vm, less)
    files = bring_kernel(rig, vm)
    vm.run(f"kexec panic {files} '{CMDLINE} maxcpus=1 reset_devices'; rm -r {files}")
    vm.reboot("echo c >/proc/sysrq-trigger")
    settle(rig, vm, NVM)
    read = int(vm.run("dd if=/proc/vmcore bs=1M 2>/dev/null | wc -c"))
    assert read > (320 + NVM - 144 - 16) * MIB, read
    assert "not used in a crash kernel" in vm.run("dmesg")
    assert rig.daemon.status(vm.name)["driver"] != "ok"
    assert size(rig, vm)["actual_bytes"] == NVM * MIB
    vm.reboot()
    rig.daemon.wait_ready(vm.name)
    settle(rig, vm, less)
    # The crash kernel has read all memory, so the host has provided it once more.
    assert host_bytes(vm, NVM) <= less * MIB
    program = keep(vm, 32)
    resize(rig, vm, NVM)
    finish(vm, program)


def balloon(rig, vm, mib):
    """Have the balloon inflated so that the guest has so many MiB."""
    vm.qmp("balloon", value=mib * MIB)
    rig.daemon.wait(lambda: vm.qmp("query-balloon")["actual"] == mib * MIB,
                    f"the balloon to leave {mib} MiB")


@test(check=("7.3",), timeout=600)
def beside_a_balloon(rig):
    """The host inflates a balloon while a tier is resized: each gives back what it has taken."""
    inflated = 48
    vm = rig.boot(**MACHINE, args=("-device", "virtio-balloon-pci,id=balloon0"))
    whole = [total(vm, node) for node in (0, 1)]
    program = keep(vm, 32)
    rig.daemon.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{LESS}M")
    balloon(rig, vm, DRAM + NVM - inflated)
    settle(rig, vm, LESS)
    now = [total(vm, node) for node in (0, 1)]
    assert sum(whole) - sum(now) == (NVM - LESS + inflated) * MIB, (whole, now)
    assert host_bytes(vm, NVM) <= LESS * MIB
    assert size(rig, vm, 0)["actual_bytes"] == DRAM * MIB
    resize(rig, vm, NVM)
    assert sum(whole) - sum(total(vm, node) for node in (0, 1)) == inflated * MIB
    rig.daemon.ctl("-d", vm.name, "resize", "--tier", 1, "--size", f"{LESS}M")
    balloon(rig, vm, DRAM + NVM)
    settle(rig, vm, LESS)
    resize(rig, vm, NVM)
    assert [total(vm, node) for node in (0, 1)] == whole
    finish(vm, program)


@test(kernels=("6.12",), timeout=600)
def with_page_reporting(rig):
    """The guest reports free pages to the host, which drops them, and gives up others."""
    vm = rig.boot(**MACHINE,
                  args=("-device", "virtio-balloon-pci,id=balloon0,free-page-reporting=on"))
    # More than fits in node 0, so node 1 is used.
    vm.run("dd if=/dev/zero of=/tmp/used bs=1M count=150 2>/dev/null")
    used = host_bytes(vm, NVM)
    vm.run("rm /tmp/used")
    rig.daemon.wait(lambda: host_bytes(vm, NVM) < used - 32 * MIB, "free pages to be reported")
    print(f"{used >> 20} MiB on the host, {host_bytes(vm, NVM) >> 20} after the report")
    less = host_bytes(vm, NVM)
    # Reported pages can be given up, too; the host has them already.
    resize(rig, vm, LESS)
    assert host_bytes(vm, NVM) <= min(less + 8 * MIB, LESS * MIB)
    program = keep(vm, 120)
    for mib in NVM, LESS + 32, NVM:
        resize(rig, vm, mib)
    finish(vm, program)
    program = keep(vm, 264)
    finish(vm, program)
