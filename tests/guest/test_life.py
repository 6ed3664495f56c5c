# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that can come and go does so while pages move: hmemd, the driver,
the device, the guest, and time itself.  The guest's program goes on and loses no
write, and hmemd's policy takes up its work again by itself.  Tests that concern the
host alone run with one kernel."""

import time

from daemon import REASONS
from guest import test
from peer import DRIVER_OK, Peer
from work import STOP, Work, moved

POLICY = ("--policy", "writes,window=200,rate=64")
SMALL = {"dram": 128, "nvm": 64, "poison": True}


@test(kernels=("6.12",), timeout=600)
def daemon_comes_and_goes(rig):
    """hmemd is killed in the middle of moves, and started again while the machine runs.
    The policy continues by itself."""
    vm = rig.boot(**SMALL, ready=False, append="numa_balancing=disable")
    assert vm.info()["connected"] is False
    rig.daemon.wait_ready()
    work = Work(rig, vm)
    for _ in range(2 * rig.rounds):
        work.wait_jobs(1)
        rig.daemon.kill()
        assert vm.qmp("query-status")["status"] == "running"
        before = moved(vm)
        rig.daemon.start()
        rig.daemon.wait_ready()
        work.wait_jobs(1)
        assert moved(vm) > before
    # Now all written pages are in NVM, and only the policy moves them.
    work.done.set()
    work.thread.join()
    rig.daemon.migrate_all(1)
    rig.daemon.kill()
    rig.daemon.start(*POLICY)
    rig.daemon.wait_ready()
    rig.daemon.wait(lambda: rig.daemon.stats()["counters"]["promoted"] > 1000,
                    "the policy to promote pages")
    work.finish()
    assert vm.info()["stats"]["connections"] == 2 * rig.rounds + 2
    assert vm.info()["driver-state"] == "ok"
    # Batches of the killed hmemd have ended as well.
    rig.daemon.policy(name="off")
    rig.daemon.wait(lambda: vm.info()["outstanding"] == 0, "the guest to finish")


@test(check=("6.1",), timeout=600, debug=True)
def driver_comes_and_goes(rig):
    """The module is unloaded in the middle of moves, and loaded again."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    work = Work(rig, vm)
    for _ in range(3 * rig.rounds):
        work.wait_jobs(1)
        vm.run("rmmod virtio_hmem")
        assert vm.info()["driver-state"] == "none"
        assert vm.info()["outstanding"] == 0
        vm.run("modprobe virtio_hmem")
    work.wait_jobs()
    work.finish()
    # The driver was removed properly each time.
    assert vm.info()["stats"]["connections"] == 1, rig.daemon.tail()
    assert "violation" not in vm.qemu_log.read_text()


@test(check=("7.3",), timeout=600)
def device_comes_and_goes(rig):
    """The device is unplugged in the middle of moves, and plugged in again."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    work = Work(rig, vm)
    for _ in range(2 * rig.rounds):
        work.wait_jobs(1)
        vm.unplug()
        rig.daemon.wait(lambda: "vm0" not in rig.daemon.vms(), "the VM to be gone")
        vm.plug()
        rig.daemon.wait_ready()
    work.wait_jobs()
    work.finish()


@test(kernels=("6.12",), debug=True, timeout=600)
def guest_removes_device(rig):
    """The guest's administrator removes the device in the middle of moves, and has the bus
    searched for it.  For the driver this is as if the device was unplugged, which the debug
    kernel cannot do: it has no ACPI hotplug of PCI devices, and its PCI Express hotplug takes
    locks in an order of which it complains."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    device = vm.run("realpath /sys/bus/virtio/drivers/virtio_hmem/virtio*/..").strip()
    work = Work(rig, vm)
    for _ in range(2 * rig.rounds):
        work.wait_jobs(1)
        vm.run(f"echo 1 > {device}/remove")
        rig.daemon.wait(lambda: rig.daemon.vms()["vm0"]["driver"] == "none",
                        "the driver to be gone")
        vm.run("echo 1 > /sys/bus/pci/rescan")
        rig.daemon.wait_ready()
    work.wait_jobs()
    work.finish()


