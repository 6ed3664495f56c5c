# SPDX-License-Identifier: GPL-2.0-or-later
"""
Real KVM without hardware for it.  TCG emulates AMD's SVM with nested paging, so a
guest on a stock kernel (level 1, Host) can be a host with KVM, whose QEMU runs a
guest of its own (level 2, Guest), served by an hmemd in level 1 (Daemon).

Times mean nothing here: an exit takes as long as TCG takes.  But the events that
decide on real hosts are counted exactly: see Guest.counts().

Tests control these machines like all others: each level-2 guest's console, monitor
and agent are ports of level 1's virtio-serial device.
"""

import contextlib
import re
import socket
import subprocess

import daemon
import env
import image
import vm

# The path in level 1 of the files that tests/env/kvm-disk made.
DISK = "/mnt"
# The first port of level 2; level 1's agent has a lower number.
FIRST_PORT = 8
CHANNELS = ("console", "qmp", "agent")
# Make boots short: no self-tests, no unused drivers.  On level 1, NUMA balancing would
# take the mappings of idle machines away from time to time, in the midst of a count.
APPEND = ("cryptomgr.notests lsm=capability audit=0 numa_balancing=disable "
          "initcall_blacklist=jent_mod_init,crypto_kdf108_init")
KVM = "/sys/kernel/debug/kvm"
# The policy for tests that wait for moves.  On TCG, a program of level 2 uses its pages so
# seldom that a move does not pay within the usual 20 s, but within an hour.
AUTO = {"name": "auto", "horizon": 3600}


class Remote:
    """A program in a guest, with the interface of subprocess.Popen."""

    def __init__(self, machine, line):
        self.machine = machine
        words = " ".join("'" + str(w).replace("'", "'\\''") + "'" for w in line)
        self.process = machine.spawn(f"echo pid $$; exec {words}")
        self.process.wait_for("\n")
        self.pid = int(self.process.output.split()[1])

    @property
    def returncode(self):
        return self.process.status

    @property
    def output(self):
        return self.process.output.partition("\n")[2]

    def poll(self):
        return self.process.status

    def wait(self, timeout=None):
        try:
            self.process.wait(timeout, check=False)
        except vm.VMError:
            raise subprocess.TimeoutExpired(self.process.command, timeout) from None
        return self.process.status

    def kill(self):
        self.process.kill()

    def send_signal(self, number):
        self.machine.run(f"kill -{int(number)} {self.pid}")


class Daemon(daemon.Daemon):
    """hmemd in level 1."""

    def __init__(self, host):      # pylint: disable=super-init-not-called
        self.host = host
        self.vm_socket = "/run/vm.sock"
        self.control_socket = "/run/control.sock"
        self.process = None
        self.killed = False

    def start(self, *args):
        if "--policy" not in args:
            args = ("--policy", "off", *args)
        self.process = Remote(self.host, [
            "hmemd", "-v", "--vm-socket", self.vm_socket,
            "--socket", self.control_socket, *args])
        self.killed = False
        self.process.process.wait_for("ready")

    def kill(self):
        self.killed = True
        self.process.kill()
        self.process.wait()
        self.host.run(f"rm -f {self.control_socket}")

    def tail(self):
        return self.process.output[-3000:]

    def hmemctl(self, args, stdin=None):
        command = " ".join(["hmemctl", "-s", self.control_socket, *map(str, args)])
        if stdin is not None:
            command += f" <<END\n{stdin}END\n"
        process = self.host.spawn(f"exec 2>/tmp/hmemctl.err; {command}")
        out = process.wait(check=False)
        errors = self.host.run("cat /tmp/hmemctl.err") if process.status else ""
        return process.status, out, errors


