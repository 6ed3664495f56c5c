# SPDX-License-Identifier: GPL-2.0-or-later
"""
Guest tests: what tests/guest/test_*.py are written with.

    from guest import test

    @test()
    def moves_back_and_forth(rig):
        vm = rig.boot(dram=256)
        vm.run("anon --mib 64")
        assert rig.daemon.stats()["reasons"]["moved"] > 0

A test passes when the function returns and then neither the guest's kernel nor
QEMU nor hmemd has anything to complain about.
"""

import contextlib
import os
import pathlib
import subprocess
import tempfile

import daemon
import env
import nested
import vm


class Skip(Exception):
    """The test cannot be run here; the text says why."""


class Test:
    def __init__(self, function, kernels, debug, timeout, parallel, qemus, by_name):
        self.function = function
        self.name = function.__name__
        self.kernels = kernels
        self.debug = debug
        self.timeout = timeout
        self.parallel = parallel
        self.qemus = qemus
        self.by_name = by_name


def test(kernels=env.KERNELS, debug=False, timeout=300, parallel=False,
         qemus=env.QEMUS[:1], by_name=False):
    """Mark a function as a test, to be run once on each of the kernels.  With
    debug it also belongs to `make check-debug-kernel`.  The timeout (seconds)
    only ends what hangs; it is five times as long on the debug kernel.

    With parallel, each virtual processor has a thread of its own.  That is for
    finding races: they wait for each other all the time (each page that moves
    is an interrupt to the other one), so where others want the host's
    processors, it takes many times as long as in turns on one thread.

    It uses these QEMUs (see vm.VM).  With by_name it runs only if it, or what it
    belongs to, is named."""
    def mark(function):
        function.hmem_test = Test(function, tuple(kernels), debug, timeout,
                                  parallel, tuple(qemus), by_name)
        return function
    return mark


class Rig:
    """What a test has at hand.

    kernel      the one to test
    rounds      how often a storm is to repeat what it does: more on request
                (HMEM_ROUNDS=N), so that the same test can be short or long
    parallel    as the test asked for
    """

    def __init__(self, kernel, directory, parallel=False):
        self.kernel = kernel
        self.parallel = parallel
        self.debug = kernel == "debug"
        self.dir = pathlib.Path(directory)
        self.rounds = int(os.environ.get("HMEM_ROUNDS", "1"))
        self.vms = []
        self._daemon = None

    @property
    def daemon(self):
        """hmemd, started when first asked for."""
        if not self._daemon:
            self._daemon = daemon.Daemon(self.dir)
            self._daemon.start()
        return self._daemon

    def vm(self, **options):
        """A machine (see vm.VM) connected to this test's hmemd, not started."""
        options.setdefault("kernel", self.kernel)
        options.setdefault("parallel", self.parallel)
        options.setdefault("name", f"vm{len(self.vms)}")
        options.setdefault("hmem", str(self.dir / daemon.VM_SOCKET))
        machine = vm.VM(self.dir, **options)
        machine.options = options
        if machine.hmem and not machine.on_hint:
            machine.on_hint = lambda tier, gfns: \
                self.daemon.migrate(gfns, tier, vm=machine.name)
        self.vms.append(machine)
        return machine

    def boot(self, ready=True, **options):
        """A machine, booted; with ready, hmemd runs and the driver is at work."""
        if ready:
            self.daemon     # pylint: disable=pointless-statement
        machine = self.vm(**options).start()
        if ready and machine.hmem:
            self.daemon.wait_ready(machine.name)
        return machine

    def twin(self, machine, incoming, **options):
        """Another one as this, started, that waits for its state."""
        options = {**machine.options, "name": f"vm{len(self.vms)}",
                   "incoming": incoming, **options}
        return self.vm(**options).start()

    def kvm_host(self, **options):
        """A machine that is itself a host with KVM (see nested.Host), booted."""
        machine = nested.Host(self.dir, kernel=self.kernel, **options)
        self.vms.append(machine)
        return machine.start()

    def host_overlay(self):
        """For a machine's overlay: hmemd and hmemctl, to be run in it."""
        return env.host_overlay()

    def disk(self, name, size, *options):
        """An image file of so many MiB with an empty ext4 file system, made
        with more of mkfs.ext4's options."""
        path = self.dir / name
        with open(path, "wb") as f:
            f.truncate(size * vm.MIB)
        subprocess.run([env.program("mkfs.ext4"), "-q", "-F", *options, path], check=True,
                       stdin=subprocess.DEVNULL)
        return path

    def fsck(self, path):
        """Check an image file's file system, once its machine is powered off."""
        done = subprocess.run([env.program("e2fsck"), "-f", "-n", path],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        assert done.returncode == 0, f"{path}:\n{done.stdout}{done.stderr}"

    def finish(self):
        """Judge everything that was started, and end it."""
        with contextlib.ExitStack() as stack:
            if self._daemon:
                stack.callback(self._daemon.stop)
            for machine in self.vms:
                if machine.process:
                    stack.callback(machine.finish)


def load(path):
    """The tests in a file, in order."""
    space = {"__file__": str(path), "__name__": path.stem}
    exec(compile(path.read_text(), str(path), "exec"), space)
    return [f.hmem_test for f in space.values() if hasattr(f, "hmem_test")]


def short_directory():
    """For sockets, whose paths must be short."""
    return tempfile.mkdtemp(prefix="hmem-", dir="/tmp")
