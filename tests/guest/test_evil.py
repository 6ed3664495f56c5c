# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose driver breaks the rules (tests/guest/evil) harms only itself: its device
is broken until it is reset, and hmemd and other guests are not affected."""

import base64
import subprocess

import env
from guest import test

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


def install(vm):
    module = subprocess.run([env.TESTS / "guest" / "evil" / "build", vm.kernel],
                            check=True, stdout=subprocess.PIPE,
                            text=True).stdout.splitlines()[-1]
    with open(module, "rb") as f:
        data = base64.b64encode(f.read()).decode()
    for i in range(0, len(data), 1 << 16):
        vm.run(f"echo {data[i:i + (1 << 16)]} | base64 -d >> /tmp/evil.ko")


@test(timeout=600)
def breaks_every_rule(rig):
    vm = rig.boot(append="numa_balancing=disable")
    install(vm)
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
