# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver with devices that break the rules (tests/lib/hostile.py).  The guest's kernel does
not complain, programs find their data as it was, the driver can be unloaded whatever the device
does, and then the guest has all of its memory again.

For devices_that_lie, HMEM_CYCLES is the number of times that the driver is loaded (10), and
HMEM_SEED makes the same choices again.  What the devices do at the same time differs from run to
run."""

import os
import random
import time

import hostile
from guest import test

QEMU = "10.2"       # the first with a device whose back end is a program of one's own
DEVICES = 3
DRAM = NVM = 128    # MiB
FRAMES = (DRAM + NVM) << 8
ANSWERS = 60        # of a device for each time that the driver is loaded
QUIET = 2           # seconds after which a device has no more to answer
GIVEN = 192 << 20   # bytes: more than a memory block has
STOP = "/run/stop"


def arguments(devices):
    for i, device in enumerate(devices):
        yield from ("-chardev", f"socket,id=hostile{i},path={device.path}",
                    "-device", f"vhost-user-test-device-pci,chardev=hostile{i},virtio-id=63,"
                    f"num_vqs=5,vq_size=64,config_size=200,id=hostile{i}")


def errors(devices):
    return [d.error for d in devices if d.error]


def run_until_tired(devices):
    """Each device answers many times, or the driver says nothing more to it: the driver gives up
    a device that it has caught lying, and goes on with the others."""
    goals = [d.answers + ANSWERS for d in devices]
    seen = [(d.answers, time.monotonic()) for d in devices]
    while True:
        assert not errors(devices), errors(devices)
        now = time.monotonic()
        for i, device in enumerate(devices):
            if device.answers != seen[i][0]:
                seen[i] = device.answers, now
        if all(answers >= goal or now > since + QUIET
               for (answers, since), goal in zip(seen, goals)):
            break
        time.sleep(0.05)


def unload(vm, devices):
    for device in devices:
        device.hush()
    # After two commands, QEMU has read all that the devices have said.
    for _ in range(2):
        vm.qmp("query-status")
    vm.run("rmmod virtio_hmem")


def total_memory(vm):
    return int(vm.run("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"))


@test(debug=True, qemus=(QEMU,), timeout=900)
def devices_that_lie(rig):
    seed = int(os.environ.get("HMEM_SEED") or random.randrange(1 << 32))
    cycles = int(os.environ.get("HMEM_CYCLES") or 10)
    print(f"HMEM_SEED={seed} HMEM_CYCLES={cycles} makes the same choices", flush=True)
    devices = [hostile.Device(rig.dir / f"hostile{i}", seed + i, FRAMES, i == 0)
               for i in range(DEVICES)]
    vm = rig.boot(ready=False, hmem=None, qemu=QEMU, poison=True, dram=DRAM, nvm=NVM,
                  append="numa_balancing=disable", args=arguments(devices))
    unload(vm, devices)
    memory = total_memory(vm)
    program = vm.spawn(f"rm -f {STOP}; keep 32 {STOP} 5")
    program.wait_for("filled")
    for cycle in range(cycles):
        for device in devices:
            first = cycle == 0 and device is devices[0]
            device.begin(hostile.RESIZE if first else None)
            device.hush(False)
        vm.run("modprobe virtio_hmem")
        run_until_tired(devices)
        unload(vm, devices)
        assert total_memory(vm) == memory, (cycle, total_memory(vm), memory)
        print(f"cycle {cycle}: {[d.answers for d in devices]} answers", flush=True)
    vm.run(f"touch {STOP}")
    assert "all " in program.wait()
    lives, answers, lied = (sum(getattr(d, name) for d in devices)
                            for name in ("lives", "answers", "lied"))
    print(f"{lives} lives, {answers} answers, {lied} lies")
    assert not errors(devices), errors(devices)
    assert lives >= cycles and answers > 10 * cycles and lied > cycles


def resized(vm):
    return vm.counter("resize_given") + vm.counter("resize_taken")


def given(vm):
    return vm.counter("resize_given") - vm.counter("resize_taken")


def offline_and_online(vm):
    """Take each block of memory offline, and back online."""
    print(vm.run("for state in /sys/devices/system/memory/memory*/state; do"
                 "  if echo offline > $state; then echo online > $state; fi 2>/dev/null;"
                 "  echo $state: $(cat $state); done"))


def until(condition, what, vm, device):
    """Wait for something that the driver does, unless it has given up the device."""
    end = time.monotonic() + vm.timeout
    while not condition():
        assert not device.error, f"waiting for {what}: {device.error}"
        assert time.monotonic() < end, (
            f"waited {vm.timeout} s for {what}; the guest's kernel says: "
            + vm.run("dmesg | grep virtio_hmem | tail", check=False))
        time.sleep(0.05)


@test(check=("7.3",), debug=True, qemus=(QEMU,), timeout=900)
def device_that_does_not_answer(rig):
    """The OOM killer and memory hotplug go on, though they ask the driver for memory that it
    cannot take back.  When the device answers at last, the driver goes on as well."""
    device = hostile.Device(rig.dir / "hostile0", 1, FRAMES, True)
    vm = rig.boot(ready=False, hmem=None, qemu=QEMU, poison=True, dram=DRAM, nvm=NVM,
                  append="numa_balancing=disable", args=arguments([device]))
    unload(vm, [device])
    memory = total_memory(vm)
    device.begin(honest=True)
    device.hush(False)
    vm.run("modprobe virtio_hmem")
    until(lambda: resized(vm), "the first answer for a size", vm, device)
    device.stuck = hostile.RESIZE
    until(device.queues[hostile.RESIZE].avail, "a message for a size", vm, device)

    victim = vm.spawn("echo 1000 > /proc/self/oom_score_adj; echo ready; exec sleep 3600")
    victim.wait_for("ready")
    vm.run("echo f > /proc/sysrq-trigger")      # calls the OOM killer
    victim.wait(check=False)
    assert "Out of memory" in vm.run("dmesg")
    offline_and_online(vm)

    before = resized(vm)
    device.stuck = None
    until(lambda: resized(vm) > before, "the driver to see the late answer", vm, device)
    unload(vm, [device])
    assert total_memory(vm) == memory, (total_memory(vm), memory)


@test(check=("7.3",), debug=True, qemus=(QEMU,), timeout=900)
def device_that_answers_memory_hotplug_late(rig):
    """Nothing but memory hotplug sends a message, and the driver notices the late answer."""
    # Of the third memory block, all pages are movable, if the kernel itself is not there.
    nvm = 384
    device = hostile.Device(rig.dir / "hostile0", 1, (DRAM + nvm) << 8, True)
    device.offered &= ~hostile.PAGING       # else the driver has to report now and then
    vm = rig.boot(ready=False, hmem=None, qemu=QEMU, poison=True, dram=DRAM, nvm=nvm,
                  append="numa_balancing=disable kernelcore=240M nokaslr",
                  args=arguments([device]))
    unload(vm, [device])
    memory = total_memory(vm)
    device.begin(honest=True)
    device.calm = True
    device.requests_left = 0    # neither hints nor scans
    device.tiers[1].update(requested=device.tiers[1]["size"] - GIVEN, unit=0)
    device.hush(False)
    vm.run("modprobe virtio_hmem")
    until(lambda: given(vm) == GIVEN >> 12, "memory to be given up", vm, device)
    device.stuck = hostile.RESIZE
    offline_and_online(vm)
    assert device.queues[hostile.RESIZE].avail(), "memory hotplug has sent no message"
    before = vm.counter("resize_taken")
    device.stuck = None
    until(lambda: vm.counter("resize_taken") > before, "the driver to see the late answer",
          vm, device)
    unload(vm, [device])
    assert total_memory(vm) == memory, (total_memory(vm), memory)
