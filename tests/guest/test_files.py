# SPDX-License-Identifier: GPL-2.0-or-later
"""Page cache moves while files are written, read, mapped, synced, truncated and
punched: contents stay exact, and the file system's check is clean.  The program
is progs/files.c."""

import re

from guest import test

MIB = 24


def torture(rig, vm, directory, rounds=6):
    output = vm.run(f"files {directory} {MIB} {rounds * rig.rounds}")
    print(output)
    lines = [(kind, {k: int(v) for k, v in re.findall(r"([\w-]+)=(\d+)", rest)})
             for kind, rest in re.findall(r"^(\w+) (.*)$", output, re.M)]
    settled = {c["tier"]: c for kind, c in lines if kind == "settle"}
    busy = sum(c.get("moved", 0) for kind, c in lines if kind == "storm")
    return settled, busy


def assert_moved(settled, busy):
    assert busy > 2000, busy
    for tier, counts in settled.items():
        assert counts["there"] > counts["cached"] * 0.9 > 1000, (tier, counts)
    # Move all pages there and back.
    assert settled[0].get("moved", 0) > settled[0]["cached"] * 0.9, settled


@test(check=("7.3",), debug=True, timeout=600)
def tmpfs(rig):
    vm = rig.boot(append="numa_balancing=disable")
    vm.run("mkdir /dev/shm/t")
    assert_moved(*torture(rig, vm, "/dev/shm/t"))
    vm.run("files /dev/shm/t check")


def on_disk(rig, kind, disk, large=False):
    """With large, the kernel caches most of a file in large folios, and hints name neighbouring
    pages together."""
    vm = rig.boot(append="numa_balancing=disable", disks=[disk], on_hint=lambda tier, gfns:
                  rig.daemon.migrate(gfns, tier, order=9 if large else 0))
    vm.run(f"modprobe {kind}; mount -t {kind} /dev/vda /mnt")
    settled, busy = torture(rig, vm, "/mnt")
    whole = vm.counter("large_moved")
    print(f"{whole} large folios moved")
    assert whole > 100 if large else whole == 0, whole
    # The contents in the guest's view, and on the disk.
    vm.run("echo 3 > /proc/sys/vm/drop_caches; files /mnt check")
    vm.run(f"umount /mnt && mount -t {kind} -o ro /dev/vda /mnt && files /mnt check && "
           "umount /mnt")
    vm.power_off()
    return settled, busy


def ext4(rig, block, large=False):
    disk = rig.disk("files.img", 64, "-b", str(block))
    settled, busy = on_disk(rig, "ext4", disk, large)
    rig.fsck(disk)
    return settled, busy


@test(kernels=("6.1", "6.12"), check=("6.1",), debug=True, timeout=600)
def ext4_small_blocks(rig):
    """A file system with several buffers per page."""
    assert_moved(*ext4(rig, 1024))


@test(debug=True, kernels=("6.1", "6.12"), timeout=600)
def ext4_blocks_of_a_page(rig):
    assert_moved(*ext4(rig, 4096))


def xfs(rig, large):
    disk = rig.disk("files.img", 320, mkfs=("mkfs.xfs",))
    settled, busy = on_disk(rig, "xfs", disk, large)
    rig.fsck(disk, ("xfs_repair", "-n"))
    return settled, busy


def refuses_large_ones(settled, busy):
    assert busy > 0, busy
    for counts in settled.values():
        assert counts["there"] + counts.get("large", 0) > counts["cached"] * 0.9, counts


@test(kernels=("6.1",), check=(), timeout=600)
def xfs_large_folios_stay(rig):
    refuses_large_ones(*xfs(rig, large=False))


@test(kernels=("6.12",), debug=True, timeout=600)
def xfs_large_folios(rig):
    settled, busy = xfs(rig, large=True)
    assert_moved(settled, busy)


@test(kernels=("7.3",), timeout=600)
def ext4_large_folios(rig):
    assert_moved(*ext4(rig, 4096, large=True))
