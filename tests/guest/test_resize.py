# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest gives up memory of a tier, and takes it back.  The host gets that memory; only
the tier's node becomes smaller; and no program loses data."""

import os
import random
import re

from guest import test
from vm import MIB, VMError

STOP = "/run/stop"
MACHINE = {"dram": 128, "nvm": 192, "append": "numa_balancing=disable"}


def host_bytes(vm):
    """Bytes of the host's memory that each backend uses, by the backend's size in MiB."""
    found = []
    directory = f"/proc/{vm.process.pid}/fd"
    for fd in os.listdir(directory):
        path = f"{directory}/{fd}"
        try:
            if "memory-backend-memfd" in os.readlink(path):
                found.append(os.stat(path))
        except OSError:
            pass
    return {s.st_size // MIB: s.st_blocks * 512 for s in found}


def node_total(vm, node):
    """Bytes of memory that the guest's kernel has in a node."""
    text = vm.run(f"grep MemTotal /sys/devices/system/node/node{node}/meminfo")
    return int(re.search(r"(\d+) kB", text).group(1)) << 10


def size(rig, tier):
    return rig.daemon.status()["tiers"][tier]["size"]


def request(rig, tier, mib):
    return rig.daemon.ctl("resize", "--tier", tier, "--size", f"{mib}M")["resize"]


def settle(rig, vm, tier, mib):
    """Wait until the tier has this size."""
    try:
        rig.daemon.wait(lambda: size(rig, tier)["actual_bytes"] == mib * MIB,
                        f"tier {tier} to have {mib} MiB", timeout=150)
    except VMError:
        print(size(rig, tier), vm.run(f"cat /sys/devices/system/node/node{tier}/meminfo"))
        raise


def resize(rig, vm, tier, mib):
    """Request a size, and wait until the tier has it."""
    request(rig, tier, mib)
    settle(rig, vm, tier, mib)


def keep(vm, mib):
    program = vm.spawn(f"keep {mib} {STOP}")
    program.wait_for("filled")
    return program


def finish(vm, program):
    vm.run(f"touch {STOP}")
    assert "all " in program.wait()


@test(timeout=600)
def leaves_the_host_and_comes_back(rig):
    """A tier gets smaller and larger again, while a program runs."""
    vm = rig.boot(**MACHINE)
    program = keep(vm, 32)
    # Use all memory once, so that the host has allocated it.
    vm.run("dd if=/dev/zero of=/tmp/used bs=1M count=150 2>/dev/null; rm /tmp/used")
    before, nodes = host_bytes(vm), [node_total(vm, n) for n in (0, 1)]
    resize(rig, vm, 1, 96)
    assert size(rig, 1)["why"] is None and size(rig, 0)["actual_bytes"] == 128 * MIB
    given = {n: total - node_total(vm, n) for n, total in enumerate(nodes)}
    assert given == {0: 0, 1: 96 * MIB}, given
    # The node was nearly empty, so most of the memory was given up in huge pages.
    assert vm.counter("resize_huge") >= 32, vm.counter("resize_huge")
    after = host_bytes(vm)
    assert after[192] <= 96 * MIB, after
    print(before, after)

    # Programs can use the memory again.
    resize(rig, vm, 1, 192)
    assert [node_total(vm, n) for n in (0, 1)] == nodes
    assert vm.counter("resize_given") == vm.counter("resize_taken") == 96 * 256
    vm.run("dd if=/dev/zero of=/tmp/used bs=1M count=150 2>/dev/null; rm /tmp/used")
    resize(rig, vm, 1, 191)
    resize(rig, vm, 1, 192)
    finish(vm, program)
    assert "Out of memory" not in vm.run("dmesg")


@test(kernels=("6.12",), timeout=600)
def goes_no_further_than_the_node_is_free(rig):
    """The guest keeps memory that is in use, and tells the host why.  It gives up the rest
    when that is free."""
    vm = rig.boot(**MACHINE)
    program = keep(vm, 150)
    request(rig, 1, 72)
    rig.daemon.wait(lambda: size(rig, 1)["why"] == "node-full", "the node to be full")
    part = size(rig, 1)
    print(part)
    assert 72 * MIB < part["actual_bytes"] < 192 * MIB, part
    assert size(rig, 0)["actual_bytes"] == 128 * MIB
    finish(vm, program)
    settle(rig, vm, 1, 72)
    assert "Out of memory" not in vm.run("dmesg")


@test(kernels=("6.12",), timeout=600)
def comes_back_before_the_oom_killer(rig):
    """The guest takes memory back when a program needs it."""
    vm = rig.boot(**MACHINE)
    resize(rig, vm, 1, 72)
    program = keep(vm, 180)
    assert vm.counter("resize_oom") > 0
    rig.daemon.wait(lambda: size(rig, 1)["why"] in ("pressure", "node-full"),
                    "the guest to tell the host why")
    finish(vm, program)
    assert "Out of memory" not in vm.run("dmesg")
    # After the program has ended, the guest complies with the request.
    settle(rig, vm, 1, 72)


@test(timeout=600)
def comes_back_with_the_driver_gone(rig):
    """The guest has all memory again when the driver is unloaded, and gives it up again when
    the driver is loaded, or after a reboot."""
    vm = rig.boot(**MACHINE)
    total = node_total(vm, 1)
    resize(rig, vm, 1, 96)
    vm.run("rmmod virtio_hmem")
    rig.daemon.wait(lambda: size(rig, 1)["actual_bytes"] == 192 * MIB,
                    "the guest to take the memory back")
    assert node_total(vm, 1) == total
    assert size(rig, 1)["why"] == "no-driver"
    vm.run("modprobe virtio_hmem")
    rig.daemon.wait(lambda: size(rig, 1)["pending_bytes"] == 0,
                    "the guest to give up the memory again")
    if rig.kernel == "6.12":
        vm.reboot()
        rig.daemon.wait(lambda: size(rig, 1)["actual_bytes"] == 96 * MIB,
                        "the new kernel to give up the memory")
        # This kernel can lie in the other node, so the earlier total does not hold.
        less = node_total(vm, 1)
        resize(rig, vm, 1, 192)
        assert node_total(vm, 1) == less + 96 * MIB, less


@test(kernels=("6.12",), timeout=600)
def cold_pages_make_room(rig):
    """A program uses nearly all of tier 0: hmemd has its pages moved, even without a
    policy."""
    vm = rig.boot(**MACHINE)
    program = keep(vm, 48)
    resize(rig, vm, 0, 84)
    stats = rig.daemon.stats()["counters"]
    assert stats["demoted"] > 0, stats
    assert size(rig, 1)["actual_bytes"] == 192 * MIB
    finish(vm, program)
    assert "Out of memory" not in vm.run("dmesg")


@test(check=("6.1", "7.3"), timeout=600)
def tells_what_is_read_from_swap(rig):
    """A program uses more memory than there is: the guest tells the host how many pages it
    reads from swap, and for how long it waits for them."""
    vm = rig.boot(dram=128, nvm=96, append="numa_balancing=disable",
                  disks=[rig.disk("swap", 128)])
    vm.run("mkswap /dev/vda && swapon /dev/vda")
    assert rig.daemon.status()["paging"]["swapped_in"] == 0
    program = keep(vm, 200)

    def told():
        return rig.daemon.status()["paging"]
    rig.daemon.wait(lambda: told()["swapped_in"] >= 4096 and
                    0 < told()["swapped"] <= 128 << 8, "the guest to tell of its swap")
    finish(vm, program)
    paging = told()
    read = int(re.search(r"pswpin (\d+)", vm.run("cat /proc/vmstat")).group(1))
    print(paging, read)
    assert 4096 <= paging["swapped_in"] <= read, (paging, read)
    assert paging["read"] >= paging["swapped_in"] and paging["wait_ns"] > 0, paging

    # The program has ended, and the guest tells how much memory is free, to a huge page.
    def free():
        text = vm.run("grep MemFree /sys/devices/system/node/node1/meminfo")
        return int(re.search(r"(\d+) kB", text).group(1)) << 10
    rig.daemon.wait(lambda: abs(size(rig, 1)["free_bytes"] - free()) < 3 * MIB,
                    "the guest to tell of its free memory")


@test(kernels=("6.12",), timeout=600)
def random_sizes_under_load(rig):
    """Sizes are requested faster than the guest can follow, and hmemd is killed meanwhile.
    No page is lost, and all memory comes back."""
    vm = rig.boot(**MACHINE)
    nodes = [node_total(vm, n) for n in (0, 1)]
    program = keep(vm, 48)
    numbers = random.Random(14)
    for i in range(40):
        tier = numbers.randrange(2)
        pages = numbers.randrange(64 << 8, (128, 192)[tier] << 8)
        rig.daemon.ctl("resize", "--tier", tier, "--size", pages << 12)
        if i % 10 == 5:
            vm.run("dd if=/dev/zero of=/tmp/f bs=1M count=24 2>/dev/null; rm /tmp/f")
        if i == 20:
            rig.daemon.kill()
            rig.daemon.start()
            rig.daemon.wait_ready()
        assert program.status is None, program.output
    resize(rig, vm, 0, 128)
    resize(rig, vm, 1, 192)
    assert vm.counter("resize_given") == vm.counter("resize_taken") > 0
    assert [node_total(vm, n) for n in (0, 1)] == nodes
    finish(vm, program)
    assert "Out of memory" not in vm.run("dmesg")


@test(kernels=("6.12",), timeout=600)
def is_not_sent_in_live_migration(rig):
    """Memory that is given up is not sent, and the target's host does not allocate it; the
    guest can take it back there."""
    vm = rig.boot(**MACHINE)
    total = node_total(vm, 1)
    program = keep(vm, 32)
    resize(rig, vm, 1, 96)
    uri = f"unix:{rig.dir}/migration"
    to = rig.twin(vm, uri)
    vm.migrate(uri, max_bandwidth=1 << 40)
    to.take_over(vm)
    vm.wait_migration("completed")
    # To send a page, QEMU reads it, which makes both hosts allocate it.
    for side in vm, to:
        assert host_bytes(side)[192] <= 96 * MIB, host_bytes(side)
    vm.kill()
    rig.daemon.wait_ready(to.name)

    def sizes():
        return rig.daemon.status(to.name)["tiers"][1]["size"]
    rig.daemon.wait(lambda: sizes()["actual_bytes"] == 96 * MIB,
                    "the target to report the size")
    rig.daemon.ctl("-d", to.name, "resize", "--tier", 1, "--size", "192M")
    rig.daemon.wait(lambda: sizes()["actual_bytes"] == 192 * MIB,
                    "the guest to take the memory back")
    assert node_total(to, 1) == total
    finish(to, program)
