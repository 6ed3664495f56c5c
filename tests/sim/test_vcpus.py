# SPDX-License-Identifier: GPL-2.0-or-later
"""
Several vCPUs, which take turns in one thread: the kernel finds nothing wrong,
its crypto self-tests among others, until there is no root file system.
"""

import re

from machine import ICOUNT, env, machine, run_tests, user_seconds


def test_linux_boots():
    _, text = user_seconds(machine(
        *ICOUNT, "-smp", "2", "-kernel", env.kernel("6.12") / "vmlinuz",
        "-append", "console=ttyS0 panic=-1 loglevel=5", "-serial", "stdio",
        "-plugin", env.simulator()))
    assert "VFS: Unable to mount root fs" in text, text[-8000:]
    assert not re.search(r"BUG|WARNING|Oops|corrupt", text), text[-8000:]
    assert re.search(r'"total".*?"instructions": [1-9]', text), text[-8000:]
    print("yes")


run_tests(globals())
