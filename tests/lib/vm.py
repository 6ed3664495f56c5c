# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine under test: boot it, run commands in it, judge its log."""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import threading
import time

import env

# Texts that no kernel may print.
BAD = re.compile(
    r"BUG:|WARNING:|Oops|Bad page|possible circular locking|suspicious RCU"
    r"|KASAN|UBSAN|general protection|INFO: task|inconsistent lock state"
    r"|possible recursive locking|sleeping function called|kernel BUG"
    r"|stack segment|double fault|Kernel panic|unreferenced object"
    r"|ODEBUG|refcount_t|scheduling while atomic"
    # It is no fault if memory cannot be taken offline.
    r"|page dumped because: (?!unmovable page)")

CMDLINE = ("console=ttyS0 loglevel=5 panic=-1 panic_on_warn=1 mitigations=off "
           # These warnings count real time, of which a busy host may have little.
           "watchdog_thresh=60 rcupdate.rcu_cpu_stall_suppress=1 "
           "sysctl.kernel.hung_task_timeout_secs=600 "
           # Half of the time of a boot goes to self-tests of ciphers and the like.
           "cryptomgr.notests lsm=capability audit=0")
# Finds uses of freed memory on kernels without KASAN, which finds them better.  A
# kernel with this takes half as much time again to boot, and uses twice as much memory.
POISON = "slub_debug=FZP page_poison=1"

# Lists memory of the kernel to which no pointer is left.  kmemleak is sure of that only if the
# memory is five seconds old, and had not changed between two looks.
LEAKS = ("cd /sys/kernel/debug; sleep 5; echo scan > kmemleak; echo scan > kmemleak; "
         "cat kmemleak")

CPU = "max,la57=off"
# A processor without string instructions, whose bytes QEMU would count one by one.
CPU_SLOW_STRINGS = f"{CPU},erms=off,fsrm=off,fzrm=off,fsrs=off,fsrc=off"

# MiB on node 0 that the debug kernel itself needs (KASAN's shadow).
DEBUG_DRAM = 128

# The first line that tests/guest/init prints.
INIT = "init: started"

MIB = 1 << 20

# See tests/guest/progs/agent.h.
RUN, KILL, ANSWER = 1, 2, 3
READY, OUTPUT, EXIT, HINT = 0x81, 0x82, 0x83, 0x84
HEADER = struct.Struct("<III")
HINT_REQUEST = struct.Struct("<II")
HINT_PAGE = struct.Struct("<QQiI")


def nodes(cpus):
    """QEMU's arguments that make the memory backend dram node 0, with the processors,
    and the backend nvm node 1, which is slower."""
    lb = "hmat-lb,initiator=0,hierarchy=memory"
    return ("-numa", f"node,nodeid=0,memdev=dram,cpus=0-{cpus - 1}",
            "-numa", "node,nodeid=1,memdev=nvm,initiator=0",
            "-numa", f"{lb},target=0,data-type=access-latency,latency=80",
            "-numa", f"{lb},target=0,data-type=access-bandwidth,bandwidth=80G",
            "-numa", f"{lb},target=1,data-type=access-latency,latency=300",
            "-numa", f"{lb},target=1,data-type=access-bandwidth,bandwidth=10G")


class VMError(Exception):
    """The machine failed to do something; the text says what and why."""


def die_with_parent():
    """Runs in a child before exec: makes the machine end with its test."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A command in the guest.  Use wait(), or read the output while it runs."""

    def __init__(self, vm, number, command):
        self.vm = vm
        self.number = number
        self.command = command
        self.bytes = b""        # the output so far
        self.output = ""
        self.status = None      # exit status; -N: killed by signal N

    def wait(self, timeout=None, check=True):
        """Wait for the end and return the output.  With check, a command that
        failed is an error."""
        try:
            with self.vm.changed:
                self.vm.wait(lambda: self.status is not None, timeout,
                             f"'{self.command}' to end")
        except VMError:
            self.vm.record_tasks()
            raise
        if check and self.status:
            raise VMError(f"'{self.command}' in the guest ended with status "
                          f"{self.status}:\n{self.output[-4000:]}")
        return self.output

    def wait_for(self, text, timeout=None):
        """Wait until the output has the text."""
        with self.vm.changed:
            self.vm.wait(lambda: text in self.output or self.status is not None,
                         timeout, f"'{self.command}' to print '{text}'")
            if text not in self.output:
                raise VMError(
                    f"'{self.command}' ended with status {self.status} before "
                    f"it printed '{text}':\n{self.output[-4000:]}")

    def kill(self):
        self.vm.send(KILL, self.number)


