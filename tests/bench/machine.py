# SPDX-License-Identifier: GPL-2.0-or-later
"""
One run of the benchmark: a machine whose guest gets no input from boot to power-off, so that
it depends on the configuration only; or several such machines, served by one hmemd.
"""

import os
import pathlib
import shutil
import subprocess
import time

import daemon
import env
import guest
import image
import qmp
import vm

# init_on_alloc=0: by Debian's default, the kernel would fill new pages with zeros before it
# copies a page to them, and the simulator could not tell these writes from the guest's.
# The other options make the boot shorter: no self-tests, no security modules, and the HPET
# as timer, because calibrating the APIC takes a third of a boot.  Of several processors, each
# needs its own timer.
CMDLINE = ("console=ttyS0 loglevel=4 panic=-1 mitigations=off nokaslr norandmaps "
           "tsc=reliable cryptomgr.notests lsm=capability audit=0 init_on_alloc=0 "
           "nolapic_timer no_timer_check "
           "initcall_blacklist=jent_mod_init,crypto_kdf108_init,hpet_late_init")
# A string instruction takes 1 ns per iteration.  With features that make Linux and libc copy
# byte by byte, copies would be slower than memory.
CPU = vm.CPU_SLOW_STRINGS
# These arguments are the same for all runs.
MACHINE = (
    "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
    "-M", "q35,hmat=on", "-cpu", CPU,
    "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off",
    # All runs begin at the same time, and (with -seed) have the same random numbers.
    "-rtc", "base=2026-01-01,clock=vm",
)
NAME = "bench"


class RunError(Exception):
    """The run has no result; the text says why."""


def fixed_arguments(vcpus):
    """The arguments of QEMU that are the same for all runs with so many processors."""
    return (*MACHINE, "-smp", str(vcpus), *vm.nodes(cpus=vcpus))


def cmdline(vcpus):
    """The same of the kernel."""
    return CMDLINE if vcpus == 1 else CMDLINE.replace("nolapic_timer ", "")


