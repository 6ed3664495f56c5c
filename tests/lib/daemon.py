# SPDX-License-Identifier: GPL-2.0-or-later
"""hmemd under test, and hmemctl."""

import json
import pathlib
import re
import signal
import subprocess
import time

import env
from vm import VMError, die_with_parent

VM_SOCKET = "hmem.sock"
CONTROL_SOCKET = "ctl.sock"

# The names of VIRTIO_HMEM_R_* that the driver and hmemctl print.
REASONS = re.findall(r'"(.*?)"', (env.TOP / "spec/virtio_hmem.h")
                     .read_text().split("VIRTIO_HMEM_REASON_NAMES")[1])


class Daemon:
    """hmemd with its sockets in the directory.  Without a policy it moves nothing by
    itself.  tools is the directory of another hmemd and hmemctl than those of the tests."""

    def __init__(self, directory, name="hmemd", sanitize=True, tools=None):
        self.dir = pathlib.Path(directory)
        self.tools = tools or env.host_tools(sanitize)
        self.name = name
        self.log = self.dir / f"{name}.log"
        # A second hmemd has another name and its own sockets.
        prefix = "" if name == "hmemd" else f"{name}-"
        self.vm_socket = self.dir / (prefix + VM_SOCKET)
        self.control_socket = self.dir / (prefix + CONTROL_SOCKET)
        self.process = None
        self.killed = False

    def start(self, *args):
        """Nothing moves by itself unless a policy is among the arguments."""
        if "--policy" not in args:
            args = ("--policy", "off", *args)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.tools / "hmemd", "--vm-socket", self.vm_socket,
                 "--socket", self.control_socket, *args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent)
        self.killed = False
        while not self.control_socket.exists():
            if self.process.poll() is not None:
                raise VMError(f"hmemd did not start:\n{self.tail()}")
            time.sleep(0.02)

    def kill(self):
        """End hmemd at once, as a crash would."""
        self.killed = True
        self.process.kill()
        self.process.wait()
        self.control_socket.unlink(missing_ok=True)

    def stop(self):
        """End hmemd by SIGTERM; raises an error if it has died before."""
        if self.process.poll() is not None:
            if self.killed:
                return
            raise VMError(f"hmemd ended with status {self.process.returncode}:\n"
                          f"{self.tail()}")
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise VMError(f"hmemd does not end:\n{self.tail()}") from None
        if status:
            raise VMError(f"hmemd ended with status {status}:\n{self.tail()}")

    def tail(self):
        return self.log.read_text("utf-8", "replace")[-3000:]

    def hmemctl(self, args, stdin=None):
        """Run hmemctl; returns its exit status, output, and errors."""
        done = subprocess.run(
            [self.tools / "hmemctl", "-s", self.control_socket, *args],
            input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def ctl(self, *args, stdin=None, ok=(0,)):
        """Run hmemctl -o json ARGS; returns the parsed output."""
        status, out, errors = self.hmemctl(
            ["-o", "json", "--timeout", "600", *map(str, args)], stdin)
        if status not in ok:
            raise VMError(f"hmemctl {' '.join(map(str, args))} ended with status "
                          f"{status}:\n{errors}")
        return json.loads(out) if out.strip() else None

    def vms(self):
        """The connected VMs, by name."""
        return {v["name"]: v for v in self.ctl("list")["vms"]}

    def wait_ready(self, name="vm0", timeout=300):
        """Wait until the VM is connected and its driver is at work."""
        self.wait(lambda: self.vms().get(name, {}).get("driver") == "ok",
                  f"the driver of VM '{name}'", timeout)

    def wait(self, condition, what, timeout=300):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise VMError(f"hmemd: waited {timeout} s for {what}:\n{self.tail()}\n"
                              f"{json.dumps(self.ctl('list'), indent=1)}")
            time.sleep(0.1)

    def status(self, vm="vm0"):
        return self.ctl("-d", vm, "status")["vms"][0]

    def stats(self, vm="vm0"):
        """The statistics: {"counters": {}, "reasons": {}, "rejects": {}}"""
        return self.ctl("-d", vm, "stats")

    def policy(self, vm="vm0", **settings):
        """Set the policy (name="writes" switches it on) and its tunables."""
        return self.ctl("-d", vm, "policy", "set",
                        *(f"{k}={v}" for k, v in settings.items()))["policy"]

    def migrate(self, gfns, tier, vm="vm0", order=None):
        """Move pages; returns (gfn, new_gfn, number of the reason, or -1 if no
        result came) for each."""
        args = ["--order", order] if order is not None else []
        answer = self.ctl("-d", vm, "migrate", "--gfn-list", "-", "--to", tier,
                          "--wait", "--results", *args,
                          stdin="".join(f"{g:#x}\n" for g in gfns), ok=(0, 3))
        # A busy page is tried again: its last result is the final one.
        last = {}
        for r in answer["results"]:
            reason = REASONS.index(r["reason"])
            for i in range(1 << r["order"]):
                last[r["gfn"] + i] = (r["new_gfn"] + i, reason)
        return [(g, *last.get(g, (g, -1))) for g in gfns]

    def migrate_range(self, start, end, tier, vm="vm0", ok=(0, 3)):
        """Move the pages in a range of guest-physical addresses; returns the counts
        by reason."""
        return self.ctl("-d", vm, "migrate", "--gpa", f"{start:#x}:{end:#x}",
                        "--to", tier, "--wait", ok=ok)["migrate"]["reasons"]

    def migrate_all(self, tier, vm="vm0"):
        """Move all memory of the machine that is in other tiers."""
        return self.ctl("-d", vm, "migrate", "--all", "--to", tier, "--wait",
                        ok=(0, 3))["migrate"]["reasons"]
