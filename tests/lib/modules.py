# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules that only tests use."""

import base64
import subprocess

import env


def install(vm, directory, name):
    """Build the module in tests/guest/DIRECTORY for the machine's kernel, and copy it to
    /tmp/NAME.ko there."""
    out = subprocess.run([env.TESTS / "guest" / directory / "build", vm.kernel], check=True,
                         stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    with open(f"{out}/{name}.ko", "rb") as f:
        data = base64.b64encode(f.read()).decode()
    for i in range(0, len(data), 1 << 16):
        vm.run(f"echo {data[i:i + (1 << 16)]} | base64 -d >> /tmp/{name}.ko")