class Machine:
    """
    directory   directory for logs
    kernel      a series that tests/env/kernel knows
    dram, nvm   MiB of the nodes
    initrds     the guest's initial files: archives, each unpacked over the ones before
    append      additional arguments of the kernel
    sim         options of the simulator's plugin; None: -icount without the simulator
    policy      hmemd's policy; "": no device
    timeout     seconds after which a hanging guest is ended
    name        the machine's name; machines that run together have different names
    hmem_props  more properties of the device
    disk        options of a disk of the driver hmem-disk, which becomes /dev/vda; "": none
    vcpus       number of processors
    """

    def __init__(self, directory, kernel, dram, nvm, initrds, append, sim=None,
                 policy="", timeout=3600, seed=1, name=NAME, hmem_props="", disk="", vcpus=1):
        self.dir = pathlib.Path(directory)
        self.kernel = kernel
        self.dram, self.nvm = dram, nvm
        self.initrds = initrds
        self.append = f"{cmdline(vcpus)} {append}"
        self.vcpus = vcpus
        self.sim = sim
        self.policy = policy
        self.timeout = timeout
        self.seed = seed
        self.name = name
        self.hmem_props = hmem_props
        self.disk = disk
        self.process = None
        self.console = self.dir / "console.log"
        self.log = self.dir / "qemu.log"

    def command_line(self, sockets):
        line = [
            env.qemu(), "-L", "/usr/share/seabios", "-L", "/usr/share/qemu",
            "-name", self.name, "-seed", self.seed, "-m", f"{self.dram + self.nvm}M",
            "-object", f"memory-backend-ram,id=dram,size={self.dram}M",
            "-object", f"memory-backend-ram,id=nvm,size={self.nvm}M",
            *fixed_arguments(self.vcpus),
            "-serial", f"file:{self.console}",
            "-kernel", image.bootable(self.kernel),
            "-initrd", self.dir / "initrd",
            "-append", self.append,
        ]
        if self.sim is not None:
            line += ["-plugin", ",".join([str(env.simulator()), *self.sim])]
        # ioeventfd=off: a thread of QEMU would handle notifications at a random guest time.
        if self.disk:
            line += ["-drive", f"if=none,id=disk,driver=hmem-disk,{self.disk}",
                     "-device", "virtio-blk-pci,drive=disk,num-queues=1,ioeventfd=off"]
        if self.policy:
            # The machine is stopped until hmemd serves it.
            line += ["-S", "-qmp", f"unix:{self.monitor(sockets)},server=on,wait=off",
                     "-chardev", f"socket,id=hm,path={sockets}/{daemon.VM_SOCKET}",
                     "-device", ",".join(["virtio-hmem-pci,chardev=hm,ioeventfd=off",
                                          *filter(None, [self.hmem_props])])]
        return [str(word) for word in line]

    def monitor(self, sockets):
        return f"{sockets}/qmp-{self.name}"

    def run(self):
        """Returns the processor time in seconds that QEMU and hmemd took on this host; None
        for hmemd if it did not run."""
        taken, daemon_taken = run_together([self])
        return taken[0], daemon_taken

    def start(self, sockets):
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "initrd").write_bytes(b"".join(f.read_bytes() for f in self.initrds))
        line = self.command_line(sockets)
        (self.dir / "command").write_text(" \\\n  ".join(line) + "\n")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=vm.die_with_parent)

    def has_ended(self):
        """The times of an ended process can be read until its parent has waited for it."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def finish(self):
        """Returns the processor time in seconds that QEMU took."""
        taken = cpu_seconds(self.process.pid)
        status = self.process.wait()
        if status:
            raise RunError(f"QEMU ended with status {status}: "
                           f"{self.log.read_text('utf-8', 'replace').strip()[-500:]}")
        return taken

    def clean_up(self):
        """End the machine if it still runs."""
        if self.process:
            self.process.kill()
            self.process.wait()
        (self.dir / "initrd").unlink(missing_ok=True)


def run_together(machines, options=(), ended=None, watch=None):
    """Run machines at the same time.  If they have a policy, one hmemd serves them all, with
    these options; watch(hmemd) is called again and again, and ended(hmemd) when the machines
    have ended.  Returns the processor time in seconds that each QEMU and hmemd took; None for
    hmemd if it did not run."""
    sockets = guest.short_directory()
    policy = machines[0].policy
    hmemd = None
    try:
        if policy:
            hmemd = daemon.Daemon(sockets, sanitize=False)
            hmemd.start("--lockstep", "--policy", policy, *options)
        for one in machines:
            one.start(sockets)
        if hmemd:
            hmemd.wait(lambda: all(one.name in hmemd.vms() for one in machines) or
                       any(one.process.poll() is not None for one in machines),
                       "the machines to connect", timeout=60)
            for one in machines:
                let_go(one.monitor(sockets), one.process)
        end = time.monotonic() + machines[0].timeout
        while not all(one.has_ended() for one in machines):
            if time.monotonic() > end:
                raise RunError(f"still running after {machines[0].timeout} s: ended")
            if hmemd and watch:
                watch(hmemd)
            time.sleep(0.1)
        taken = [one.finish() for one in machines]
        if hmemd and ended:
            ended(hmemd)
        return taken, cpu_seconds(hmemd.process.pid) if hmemd else None
    except vm.VMError as e:
        raise RunError(str(e)) from None
    finally:
        for one in machines:
            one.clean_up()
        if hmemd and hmemd.process:
            hmemd.process.terminate()
            hmemd.process.wait()
            for one in machines:
                shutil.copy(hmemd.log, one.dir)
        shutil.rmtree(sockets)


def let_go(path, process):
    """Let the stopped machine run."""
    try:
        monitor = qmp.Monitor(path, process)
        monitor.run("cont")
        monitor.close()
    except qmp.Gone:
        pass                    # QEMU's log says why
    except qmp.Error as e:
        raise RunError(str(e)) from None


def cpu_seconds(pid):
    """The processor time in seconds that a process of this host has used, with all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