@test(kernels=("6.12",), timeout=600)
def guest_reboots(rig):
    """The guest is reset in the middle of moves, twice, and hmemd serves it again."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    vm.qmp("set-action", reboot="reset")
    for hard in (True, False):
        work = Work(rig, vm)
        work.wait_jobs(1)
        if hard:
            boots = vm.boots
            vm.qmp("system_reset")
            vm.wait_boot(boots + 1)
        else:
            vm.reboot()
        work.done.set()
        work.thread.join()
        rig.daemon.wait_ready()
    work = Work(rig, vm)
    work.wait_jobs()
    work.finish()


@test(kernels=("6.12",), timeout=600)
def vm_pauses(rig):
    """The machine is stopped for a while; batches under way wait."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    work = Work(rig, vm)
    for _ in range(2 * rig.rounds):
        work.wait_jobs(1)
        vm.qmp("stop")
        rig.daemon.wait(lambda: not rig.daemon.vms()["vm0"]["running"],
                        "hmemd to see the pause")
        before = moved(vm)
        time.sleep(0.3)
        assert moved(vm) == before
        vm.qmp("cont")
        work.wait_jobs(1)
        assert moved(vm) > before
    work.finish()


@test(check=("7.3",), timeout=600)
def guest_sleeps(rig):
    """Suspend to RAM and back in the middle of moves.  Since 7.3, even without this driver,
    a port of virtio_console is dead afterwards.  So the test starts all programs before,
    and they print to the console."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable mem_sleep_default=deep")
    # The driver also scans.
    rig.daemon.policy(name="observe", window=50)
    rig.daemon.wait(lambda: vm.info()["stats"]["scans"] > 10, "scans")
    work = Work(rig, vm, output="/dev/console")
    vm.spawn("cd /sys/kernel/debug/virtio_hmem/*;"
             "until grep -q '^moved  *[0-9]\\{4\\}' reasons; do sleep 0.1; done;"
             "echo mem > /sys/power/state; echo slept $? > /dev/console;"
             f"sleep 3; touch {STOP}")
    vm.wait_event("SUSPEND")
    rig.daemon.wait(lambda: not rig.daemon.status()["running"], "hmemd to see it")
    before = moved(vm)
    vm.qmp("system_wakeup")
    rig.daemon.wait(lambda: rig.daemon.status()["running"], "hmemd to see it go on")
    rig.daemon.wait(lambda: moved(vm) > before + 1000, "moves after the sleep")
    scans = vm.info()["stats"]["scans"]
    rig.daemon.wait(lambda: vm.info()["stats"]["scans"] > scans + 2, "scans after it")
    assert rig.daemon.status()["tracker"] == "gpt"
    rig.daemon.wait(lambda: "\nanon: " in vm.logs(), "the program to end")
    work.done.set()
    log = vm.logs()
    assert "\nslept 0\n" in log and "\nanon: 0\n" in log, log
    assert vm.info()["driver-state"] == "ok" and vm.info()["connected"]


@test(kernels=("6.12",), timeout=600)
def sleep_does_not_wait_for_a_batch(rig):
    """The driver answers the rest of a batch as stopped, so that the system can sleep at
    once: the kernel waits for 20 s only, and some batches take longer."""
    peer = Peer(rig.dir)
    vm = rig.boot(dram=256, nvm=256, ready=False,
                  append="numa_balancing=disable mem_sleep_default=deep")
    peer.wait_ready()
    vm.run("dd if=/dev/zero of=/tmp/data bs=1M count=128")
    batch = peer.send([(gfn, 9, 1) for gfn in range(512, 256 << 8, 512)])
    asleep = vm.sleep_and_wake("until grep -q '^moved  *[0-9]\\{3\\}' "
                            "/sys/kernel/debug/virtio_hmem/*/reasons; do :; done")
    print(asleep.wait())
    peer.wait(lambda: batch.end, "the batch to end")
    found = [REASONS[reason] for _, _, _, reason in batch.results]
    print({reason: found.count(reason) for reason in set(found)})
    assert batch.end == "done" and "stopped" in found
    # Pages move again afterwards.
    peer.wait_ready()
    answers = peer.hint([(gfn, 9, 1) for gfn in range(512, 256 << 8, 512)])
    assert "stopped" not in [REASONS[reason] for _, _, _, reason in answers]


@test(debug=True, timeout=600, parallel=True)
def processors_come_and_go(rig):
    """A processor goes offline and comes back while pages move and are scanned."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    rig.daemon.policy(name="auto", window=200, track="gpt")
    work = Work(rig, vm)
    for _ in range(5 * rig.rounds):
        vm.run("echo 0 > /sys/devices/system/cpu/cpu1/online")
        work.wait_jobs(1)
        vm.run("echo 1 > /sys/devices/system/cpu/cpu1/online")
        work.wait_jobs(1)
    ticks = vm.info()["stats"]["ticks"]
    rig.daemon.wait(lambda: vm.info()["stats"]["ticks"] > ticks, "a scan")
    work.finish()


