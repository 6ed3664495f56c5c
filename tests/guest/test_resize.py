# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory of a tier is given up and taken back: it leaves the host and comes back, it is
memory of that tier's node and of no other, and no program loses what it has."""

import os
import random
import re

from guest import test
from vm import MIB, VMError

STOP = "/run/stop"
MACHINE = {"dram": 128, "nvm": 192, "append": "numa_balancing=disable"}


def host_bytes(vm):
    """Bytes that the host has memory for, by backend, as memory files tell."""
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
    """Bytes of memory that a node has for its guest."""
    text = vm.run(f"grep MemTotal /sys/devices/system/node/node{node}/meminfo")
    return int(re.search(r"(\d+) kB", text).group(1)) << 10


def size(rig, tier):
    return rig.daemon.status()["tiers"][tier]["size"]


def ask(rig, tier, mib):
    return rig.daemon.ctl("resize", "--tier", tier, "--size", f"{mib}M")["resize"]


def settle(rig, vm, tier, mib):
    """Wait until the tier has what it is to have."""
    try:
        rig.daemon.wait(lambda: size(rig, tier)["actual_bytes"] == mib * MIB,
                        f"tier {tier} to have {mib} MiB", timeout=150)
    except VMError:
        print(size(rig, tier), vm.run(f"cat /sys/devices/system/node/node{tier}/meminfo"))
        raise


def resize(rig, vm, tier, mib):
    """Ask for it and wait until it is so."""
    ask(rig, tier, mib)
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
    # All of it has been in use once.
    vm.run("dd if=/dev/zero of=/tmp/used bs=1M count=150 2>/dev/null; rm /tmp/used")
    before, nodes = host_bytes(vm), [node_total(vm, n) for n in (0, 1)]
    resize(rig, vm, 1, 96)
    assert size(rig, 1)["why"] is None and size(rig, 0)["actual_bytes"] == 128 * MIB
    given = {n: total - node_total(vm, n) for n, total in enumerate(nodes)}
    assert given == {0: 0, 1: 96 * MIB}, given
    # Mostly huge pages: the node was nearly empty.
    assert vm.counter("resize_huge") >= 32, vm.counter("resize_huge")
    after = host_bytes(vm)
    assert after[192] <= 96 * MIB, after
    print(before, after)

    # It is memory as any other again.
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
    """What is in use stays; the host is told why, and gets the rest when it is free."""
    vm = rig.boot(**MACHINE)
    program = keep(vm, 150)
    ask(rig, 1, 72)
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
    """A program needs what was given up."""
    vm = rig.boot(**MACHINE)
    resize(rig, vm, 1, 72)
    program = keep(vm, 180)
    assert vm.counter("resize_oom") > 0
    rig.daemon.wait(lambda: size(rig, 1)["why"] in ("pressure", "node-full"),
                    "the host to be told")
    finish(vm, program)
    assert "Out of memory" not in vm.run("dmesg")
    # The program has ended: the host gets what it asked for.
    settle(rig, vm, 1, 72)


@test(timeout=600)
def comes_back_with_the_driver_gone(rig):
    """Unloaded, and loaded again; the guest boots anew."""
    vm = rig.boot(**MACHINE)
    total = node_total(vm, 1)
    resize(rig, vm, 1, 96)
    vm.run("rmmod virtio_hmem")
    rig.daemon.wait(lambda: size(rig, 1)["actual_bytes"] == 192 * MIB, "it to be back")
    assert node_total(vm, 1) == total
    assert size(rig, 1)["why"] == "no-driver"
    vm.run("modprobe virtio_hmem")
    rig.daemon.wait(lambda: size(rig, 1)["pending_bytes"] == 0, "it to be given up again")
    if rig.kernel == "6.12":
        vm.reboot()
        rig.daemon.wait(lambda: size(rig, 1)["actual_bytes"] == 96 * MIB,
                        "the new kernel to give it up")
        assert node_total(vm, 1) == total - 96 * MIB


@test(kernels=("6.12",), timeout=600)
def cold_pages_make_room(rig):
    """A program has nearly all of tier 0: hmemd has its pages moved, without a policy."""
    vm = rig.boot(**MACHINE)
    program = keep(vm, 48)
    resize(rig, vm, 0, 84)
    stats = rig.daemon.stats()["counters"]
    assert stats["demoted"] > 0, stats
    assert size(rig, 1)["actual_bytes"] == 192 * MIB
    finish(vm, program)
    assert "Out of memory" not in vm.run("dmesg")


@test(kernels=("6.12",), timeout=600)
def random_sizes_under_load(rig):
    """Sizes come faster than they can be reached, and hmemd is killed in the middle: no
    page is lost, and all of them come back."""
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
    """The other side has no memory for what is given up, and takes it back."""
    vm = rig.boot(**MACHINE)
    total = node_total(vm, 1)
    program = keep(vm, 32)
    resize(rig, vm, 1, 96)
    uri = f"unix:{rig.dir}/migration"
    to = rig.twin(vm, uri)
    vm.migrate(uri, max_bandwidth=1 << 40)
    to.take_over(vm)
    vm.wait_migration("completed")
    # To be sent, a page is read, and so comes into being, on both sides.
    for side in vm, to:
        assert host_bytes(side)[192] <= 96 * MIB, host_bytes(side)
    vm.kill()
    rig.daemon.wait_ready(to.name)

    def sizes():
        return rig.daemon.status(to.name)["tiers"][1]["size"]
    rig.daemon.wait(lambda: sizes()["actual_bytes"] == 96 * MIB, "the size to be told")
    rig.daemon.ctl("-d", to.name, "resize", "--tier", 1, "--size", "192M")
    rig.daemon.wait(lambda: sizes()["actual_bytes"] == 192 * MIB, "it to be back")
    assert node_total(to, 1) == total
    finish(to, program)
