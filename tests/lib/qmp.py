# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's monitor, for who only gives it a command now and then (see vm.VM, which
also follows its events)."""

import json
import socket
import time


class Error(Exception):
    """QEMU did not do what it was told; the text says why."""


class Gone(Error):
    """There is no QEMU any more."""


class Monitor:
    """The one at the Unix socket path, of a process that may still be starting."""

    def __init__(self, path, process, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                if process.poll() is not None:
                    raise Gone("QEMU has ended") from None
                if time.monotonic() > end:
                    raise Error("QEMU offers no QMP") from None
                time.sleep(0.02)
        self.lines = self.socket.makefile("r")
        self.run("qmp_capabilities")

    def run(self, execute, **arguments):
        """What the command returns."""
        self.socket.sendall(json.dumps(
            {"execute": execute, "arguments": arguments}).encode() + b"\n")
        for line in self.lines:
            answer = json.loads(line)
            if "error" in answer:
                raise Error(f"QMP {execute}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise Gone("QEMU has ended")

    def close(self):
        self.lines.close()
        self.socket.close()