TIMES = 1000000
# What fails a part of the driver's own calls for memory, and no others.
FAIL = ("text=$(cat /sys/module/virtio_hmem/sections/.text); "
        "for kind in failslab fail_page_alloc; do cd /sys/kernel/debug/$kind; "
        "echo $text > require-start; printf '%#x\\n' $((text + 0x20000)) > require-end; "
        "echo N > ignore-gfp-wait; echo 0 > verbose; echo {} > times; "
        "echo {} > probability; done; echo 0 > min-order; echo N > ignore-gfp-highmem")


@test(kernels=(), debug=True, timeout=600)
def moves_without_memory(rig):
    """A tenth of the calls for memory by the driver, and by what it calls, fails while pages
    move, are scanned and are given up.  No page is lost, and all goes on afterwards."""
    vm = rig.boot(**SMALL, append="numa_balancing=disable")
    rig.daemon.policy(name="auto", window=200, track="gpt")
    work = Work(rig, vm)
    work.wait_jobs(1)
    vm.run(FAIL.format(TIMES, 10))
    for size in "48M", "64M":
        rig.daemon.ctl("resize", "--tier", 1, "--size", size, ok=(0, 3))
        work.wait_jobs(2)
    # The kernel counts down.
    left = vm.run("cd /sys/kernel/debug; cat failslab/times fail_page_alloc/times").split()
    assert all(int(times) < TIMES for times in left), left
    vm.run(FAIL.format(0, 0))
    before = moved(vm)
    work.wait_jobs(2)
    assert moved(vm) > before
    work.finish()


@test(kernels=(), debug=True, timeout=600)
def wakes_without_memory(rig):
    """There is no memory for the queues when the system wakes up.  The device is useless
    then, but the driver can be removed, or it recovers after the next sleep."""
    peer = Peer(rig.dir)
    vm = rig.boot(ready=False, append="numa_balancing=disable mem_sleep_default=deep")
    peer.wait_ready()
    # Memory is not short while the kernel frees queues: its own code handles that badly,
    # and leaves freed interrupt descriptors in use.
    fail = ("cd /sys/kernel/debug/failslab; "
            "set -- $(sort /proc/kallsyms | grep -A 1 'hmem_restore[[:space:]]'); "
            "echo 0x$1 > require-start; echo 0x$5 > require-end; "
            "echo N > ignore-gfp-wait; echo 0 > verbose; echo -1 > times; "
            "echo 100 > probability")
    for recover in (True, False):
        vm.sleep_and_wake(fail).wait()
        vm.run("echo 0 > /sys/kernel/debug/failslab/probability")
        assert not peer.state & DRIVER_OK
        vm.run("ls -d /sys/bus/virtio/drivers/virtio_hmem/virtio*")
        if recover:
            vm.sleep_and_wake().wait()
            peer.wait_ready()
    vm.run("rmmod virtio_hmem; modprobe virtio_hmem")
    peer.wait_ready()
