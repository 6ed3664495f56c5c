# SPDX-License-Identifier: GPL-2.0-or-later
"""A root directory that is booted with its own systemd, see env/boot-root, and the hmemd in it."""

import json
import pathlib
import subprocess
import time

import daemon
import env
import vm

PATIENCE = 300


class Host:
    """The booted root."""

    def __init__(self, root):
        self.root = root
        self.process = subprocess.Popen([env.TESTS / "env/boot-root", root],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=vm.die_with_parent)
        self.init = int(self.process.stdout.readline())
        self.wait(lambda: self.output("systemctl", "is-system-running", check=False).strip()
                  in ("running", "degraded"), "systemd")

    def run(self, *command, **options):
        return subprocess.run(
            ["nsenter", "--target", str(self.init), "--mount", "--pid", "--uts", "--ipc",
             "--cgroup", "--root", "--wd", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
             "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *map(str, command)],
            **{"stdin": subprocess.DEVNULL, "text": True, "check": True, **options})

    def output(self, *command, **options):
        return self.run(*command, stdout=subprocess.PIPE, **options).stdout

    def path(self, path):
        """A path in the host as processes outside of the host see it."""
        return pathlib.Path(f"/proc/{self.init}/root{path}")

    def wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
            time.sleep(0.2)

    def install(self, package):
        # dpkg takes the end of the input for an error if it has a question.
        self.run("apt-get", "-q", "install", "-y", "--no-install-recommends", package)

    def unit(self, name):
        """A property of hmemd's unit."""
        return self.output("systemctl", "show", "--value", "--property", name,
                           "hmemd.service").strip()

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Hmemd(daemon.Daemon):
    """The hmemd that the host's systemd runs."""

    def __init__(self, host):
        super().__init__(host.root, tools=pathlib.Path("/"))
        self.host = host

    def hmemctl(self, args, stdin=None):
        done = self.host.run(
            "hmemctl", *args, check=False, input=stdin, capture_output=True,
            **({} if stdin is None else {"stdin": None}))
        return done.returncode, done.stdout, done.stderr

    def log(self):
        return self.host.output("journalctl", "-u", "hmemd.service", "--no-pager")

    def tail(self):
        return "\n".join(self.log().splitlines()[-40:])

    def events(self):
        status, out, errors = self.hmemctl(["-o", "json", "events"])
        assert not status, errors
        return [json.loads(line) for line in out.splitlines()]
