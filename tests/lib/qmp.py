# SPDX-License-Identifier: GPL-2.0-or-later
"""A simple client of QEMU's monitor, for single commands (vm.VM also follows
events)."""

import json
import socket
import time


class Error(Exception):
    """QEMU refused a command; the text says why."""


class Gone(Error):
    """QEMU has gone."""


class Monitor:
    """The monitor at the Unix socket path.  Its process may still be starting."""

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
        """Run the command; returns its result."""
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