class Host(vm.VM):
    """
    Level 1, with KVM.

    guests      names of all possible level-2 guests
    options     those of any machine
    """

    def __init__(self, directory, guests=("l2",), **options):
        names = [(g, c) for g in guests for c in CHANNELS]
        self.ports = {name: FIRST_PORT + i for i, name in enumerate(names)}
        # Each guest needs 256 MiB, and more for QEMU and its files.
        defaults = {"dram": 512 + 384 * len(guests), "nvm": 64, "name": "host",
                    "append": APPEND}
        super().__init__(
            directory, **{**defaults, **options}, hmem=None, module=False, cpus=2,
            parallel=True, poison=False, cpu="EPYC,+svm,+npt",
            overlay=env.host_overlay())
        # With a PIT, Linux on a busy machine can measure a wrong frequency of the TSC,
        # and KVM's guests then have a wrong time.  Without it, Linux uses the HPET.
        self.args += ["-machine", "pit=off"]
        self.disks.append(f"{env.tool('kvm-disk', self.kernel)},readonly=on")
        self.guests = []
        self.hmemd = Daemon(self)

    def images(self):
        return image.bootable(self.kernel), super().images()[1]

    def channels(self):
        line = super().channels()
        for guest, channel in self.ports:
            name = f"{guest}-{channel}"
            line += ["-chardev",
                     f"file,id={name},path={self.dir}/{guest}-console.log"
                     if channel == "console" else
                     f"socket,id={name},path={self.dir}/{guest}.{channel},"
                     "server=on,wait=off"]
        return line

    def command_line(self):
        self.args += [
            word for (guest, channel), number in self.ports.items() for word in (
                "-device", f"virtserialport,chardev={guest}-{channel},nr={number},"
                           f"name={guest}.{channel}")]
        return super().command_line()

    def start(self, wait=True):
        super().start(wait)
        self.run(f"mount -o ro /dev/vda {DISK} && mkdir -p /run/hmemd &&"
                 f"for m in {DISK}/modules/*; do insmod $m || exit; done;"
                 "echo always >/sys/kernel/mm/transparent_hugepage/enabled;"
                 "[ -e /dev/kvm ]")
        return self

    def guest(self, name="l2", **options):
        """A level-2 guest (see Guest), not started."""
        machine = Guest(self, name=name, **options)
        self.guests.append(machine)
        return machine

    def boot(self, name="l2", ready=True, **options):
        """A level-2 guest, booted; with ready, its driver is at work."""
        machine = self.guest(name, **options).start()
        if ready and machine.hmem:
            self.hmemd.wait_ready(name)
        return machine

    def finish(self):
        with contextlib.ExitStack() as stack:
            stack.callback(super().finish)
            if self.hmemd.process:
                stack.callback(self.keep_log)
                stack.callback(self.hmemd.stop)
            for machine in self.guests:
                if machine.process:
                    stack.callback(machine.finish)

    def keep_log(self):
        (self.dir / "hmemd.log").write_text(self.hmemd.process.output)


class Guest(vm.VM):
    """
    Level 2, with one processor.

    host        level 1
    accel       QEMU's accelerator, with options
    memory      QEMU's kind of memory backend, with options
    archives    archives in DISK/l2 that are unpacked over the initramfs
    """

    def __init__(self, host, name, accel="kvm", memory="memory-backend-ram,prealloc=on",
                 archives=(), **options):
        defaults = {"dram": 112, "nvm": 144, "hmem": host.hmemd.vm_socket}
        append = f"{APPEND} {options.pop('append', '')}"
        super().__init__(host.dir, kernel=host.kernel, name=name, cpus=1, cpu="host",
                         poison=False, append=append, **{**defaults, **options})
        self.host = host
        self.accel = accel
        self.memory = memory
        self.archives = archives
        self.timeout = 900
        self.sockets = {}

    def start(self, wait=True):
        super().start(wait=False)
        if wait:
            self.wait_boot()
        return self

    # The QEMU of this guest, which runs in level 1

    def program(self):
        return [f"{DISK}/lib/ld-linux-x86-64.so.2", "--library-path", f"{DISK}/lib",
                f"{DISK}/bin/qemu", "-L", f"{DISK}/share"]

    def accelerator(self):
        return self.accel

    def backend(self, name, mib):
        return f"{self.memory},id={name},size={mib}M"

    def images(self):
        initrd = f"{DISK}/l2/initrd"
        if self.archives:
            parts = " ".join([initrd, *(f"{DISK}/l2/{a}" for a in self.archives)])
            initrd = f"/tmp/{self.name}-initrd"
            self.host.run(f"cat {parts} >{initrd}")
        return f"{DISK}/l2/kernel", initrd

    def port(self, channel):
        return f"/dev/vport0p{self.host.ports[self.name, channel]}"

    def channels(self):
        return ["-serial", f"pipe:{self.port('console')}",
                "-chardev", f"pipe,id=qmp,path={self.port('qmp')}",
                "-mon", "chardev=qmp,mode=control",
                "-chardev", f"pipe,id=agent,path={self.port('agent')}"]

    def execute(self, line):
        # QEMU closes a port that nobody listens to.
        for channel in ("qmp", "agent"):
            self.sockets[channel] = socket.socket(socket.AF_UNIX)
            self.sockets[channel].connect(f"{self.dir}/{self.name}.{channel}")
        return Remote(self.host, line)

    def connect(self, name):
        return self.sockets[name]

    def kill(self):
        super().kill()
        if self.process:
            self.qemu_log.write_text(self.process.output)
        # Ports of level 1 stay open when QEMU exits.
        for s in self.sockets.values():
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def logs(self):
        return self.process.output[-3000:] + super().logs()

    # KVM's counters

    def counts(self):
        """KVM's counters of this machine since it was created, by name:
        pages_4k, pages_2m  current mappings in the nested page tables
        pf_taken            nested page faults, without those for MMIO
        pf_fast             those of them that only made a mapping writable again
        exits, tlb_flush, remote_tlb_flush and more."""
        out = self.host.run(
            f"cd {KVM}/{self.process.pid}-* && grep -s '' *", check=False)
        return {name: int(value)
                for name, value in re.findall(r"^(\w+):(\d+)$", out, re.M)}
