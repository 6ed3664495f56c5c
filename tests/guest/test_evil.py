# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose driver breaks the rules (tests/guest/evil) harms only itself: its device
is broken until it is reset, and hmemd and other guests are not affected."""

import re

import modules
from guest import test
from vm import MIB

# The rule that is broken, and the device's message.
BROKEN = {
    "short": "less than a header",
    "cut": "results with flags",
    "huge": "results at once",
    "many": "results at once",
    "unknown": "not under way",
    "zero-id": "not under way",
    "flags": "flags 0x",
    "status": "status",
    "reason": "reason 200",
    "order": "order 63",
    "gfn": "gfn 0x",
    "new-gfn": "new",
    "missing": "without results",
    "twice": "not under way",
    "endless": "open",
    "writable": "device-writable",
    "loop": "",
    "nowhere": "",
    "small-buffer": "hint buffer of 64 bytes",
    "readable-buffer": "",
}
ODD = ("honest", "liar")
START, END = 0x1000000, 0x1100000       # the hinted addresses


@test(timeout=600)
def breaks_every_rule(rig):
    vm = rig.boot(append="numa_balancing=disable")
    modules.install(vm, "evil", "evil")
    vm.run("rmmod virtio_hmem")
    for mode in (*ODD, *BROKEN):
        log = vm.qemu_log.stat().st_size
        vm.run(f"insmod /tmp/evil.ko mode={mode}")
        hint(rig)
        if mode in ODD:
            rig.daemon.wait(lambda: vm.info()["outstanding"] == 0, f"{mode} to answer")
            assert vm.info()["driver-state"] == "ok", mode
        else:
            rig.daemon.wait(lambda m=mode: vm.info()["driver-state"] == "broken",
                            f"{mode} to break the device", 60)
            rig.daemon.wait(lambda: rig.daemon.vms()["vm0"]["driver"] == "broken",
                            "hmemd to know", 60)
            said = vm.qemu_log.read_bytes()[log:].decode()
            assert said.strip() and BROKEN[mode] in said, (mode, said)
        vm.run("rmmod evil")
        assert vm.info()["driver-state"] == "none", mode
        assert vm.info()["outstanding"] == 0, mode
    # Then a driver that obeys the rules works.
    vm.run("modprobe virtio_hmem")
    rig.daemon.wait_ready()
    output = vm.run("anon 8 2 calm")
    assert "settle" in output
    assert rig.daemon.stats()["reasons"]["moved"] >= 4000


def hint(rig):
    """Send hints without waiting for results, because there may be none."""
    rig.daemon.wait(lambda: rig.daemon.vms()["vm0"]["driver"] != "none", "a driver")
    rig.daemon.ctl("-d", "vm0", "migrate", "--gpa", f"{START:#x}:{END:#x}", "--to", 1,
                   ok=(0, 1, 3))


POOL, GUARANTEE, HOT = 192, 72, 24


def in_dram(vm):
    """The part of the program's memory that is in node 0."""
    pages = [0, 0]
    maps = vm.run("cat /proc/$(pidof keep)/numa_maps")
    for node, num in re.findall(r" N([01])=(\d+)", maps):
        pages[int(node)] += int(num)
    return pages[0] / sum(pages)


@test(kernels=("6.12",), timeout=900)
def lies_about_everything(rig):
    """A guest that lies, as fast as it can, has no more than a guest without a driver: its own
    memory.  The other guest of the pool has its guarantee, its hot pages stay in DRAM, and
    hmemd moves its pages.  Later, the liar can be honest again."""
    rig.daemon.stop()
    rig.daemon.start("--pool", f"{POOL}M", "--policy", "auto,window=100")
    machine = {"dram": 128, "nvm": 160, "append": "numa_balancing=disable",
               "hmem_props": f"initial={POOL // 2}M:,minimum={GUARANTEE}M:"}
    honest, liar = rig.boot(**machine), rig.boot(**machine)

    def sizes():
        pool = rig.daemon.ctl("pool")["pool"]["vms"]
        return {vm["vm"]: vm["bytes"] // MIB for vm in pool}

    def fits():
        return sum(sizes().values()) <= POOL
    rig.daemon.wait(fits, "the machines to give up what the pool does not have")
    program = honest.spawn(f"rm -f /run/stop; keep {HOT} /run/stop 20")
    program.wait_for("filled")
    rig.daemon.wait(lambda: in_dram(honest) > 0.95, "the hot pages to be in DRAM")
    modules.install(liar, "evil", "liar")
    liar.run("rmmod virtio_hmem")
    for options in "", "reset=5":
        scans = liar.info()["stats"]["scans"]
        liar.run(f"insmod /tmp/liar.ko {options}")
        for _ in range(20):
            reasons = rig.daemon.migrate_range(START, END, 1, vm=honest.name)
            assert sum(reasons.values()) == (END - START) >> 12, reasons
            assert sizes()[honest.name] >= GUARANTEE, sizes()
            assert in_dram(honest) > 0.9
        # While it resets its device, there is no driver for a moment.
        assert liar.info()["driver-state"] != "broken"
        assert liar.info()["stats"]["connections"] == 1
        assert options or liar.info()["stats"]["scans"] > scans
        liar.run("rmmod liar")
    liar.run("modprobe virtio_hmem")
    rig.daemon.wait_ready(liar.name)
    rig.daemon.wait(fits, "the machines to give up what the pool does not have")
    honest.run("touch /run/stop")
    assert "all " in program.wait()
