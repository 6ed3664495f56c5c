# SPDX-License-Identifier: GPL-2.0-or-later
"""Each supported kernel works with each supported QEMU.  `make check-matrix` runs all of these, and
prints a table."""

from env import KERNELS
from guest import test
from work import Work, moved


def works(rig, base):
    """A guest boots, is tracked and moves pages, and no data is lost."""
    vm = rig.boot(qemu=base, append="numa_balancing=disable")
    version = vm.qmp("query-version")["qemu"]
    assert f"{version['major']}.{version['minor']}" == base, version
    assert vm.run("uname -r").startswith(f"{rig.kernel}."), vm.run("uname -r")
    work = Work(rig, vm)
    rig.daemon.policy(vm.name, name="observe", window=100)
    rig.daemon.wait(lambda: vm.info()["stats"]["accessed-pages"] > 1000,
                    "what was accessed to be seen")
    work.wait_jobs()
    assert moved(vm) > 4096
    work.finish()


# The other tests use this QEMU.
@test(kernels=KERNELS, check=(), qemus=("10.0",))
def qemu_10_0(rig):
    """The kernel works with QEMU 10.0."""
    works(rig, "10.0")


@test(kernels=KERNELS, qemus=("10.2",))
def qemu_10_2(rig):
    """The kernel works with QEMU 10.2."""
    works(rig, "10.2")
