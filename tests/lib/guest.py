# SPDX-License-Identifier: GPL-2.0-or-later
"""
Guest tests: the functions that tests/guest/test_*.py use.

    from guest import test

    @test()
    def moves_back_and_forth(rig):
        vm = rig.boot(dram=256)
        vm.run("anon --mib 64")
        assert rig.daemon.stats()["reasons"]["moved"] > 0

A test passes if the function returns, and afterwards the guest's kernel, QEMU and
hmemd have logged no complaint.
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
    def __init__(self, function, kernels, check, debug, timeout, parallel, qemus,
                 by_name):
        self.function = function
        self.name = function.__name__
        self.kernels = kernels
        self.check = check
        self.debug = debug
        self.timeout = timeout
        self.parallel = parallel
        self.qemus = qemus
        self.by_name = by_name


def test(kernels=env.KERNELS, check=None, debug=False, timeout=300, parallel=False,
         qemus=env.QEMUS[:1], by_name=False):
    """Mark a function as a test, which runs once on each of the kernels.  `make check`
    runs the test only on the kernels named by check; the default is one kernel,
    env.KERNEL, or else the first.  A test of what differs between kernels names more,
    and a test of what other tests cover names none.  `make check-kernels` runs the test
    on all kernels.  With debug, the test also belongs to `make check-debug-kernel`.  The
    timeout (in seconds) only ends a hanging test; it is five times as long on the debug
    kernel.

    With parallel, each virtual processor has a thread of its own, which helps to
    find races.  The processors often wait for each other (each page that moves
    interrupts the other one), so on a busy host the test takes many times as long
    as with one thread for all.

    The test uses these QEMUs (see vm.VM).  With by_name, the test runs only if it or
    its group is named."""
    if check is None:
        check = (env.KERNEL,) if env.KERNEL in kernels else kernels[:1]
    assert set(check) <= set(kernels), (check, kernels)

    def mark(function):
        function.hmem_test = Test(function, tuple(kernels), tuple(check), debug, timeout,
                                  parallel, tuple(qemus), by_name)
        return function
    return mark


class Rig:
    """The machines, the daemon and the settings of one test.

    kernel      the kernel to test
    rounds      number of rounds of a storm; HMEM_ROUNDS=N makes the same test longer
    parallel    the test's argument
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
        """hmemd, which starts at the first use."""
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
        """A twin of this machine, started, which waits for its state."""
        options = {**machine.options, "name": f"vm{len(self.vms)}",
                   "incoming": incoming, **options}
        return self.vm(**options).start()

    def kvm_host(self, **options):
        """A machine that is itself a host with KVM (see nested.Host), booted."""
        machine = nested.Host(self.dir, kernel=self.kernel, **options)
        self.vms.append(machine)
        return machine.start()

    def host_overlay(self):
        """An overlay for a machine that contains hmemd and hmemctl."""
        return env.host_overlay()

    def disk(self, name, size, *options, mkfs=("mkfs.ext4", "-F")):
        """An image file of this size in MiB with an empty file system, made with additional
        options of mkfs."""
        path = self.dir / name
        with open(path, "wb") as f:
            f.truncate(size * vm.MIB)
        subprocess.run([env.program(mkfs[0]), "-q", *mkfs[1:], *options, path], check=True,
                       stdin=subprocess.DEVNULL)
        return path

    def fsck(self, path, command=("e2fsck", "-f", "-n")):
        """Check an image file's file system.  Its machine must be powered off."""
        done = subprocess.run([env.program(command[0]), *command[1:], path],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True)
        assert done.returncode == 0, f"{path}:\n{done.stdout}{done.stderr}"

    def finish(self):
        """Judge all machines and daemons that were started, and end them."""
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
    """A directory with a short path, because paths of sockets are limited."""
    return tempfile.mkdtemp(prefix="hmem-", dir="/tmp")
