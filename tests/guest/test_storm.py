# SPDX-License-Identifier: GPL-2.0-or-later
"""Every frame of the machine is hinted to both tiers, again and again, while
programs start, use memory in all ways and exit.  The guest's kernel must not
complain (panic_on_warn=1 slub_debug=FZP page_poison=1), nor any program."""

import re

from guest import test
from vm import VMError

ROUNDS = 3
STOP = "/run/stop"
EXT4, XFS = "/mnt", "/run/xfs"      # where disks are mounted
KSM = "/sys/kernel/mm/ksm"
CGROUP = "/run/cgroup"
LIMIT = 12 << 20        # bytes of all limited programs together: they want twice as much
# Addresses without memory: PCI's hole, and the end of the address space.
HOLES = ((0xc0000000, 0xc0100000), (0xfee00000, 0xfee01000),
         (0x400_00000000, 0x400_00100000), ((1 << 48) - 4096, 1 << 48))


def storm(rig, vm, commands=("true",)):
    """Run the program while all memory moves; returns the moves."""
    for command in (f"echo 1 > {KSM}/run; echo 1000 > {KSM}/pages_to_scan",
                    "mkdir -p /dev/shm/storm /tmp/storm", *commands):
        vm.run(command)
    directories = vm.run(f"ls -d /dev/shm/storm /tmp/storm {EXT4}/storm {XFS}/storm 2>/dev/null",
                         check=False).split()
    rounds = 1 if rig.debug else ROUNDS     # the debug kernel is slow
    process = vm.spawn(f"storm {STOP} {' '.join(directories)}")
    moved = [0, 0]
    for number in range(2 * rounds * rig.rounds):
        tier = not number & 1
        moved[tier] += rig.daemon.migrate_all(int(tier))["moved"]
        assert process.status is None, process.output
        nowhere(rig)
    vm.run(f"touch {STOP}")
    output = process.wait()
    print(output)
    done = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", output)}
    assert len(done) == 9 and all(done.values()), done
    # Most of the programs' pages can move.
    assert min(moved) > 1000 * rounds * rig.rounds, moved
    return moved


def nowhere(rig):
    """hmemd refuses frames that do not exist before the guest gets hints."""
    before = rig.vms[0].info()["stats"]["hints"]
    for start, end in HOLES:
        try:
            reasons = rig.daemon.migrate_range(start, end, 1)
            assert not any(v for k, v in reasons.items() if k != "bad-gfn"), reasons
        except VMError as e:
            assert "no guest memory" in str(e), e
    assert rig.vms[0].info()["stats"]["hints"] == before


@test(check=("6.1",), debug=True, timeout=600, parallel=True)
def every_frame(rig):
    vm = rig.boot(poison=True, dram=128, nvm=256, append="numa_balancing=disable")
    # Base pages move in groups as large as possible; in the other storms, in small groups.
    storm(rig, vm, ("echo 1000000 > /sys/module/virtio_hmem/parameters/pause_us",))
    alike(rig, vm)


@test(check=("6.12", "7.3"), debug=True, timeout=600)
def every_frame_with_all_that_moves(rig):
    """The same with the guest's own movers at work (NUMA balancing, compaction,
    khugepaged, swapping, KSM), files on two disks, and programs with a limit of memory."""
    ext4 = rig.disk("ext4.img", 64)
    xfs = rig.disk("xfs.img", 320, mkfs=("mkfs.xfs",))
    vm = rig.boot(poison=True, dram=128, nvm=256, disks=[ext4, xfs])
    thp = "/sys/kernel/mm/transparent_hugepage"
    vm.run(f"mkdir -p {CGROUP} /tmp/limited && mount -t cgroup2 none {CGROUP} && cd {CGROUP} && "
           f"echo +memory > cgroup.subtree_control && mkdir storm && "
           f"echo {LIMIT} > storm/memory.max")
    limited = vm.spawn(f"echo 0 > {CGROUP}/storm/cgroup.procs; "
                       f"exec storm {STOP} /tmp/limited")
    storm(rig, vm, (
        f"modprobe ext4; mount -t ext4 /dev/vda {EXT4} && mkdir {EXT4}/storm",
        f"modprobe xfs; mkdir {XFS}; mount -t xfs /dev/vdb {XFS} && mkdir {XFS}/storm",
        "modprobe zram; echo 64M > /sys/block/zram0/disksize && mkswap /dev/zram0 && "
        "swapon /dev/zram0",
        f"echo always > {thp}/enabled; echo 100 > {thp}/khugepaged/scan_sleep_millisecs",
        "(while [ ! -e /run/stop ]; do echo 1 > /proc/sys/vm/compact_memory; "
        "echo 1 > /proc/sys/vm/drop_caches; sleep 0.3; done) >/dev/null 2>&1 &"))
    alike(rig, vm)
    # The kernel may have killed the first process of the limited ones.
    limited.wait(check=False)
    assert limited.status in (0, -9), limited.output
    assert int(vm.run(f"sed -n 's/^max //p' {CGROUP}/storm/memory.events")) > 0
    vm.run(f"umount {EXT4} {XFS}")
    vm.power_off()
    rig.fsck(ext4)
    rig.fsck(xfs, ("xfs_repair", "-n"))


@test(check=("7.3",), debug=True, timeout=600)
def pages_that_ksm_merges(rig):
    """ksmd makes a mapping point to another page while the driver is about to take
    the page away from there."""
    vm = rig.boot(poison=True, dram=64, nvm=128, append="numa_balancing=disable")
    vm.run(f"echo 0 > {KSM}/sleep_millisecs; echo 5000 > {KSM}/pages_to_scan;"
           f"echo 1 > {KSM}/run")
    process = vm.spawn(f"storm -k merged {STOP} /tmp")

    # Merged pages that were written and so are single pages again.
    def copied():
        return int(vm.run("sed -n 's/^cow_ksm //p' /proc/vmstat"))
    rounds = (4 if rig.debug else 16) * rig.rounds
    while rounds > 0 or copied() < (100 if rig.debug else 1000):
        rig.daemon.migrate_all(rounds & 1)
        assert process.status is None, process.output
        rounds -= 1
    vm.run(f"touch {STOP}")
    print(process.wait())


def alike(rig, vm):
    """Check that driver, device and hmemd have counted the same results."""
    text = vm.run("cat /sys/kernel/debug/virtio_hmem/*/reasons")
    driver = {k: int(v) for k, v in re.findall(r"(\S+) +(\d+)", text)}
    device = vm.info()["stats"]["frames-by-reason"]
    daemon = rig.daemon.stats()["reasons"]
    assert driver == device == daemon, (driver, device, daemon)
    assert vm.info()["outstanding"] == 0