class VM:
    """
    A guest with a DRAM node (0, with the processors) and an NVM node (1).

    directory    for sockets and logs; must have a short path
    kernel       6.1, 6.12, 7.3 or debug
    qemu         one of env.QEMUS
    machine      QEMU's type; "q35" is the newest that it has
    dram, nvm    MiB; the debug kernel gets DEBUG_DRAM more for itself
    cpus         virtual processors
    parallel     processors run at the same time, not in turns; not with icount
    icount       guest time counts instructions: slower, but repeatable
    huge         these backends have huge pages of the host's (hugetlb); see hugetlb.py
    hmem         socket of hmemd; "": a device without hmemd; None: no device
    hmem_props   more properties of the device
    module       the guest has virtio_hmem.ko
    poison       the kernel poisons freed memory, to find code that still uses it: for
                 tests that free much memory while the driver is at work
    append       additional arguments of the kernel
    args         additional arguments of QEMU
    disks        image files, which become /dev/vda, ...
    overlay      a cpio archive that is unpacked over the initramfs
    cpu          QEMU's model of the processors
    incoming     the machine waits for the state of its twin: QEMU's -incoming
    on_hint      called with (tier, gfns) when a guest program asks for page
                 moves; returns (gfn, new_gfn, reason) for each
    """

    def __init__(self, directory, kernel="6.12", qemu=env.QEMUS[0], machine="q35",
                 dram=256, nvm=512, cpus=2, parallel=False, icount=False, huge=(), hmem=None,
                 hmem_props="", module=True, poison=False, append="", args=(),
                 disks=(), overlay=None, cpu=CPU, incoming=None, on_hint=None,
                 name="vm"):
        self.dir = pathlib.Path(directory)
        self.kernel, self.qemu, self.machine = kernel, qemu, machine
        self.dram, self.nvm, self.cpus = dram, nvm, cpus
        if kernel == "debug":
            self.dram += DEBUG_DRAM
            poison = False
            append = f"kmemleak=on {append}"
        self.parallel = parallel and not icount
        self.icount = icount
        self.huge = huge
        self.hmem, self.hmem_props = hmem, hmem_props
        self.module = module
        self.append = f"{CMDLINE} {POISON if poison else ''} {append}"
        self.args, self.disks = list(args), list(disks)
        self.overlay = overlay
        self.cpu = cpu
        self.incoming = incoming
        self.on_hint = on_hint
        self.name = name
        # A debug kernel is slow, and so is a busy host.
        self.timeout = 900 if kernel == "debug" else 300

        self.console = self.dir / f"{name}-console.log"
        self.qemu_log = self.dir / f"{name}-qemu.log"
        self.process = None
        # Guards everything below; notified when any of it changes.
        self.changed = threading.Condition()
        self.boots = 0          # number of boots that the guest reported
        self.commands = {}      # running commands, by number
        self.numbers = itertools.count(1)
        self.qmp_answers = {}
        self.events = []        # QMP events so far
        self.unread = b""       # what the agent has sent of messages that are not complete
        self.here = not incoming    # the guest runs in this machine
        self.gone = None        # why the machine is gone
        self.killed = False     # the test itself ended the machine
        self.expected = None    # a complaint of the guest's kernel that the test provokes
        self.send_lock = threading.Lock()   # one message at a time

    # Setting up and taking down

    # Methods that a machine inside another machine (nested.Guest) overrides.

    def program(self):
        """QEMU's command, with the path of its firmware."""
        return [env.qemu(self.qemu), "-L", "/usr/share/seabios", "-L", "/usr/share/qemu"]

    def accelerator(self):
        tcg = f"tcg,thread={'multi' if self.parallel else 'single'}"
        return os.environ.get("HMEM_ACCEL", tcg)

    def backend(self, name, mib):
        """The memory backend of a node."""
        huge = ",hugetlb=on,hugetlbsize=2M" if name in self.huge else ""
        return f"memory-backend-memfd,id={name},size={mib}M,share=on{huge}"

    def images(self):
        """The arguments for kernel and initramfs."""
        initrd = env.initramfs(self.kernel, self.module)
        if self.overlay:
            # The kernel unpacks all concatenated archives.
            both = self.dir / f"{self.name}-initrd"
            both.write_bytes(initrd.read_bytes() + self.overlay.read_bytes())
            initrd = both
        return env.kernel(self.kernel) / "vmlinuz", initrd

    def channels(self):
        """Console, monitor, and the chardev of the virtserialport "agent"."""
        return ["-serial", f"file:{self.console}",
                "-qmp", f"unix:{self.dir}/{self.name}.qmp,server=on,wait=off",
                "-chardev", f"socket,id=agent,path={self.dir}/{self.name}.agent,"
                            "server=on,wait=off"]

    def execute(self, line):
        """Start QEMU.  Returns a subprocess.Popen, or an object like one."""
        with open(self.qemu_log, "ab") as log:
            return subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent)

    def command_line(self):
        kernel, initrd = self.images()
        line = [
            *self.program(),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-name", self.name,
            "-M", f"{self.machine},hmat=on", "-cpu", self.cpu,
            "-accel", self.accelerator(),
            "-smp", self.cpus, "-m", f"{self.dram + self.nvm}M",
            "-object", self.backend("dram", self.dram),
            "-object", self.backend("nvm", self.nvm),
            *nodes(self.cpus),
            *self.channels(),
            "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=agent,name=hmem.agent",
            "-device", "pcie-root-port,id=slot0,chassis=1",
            "-device", "virtio-rng-pci",
            "-kernel", kernel, "-initrd", initrd,
            "-append", self.append,
        ]
        if self.icount:
            line += ["-icount", "shift=0,sleep=off"]
        if self.hmem is not None:
            if self.hmem:
                line += ["-chardev", self.chardev()]
            props = self.device()
            line += ["-device", ",".join(
                [props.pop("driver")] + [f"{k}={v}" for k, v in props.items()])]
        for i, disk in enumerate(self.disks):
            line += ["-drive", f"if=none,id=disk{i},format=raw,file={disk}",
                     # Limiting the bytes per second would let a whole request
                     # pass, with all that was merged into it.
                     "-device", f"virtio-blk-pci,drive=disk{i},request-merging=off"]
        if self.incoming:
            line += ["-incoming", self.incoming]
        return [str(word) for word in line + self.args]

    def counter(self, name):
        """A counter of the driver, from sysfs."""
        return int(self.run(
            f"cat /sys/bus/virtio/drivers/virtio_hmem/virtio*/hmem/{name}"))

    def chardev(self):
        return f"socket,id=hm,path={self.hmem},reconnect-ms=200"

    def device(self):
        """The device's properties, in the form of QMP's device_add."""
        props = {"driver": "virtio-hmem-pci", "id": "hmem0", "bus": "slot0"}
        if self.hmem:
            props["chardev"] = "hm"
        for prop in filter(None, self.hmem_props.split(",")):
            key, _, value = prop.partition("=")
            props[key] = value
        return props

    def start(self, wait=True):
        """Boot; with wait, return when commands can be run."""
        line = self.command_line()
        (self.dir / f"{self.name}-command").write_text(" \\\n  ".join(line) + "\n")
        self.launch(line)
        if wait and not self.incoming:
            # On a busy host, a kernel can fail to calibrate the emulated timers,
            # and hang.  No code of this project runs before init, so try again.
            for _ in range(2):
                if self.reaches_init(self.timeout / 3):
                    break
                self.say("the kernel hangs before init, once more; registers:\n" +
                         self.registers())
                self.kill()
                self.console.rename(self.console.with_suffix(".hung"))
                for thread in self.threads:
                    thread.join()
                self.killed, self.gone = False, None
                self.launch(line)
            self.wait_boot()
        return self

    def launch(self, line):
        self.process = self.execute(line)
        self.qmp_socket = self.connect("qmp")
        self.agent_socket = self.connect("agent")
        self.threads = [threading.Thread(target=f, daemon=True)
                        for f in (self.read_qmp, self.read_agent)]
        for thread in self.threads:
            thread.start()
        self.qmp("qmp_capabilities")

    def reaches_init(self, timeout):
        """False if the guest's kernel runs, but init does not."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            with self.changed:
                if self.boots or self.gone or self.process.poll() is not None:
                    return True
                self.changed.wait(1)
        return INIT in self.console.read_text("utf-8", "replace")

    def registers(self):
        """The registers of all processors, to see where a hung guest is."""
        return self.qmp("human-monitor-command", command_line="info registers -a")

    def say(self, text):
        with open(self.qemu_log, "a") as log:
            log.write(text + "\n")

    def connect(self, name):
        while True:
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(f"{self.dir}/{self.name}.{name}")
                return s
            except OSError:
                s.close()
                if self.process.poll() is not None:
                    raise VMError(f"QEMU did not start:\n{self.logs()}") from None
                time.sleep(0.02)

    def wait_boot(self, boots=1):
        with self.changed:
            self.wait(lambda: self.boots >= boots, None, "the guest to boot")

    def reboot(self, command="sync; reboot -f"):
        """Reboot the guest by this command, and wait until it is up again."""
        self.qmp("set-action", reboot="reset")
        boots = self.boots
        self.spawn(command)
        self.wait_boot(boots + 1)
        with self.changed:
            for p in self.commands.values():
                p.status = -signal.SIGKILL
            self.commands.clear()

    def kill(self):
        """End QEMU at once."""
        if self.process and self.process.poll() is None:
            self.killed = True
            self.process.kill()
        if self.process:
            self.process.wait()

    def power_off(self):
        """Shut the guest down, which ends QEMU as well."""
        self.killed = True
        self.spawn("sync; umount -a -r 2>/dev/null; poweroff -f")
        try:
            self.process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            raise VMError("the guest does not power off") from None

    def record_tasks(self):
        """Log the stack of each task in a file of its own, for debugging."""
        log = self.dir / f"{self.name}-tasks.log"
        if log.exists() or self.gone:
            return
        log.touch()
        try:
            log.write_text(self.run(
                "ps; for t in /proc/[0-9]*/task/[0-9]*; do cat $t/stat $t/wchan; echo;"
                " cat $t/syscall $t/stack; done", timeout=30, check=False))
        except VMError:
            pass

    def finish(self):
        """Raise an error if the guest's kernel or QEMU has complained, or if the
        machine has died.  Then end the machine."""
        died = self.process.poll() is not None and not self.killed
        if not died and not self.killed and self.boots:
            try:
                log = self.run("dmesg", timeout=60)
                if self.kernel == "debug":
                    log += self.run(LEAKS)
                (self.dir / f"{self.name}-dmesg.log").write_text(log)
            except (VMError, OSError):
                pass            # hung or dead; the console shows why
        self.kill()
        faults = self.faults()
        if faults:
            raise VMError(f"the guest's kernel complains:\n{faults}")
        if died:
            raise VMError(f"QEMU ended with status {self.process.returncode}:\n"
                          f"{self.logs()}")

    def faults(self):
        """The guest's complaints, each with the lines after it; "" if none."""
        for log in (self.console, self.dir / f"{self.name}-dmesg.log"):
            lines = log.read_text("utf-8", "replace").splitlines() \
                if log.exists() else []
            for i, text in enumerate(lines):
                if BAD.search(text) and not (self.expected and self.expected in text):
                    return "\n".join(lines[i:i + 40])
        return ""

    def logs(self):
        text = ""
        for log in (self.qemu_log, self.console):
            if log.exists():
                text += log.read_text("utf-8", "replace")[-3000:]
        return text

    # Waiting; callers hold self.changed

    def wait(self, condition, timeout, what):
        end = time.monotonic() + (timeout or self.timeout)
        while not condition():
            if self.gone or self.process.poll() is not None:
                raise VMError(f"waiting for {what}: the machine is gone ("
                              f"{self.gone or 'QEMU has ended'})\n"
                              f"{self.faults() or self.logs()}")
            left = end - time.monotonic()
            if left <= 0:
                raise VMError(f"waited {timeout or self.timeout} s for {what}\n"
                              f"{self.faults()}")
            self.changed.wait(min(left, 1))

    # QMP

    def read_qmp(self):
        # A machine that is killed resets its connections.
        with contextlib.suppress(ConnectionResetError), \
                self.qmp_socket.makefile("rb") as stream:
            for line in stream:
                message = json.loads(line)
                with self.changed:
                    if "event" in message:
                        self.events.append(message)
                    elif "id" in message:
                        self.qmp_answers[message["id"]] = message
                    self.changed.notify_all()
        with self.changed:
            self.gone = self.gone or "QMP closed"
            self.changed.notify_all()

    def qmp(self, execute, **arguments):
        """A QMP command; underscores in argument names stand for dashes."""
        number = next(self.numbers)
        message = {"execute": execute, "id": number}
        if arguments:
            message["arguments"] = {k.replace("_", "-"): v
                                    for k, v in arguments.items()}
        with self.send_lock:
            self.qmp_socket.sendall(json.dumps(message).encode() + b"\n")
        with self.changed:
            self.wait(lambda: number in self.qmp_answers, None, execute)
            answer = self.qmp_answers.pop(number)
        if "error" in answer:
            raise VMError(f"QMP {execute}: {answer['error']['desc']}")
        return answer["return"]

    def wait_event(self, name, since=0, **match):
        """Wait for a QMP event with this data, in self.events[since:]."""
        def found():
            return [e for e in self.events[since:] if e["event"] == name and
                    all(e.get("data", {}).get(k) == v for k, v in match.items())]
        with self.changed:
            try:
                self.wait(found, None, f"event {name}")
            except VMError as error:
                raise VMError(f"{error}\nevents: {self.events}, the first {since} were "
                              "before") from error
            return found()[0]

    def info(self):
        """The state of the virtio-hmem device, as the monitor shows it."""
        return self.qmp("query-virtio-hmem")[0]

    def qom(self, name, device):
        """A property of the device, by its id."""
        path = device if device.startswith("/") else f"/machine/peripheral/{device}"
        return self.qmp("qom-get", path=path, property=name)

    def unplug(self, device="hmem0"):
        since = len(self.events)
        self.qmp("device_del", id=device)
        self.wait_event("DEVICE_DELETED", since, device=device)

    def plug(self):
        """Plug the device back in that unplug() took out."""
        self.qmp("device_add", **self.device())

    # Sleep

    def sleep_and_wake(self, when="true"):
        """Run a command in the guest, suspend the guest to RAM, and wake it up.  Returns the
        process that does so.

        A wake-up resets the ICH9's PMBASE and ACPI_CNTL, and the firmware does not set them
        again; without them the machine cannot sleep a second time, so the guest restores them."""
        since = len(self.events)
        lpc = "/sys/bus/pci/devices/0000:00:1f.0/config"
        asleep = self.spawn(f"head -c 72 {lpc} >/tmp/lpc; {when}; echo mem > /sys/power/state && "
                            f"dd if=/tmp/lpc of={lpc} bs=1 skip=64 seek=64 conv=notrunc 2>&1")
        self.wait_event("SUSPEND", since)
        self.qmp("system_wakeup")
        self.wait_event("WAKEUP", since)
        return asleep

    # Live migration

    def migrate(self, uri, **parameters):
        """Begin to send the machine's state to the URI, with these parameters of
        QMP's migrate-set-parameters."""
        if parameters:
            self.qmp("migrate-set-parameters", **parameters)
        self.qmp("migrate", uri=uri)

    def wait_migration(self, *statuses):
        """Wait until query-migrate reports one of these states; returns its answer."""
        end = time.monotonic() + self.timeout
        while True:
            info = self.qmp("query-migrate")
            status = info.get("status", "none")
            if status in statuses:
                return info
            if status == "failed" or time.monotonic() > end:
                raise VMError(f"waiting for migration to be {' or '.join(statuses)}: "
                              f"{json.dumps(info)}\n{self.logs()}")
            time.sleep(0.02)

    def take_over(self, source):
        """The guest now runs in this machine: take over its running commands.

        QEMU stops a guest at any time, also in the middle of a message of the agent.  So the
        source may have sent the beginning of the first message that comes from this machine."""
        self.wait_event("RESUME")
        source.leave()
        with source.changed, self.changed:
            self.boots, self.numbers = source.boots, source.numbers
            self.commands, source.commands = source.commands, {}
            for process in self.commands.values():
                process.vm = self
            self.unread, source.unread = source.unread + self.unread, b""
            self.here = True
            self.handle_messages()

    def leave(self):
        """The guest has left this machine: read the rest of what it has sent from here."""
        self.here = False
        with contextlib.suppress(OSError):      # QEMU has ended
            self.agent_socket.shutdown(socket.SHUT_RD)
        self.threads[1].join()

    # Commands in the guest

    def send(self, kind, number, data=b""):
        with self.send_lock:
            self.agent_socket.sendall(HEADER.pack(kind, number, len(data)) + data)

    def spawn(self, command):
        """Start a shell command in the guest; returns a Process."""
        process = Process(self, next(self.numbers), command)
        with self.changed:
            self.commands[process.number] = process
        self.send(RUN, process.number, command.encode())
        return process

    def run(self, command, timeout=None, check=True):
        """Run a shell command in the guest; returns its output."""
        return self.spawn(command).wait(timeout, check)

    def status(self, command):
        """Run a shell command in the guest; returns its exit status."""
        process = self.spawn(command)
        process.wait(check=False)
        return process.status

    def read_agent(self):
        with contextlib.suppress(ConnectionResetError):
            while data := self.agent_socket.recv(1 << 16):
                with self.changed:
                    self.unread += data
                    if self.here:
                        self.handle_messages()
        with self.changed:
            if self.here:
                self.gone = self.gone or "agent closed"
            self.changed.notify_all()

    def handle_messages(self):
        """Handle the messages of the agent that are complete."""
        while len(self.unread) >= HEADER.size and not self.gone:
            kind, number, length = HEADER.unpack_from(self.unread)
            end = HEADER.size + length
            if kind not in (READY, OUTPUT, EXIT, HINT):
                self.gone = f"no message of the agent: {self.unread[:64]}"
            elif len(self.unread) < end:
                break
            else:
                data, self.unread = self.unread[HEADER.size:end], self.unread[end:]
                self.handle(kind, number, data)
        self.changed.notify_all()

    def handle(self, kind, number, data):
        process = self.commands.get(number)
        if kind == HINT:
            threading.Thread(target=self.answer_hint, daemon=True, args=(number, data)).start()
        elif kind == READY:
            self.boots += 1
        elif kind == OUTPUT and process:
            process.bytes += data
            process.output = process.bytes.decode("utf-8", "replace")
        elif kind == EXIT and process:
            process.status = os.waitstatus_to_exitcode(struct.unpack("<I", data)[0])
            del self.commands[number]

    def answer_hint(self, number, data):
        tier, count = HINT_REQUEST.unpack_from(data)
        gfns = struct.unpack_from(f"<{count}Q", data, HINT_REQUEST.size)
        pages = ()
        try:
            if self.on_hint:
                pages = self.on_hint(tier, gfns)
        except Exception as e:      # the guest's program reports the error
            self.say(f"hint for {count} pages: {e}")
        answer = HINT_REQUEST.pack(len(pages), 0) + b"".join(
            HINT_PAGE.pack(gfn, new, reason, 0) for gfn, new, reason in pages)
        self.send(ANSWER, number, answer)
