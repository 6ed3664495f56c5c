# SPDX-License-Identifier: GPL-2.0-or-later
"""Each kind of page moves, or is refused for its own reason, and is unharmed
either way; driver, device and hmemd count it under that reason alike.  The
program is progs/kinds.c."""

import os
import re

import iso
from guest import test

APPEND = "numa_balancing=disable secretmem.enable=1"
MNT = "mount -t {} none -o {} /mnt/{}"


def counts(text):
    return {k: int(v) for k, v in re.findall(r"([\w-]+)=(\d+)", text)}


def reasons(vm):
    text = vm.run("cat /sys/kernel/debug/virtio_hmem/*/reasons")
    return {k: int(v) for k, v in re.findall(r"(\S+) +(\d+)", text)}


def kind(rig, vm, name, reason, args="", share=1.0, within="true"):
    """Run "kinds NAME", after the shell command within.  At least this share of its pages
    must have the reason.  Returns all that the program printed, or None if this kernel has
    no such pages."""
    before = reasons(vm)
    process = vm.spawn(f"{within} && exec kinds {name} {args}")
    output = process.wait(check=False).strip()
    print(f"{name}: {output}")
    if process.status == 77:
        return None
    assert process.status == 0, f"{name}: {output}"
    found = counts(output.split("then")[0])
    total = sum(v for k, v in found.items() if k in before)
    assert found.get(reason, 0) >= max(1, total * share), f"{name}: {output}"
    after = reasons(vm)
    # The driver itself counted the reasons.  Merged pages count as one.
    least = 1 if reason == "ksm" else found[reason]
    assert after[reason] - before[reason] >= least, (name, before, after)
    device = vm.info()["stats"]["frames-by-reason"]
    assert device == after, (name, device, after)
    daemon = rig.daemon.stats()["reasons"]
    assert daemon == after, (name, daemon, after)
    return counts(output)


@test(check=("6.1", "7.3"), debug=True, timeout=600)
def memory_of_processes(rig):
    vm = rig.boot(append=APPEND)
    vm.run("modprobe zram; echo 64M > /sys/block/zram0/disksize && "
           "mkswap /dev/zram0 && swapon /dev/zram0")
    # The program's memory is in DRAM.
    got = kind(rig, vm, "anon", "moved", share=0.98)
    assert got["there"] > 250, got
    got = kind(rig, vm, "shared", "moved", share=0.98)
    assert got["child"] > 250, got
    got = kind(rig, vm, "mlocked", "moved", share=0.98)
    assert got["there"] > 250 and got["mlocked"] > 200, got
    got = kind(rig, vm, "piped", "pinned")
    assert got["moved"] == got["there"] == 16, got
    got = kind(rig, vm, "pinned", "pinned")
    assert got["there"] == 0, got
    got = kind(rig, vm, "swapped", "moved", share=0.9)
    assert got["swapcache"] > 200, got
    assert kind(rig, vm, "ksm", "ksm")["there"] == 0
    got = kind(rig, vm, "mergeable", "ksm", share=0.98)
    assert got["moved"] == got["there"] > 250, got
    assert kind(rig, vm, "hugetlb", "hugetlb")["there"] == 0
    # The page is neither moved nor split.
    got = kind(rig, vm, "cut", "large")
    assert got is None or got["there"] == 0 and got["huge"] == 512, got
    # 300 processes share the pages, which is too many: their pause would be too long.
    got = kind(rig, vm, "many", "unsupported", "300")
    assert got["moved"] == got["there"] == 16, got
    assert kind(rig, vm, "secret", "inaccessible")["there"] == 0
    kind(rig, vm, "poisoned", "poison")


@test(debug=True)
def memory_of_who_is_restricted(rig):
    """A cpuset or a policy restricts one of the processes that share a page."""
    vm = rig.boot(append=APPEND)
    vm.run("mkdir /run/cg /run/tmpfs; mount -t cgroup2 none /run/cg && "
           "echo +cpuset > /run/cg/cgroup.subtree_control && mkdir /run/cg/r && "
           "echo 0 > /run/cg/r/cpuset.mems;"
           "mount -t tmpfs -o huge=never none /run/tmpfs")
    cpuset = "echo $$ > /run/cg/r/cgroup.procs"
    for name in ("anon", "shared", "file"):
        got = kind(rig, vm, name, "restricted", "/run/tmpfs/f", within=cpuset)
        assert got["there"] == 0, (name, got)
    # Without the cpuset, the same pages move.
    got = kind(rig, vm, "file", "moved", "/run/tmpfs/f", share=0.98)
    assert got["there"] > 250, got
    for name in ("bound", "bound-file", "bound-task", "bound-sharer"):
        got = kind(rig, vm, name, "restricted")
        assert got["moved"] == got["there"] > 250, (name, got)


@test(debug=True)
def memory_of_the_kernel(rig):
    vm = rig.boot(append=APPEND)
    for name in ("slab", "pgtable", "reserved"):
        kind(rig, vm, name, "kernel", share=0.9)
    kind(rig, vm, "kernel", "kernel", share=0)
    kind(rig, vm, "free", "free", share=0.9)


@test(kernels=(), debug=True)
def memory_of_the_kernel_is_not_held(rig):
    """The driver takes no reference, because the owner may rely on having the only one."""
    vm = rig.boot(append=APPEND)
    page_ref = "/sys/kernel/tracing/events/page_ref"
    trace = "/sys/kernel/tracing/trace"
    code = re.search(r"(\w+)-(\w+) : Kernel code", vm.run("cat /proc/iomem"))
    start, end = (int(n, 16) >> 12 for n in code.groups())
    vm.run(f"echo 'pfn >= {start} && pfn < {end}' > {page_ref}/filter;"
           f"echo 1 > {page_ref}/enable")
    rig.daemon.migrate(range(start, start + 256), 1)
    assert reasons(vm)["kernel"] >= 256, reasons(vm)
    assert "page_ref" not in vm.run(f"cat {trace}"), vm.run(f"cat {trace}")
    # For comparison: the driver holds pages that move, which the test can see.
    vm.run(f"echo 0 > {page_ref}/filter")
    kind(rig, vm, "anon", "moved", share=0.98)
    assert "page_ref_mod_unless" in vm.run(f"grep -m 1 -w page_ref_mod_unless {trace}")


@test(debug=True)
def memory_that_is_offline(rig):
    """Memory that the host knows, but the guest does not use."""
    # Enough memory to have a block without unmovable pages.
    vm = rig.boot(append=f"{APPEND} movablecore=600M", nvm=768)
    block = int(vm.run("cat /sys/devices/system/memory/block_size_bytes"), 16)
    memory = "/sys/devices/system/node/node1"
    numbers = sorted(int(n) for n in re.findall(
        r"memory(\d+)", vm.run(f"ls -d {memory}/memory*")))
    # The kernel uses the first and the last block; in others, a page may be in use for a
    # moment.
    for number in numbers[-2:0:-1] * 4:
        if vm.status(f"echo offline > {memory}/memory{number}/state") == 0:
            break
    else:
        raise AssertionError("no block of memory can be taken offline")
    kind(rig, vm, "frame", "bad-gfn", args=hex(number * block >> 12))
    vm.run(f"echo online_movable > {memory}/memory{number}/state")
    kind(rig, vm, "frame", "free", args=hex(number * block >> 12))


@test(check=("7.3",), debug=True)
def files(rig):
    # Blocks are smaller than a page, so that no kernel uses large folios.
    disk = rig.disk("kinds.img", 64, "-b", "1024")
    disc = rig.dir / "kinds-iso.img"
    disc.write_bytes(iso.image("F", os.urandom(1 << 20)))
    vm = rig.boot(append=APPEND, disks=[disk, disc])
    vm.run("mkdir /mnt/ramfs /mnt/tmpfs /mnt/huge /mnt/ext4 /mnt/iso;"
           "modprobe ext4; modprobe isofs; mount -t iso9660 -o ro /dev/vdb /mnt/iso")
    for fs, options in (("ramfs", "mode=700"), ("tmpfs", "huge=never")):
        vm.run(MNT.format(fs, options, fs))
    vm.run(MNT.format("tmpfs", "huge=always", "huge"))
    vm.run("mount -t ext4 /dev/vda /mnt/ext4")
    assert kind(rig, vm, "file", "moved", "/mnt/tmpfs/f", 0.9)["there"] > 220
    kind(rig, vm, "file", "unsupported", "/mnt/ramfs/f", 0.9)
    # The file system cannot move the page, but a clean page has nothing to lose.
    got = kind(rig, vm, "read-only", "moved", "/mnt/iso/f", 0.9)
    assert got["there"] > 220, got
    kind(rig, vm, "huge-file", "large", "/mnt/huge/f")
    assert kind(rig, vm, "file", "moved", "/mnt/ext4/f", 0.9)["there"] > 220
    writeback(vm)
    vm.run("umount /mnt/ext4")
    vm.power_off()
    rig.fsck(disk)


@test(kernels=("6.12", "7.3"))
def locked_files(rig):
    """Large folios of a file that are mlocked stay, and move when they are unlocked."""
    disk = rig.disk("kinds.img", 320, mkfs=("mkfs.xfs",))
    vm = rig.boot(append=APPEND, disks=[disk],
                  on_hint=lambda tier, gfns: rig.daemon.migrate(gfns, tier, order=9))
    vm.run("modprobe xfs; mount -t xfs /dev/vda /mnt")
    got = kind(rig, vm, "locked-file", "large", "/mnt/f", share=0.9)
    assert got["stayed"] > 460 and got["still"] == got["mlocked"] > 0, got
    assert got["after"] > 460 and vm.counter("large_moved") > 0, got


def writeback(vm):
    """On a disk that writes very slowly, until the test speeds it up."""
    def throttle(rate):
        vm.qmp("human-monitor-command",
               command_line=f"block_set_io_throttle disk0 0 0 {rate} 0 0 0")
    process = vm.spawn("kinds writeback /mnt/ext4/w")
    process.wait_for("ready")
    throttle(4096)
    vm.run("touch /run/go")
    process.wait_for("hinted")
    throttle(0)
    output = process.wait()
    print(f"writeback: {output}")
    found = counts(output.split("ready")[1].split("hinted")[0])
    assert found.get("writeback") == 256, output
    after = counts(output.split("then")[1])
    assert "writeback" not in after, output
