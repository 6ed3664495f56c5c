# SPDX-License-Identifier: GPL-2.0-or-later
"""
The versions of everything that affects a run, mostly hashes of files: a result is valid as
long as they are the same.  The device, the driver and hmemd count only in runs that have
them.  For QEMU, its version and the sources of this project count, because every build of
them behaves the same.
"""

import functools
import hashlib
import os
import pathlib
import subprocess

import env

GUEST = env.TESTS / "bench" / "guest"
QEMU = env.TOP / "qemu-device"
SIMULATOR = ("accel", "block", "contrib/plugins/hmem-sim", "plugins", "include/qemu",
             "include/system", "patches")
DEVICE = ("hw", "include")


@functools.lru_cache(None)
def of_files(*paths):
    """The hash of these files, and of all files in these directories."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(None)
def qemu():
    if "HMEM_QEMU" in os.environ or "QEMU_SRC" in os.environ:
        return of_files(env.qemu())
    return subprocess.run([env.qemu(), "--version"], capture_output=True,
                          text=True).stdout.split("\n")[0]


class MadeOf:
    def __init__(self, kernel):
        self.kernel = kernel

    def run(self, program, setup, image, simulated, hmem):
        """{part: version or hash} of a run.  program, setup and image: see workloads.py and
        configs.py; simulated: the simulator runs; hmem: the device, its driver and hmemd
        run."""
        parts = {
            "qemu": qemu(),
            "kernel": of_files(env.kernel(self.kernel) / "vmlinuz"),
            "busybox": of_files(pathlib.Path("/bin/busybox")),
            "init": of_files(GUEST / "init"),
            "program": of_files(env.CACHE / "build" / "workloads" / program),
        }
        if setup:
            parts["setup"] = of_files(GUEST / setup)
        if image:
            parts["image"] = of_files(env.CACHE / "guest-root" / image / "root")
        if simulated:
            parts["simulator"] = of_files(*(QEMU / name for name in SIMULATOR))
        if hmem:
            parts["hmemd"] = of_files(env.host_tools(False) / "hmemd")
            parts |= self.guest_side()
        return parts

    def guest_side(self):
        """The parts of the device and its driver."""
        return {"driver": of_files(env.tool("module", self.kernel)),
                "device": of_files(*(QEMU / name for name in DEVICE),
                                   env.TOP / "spec" / "virtio_hmem.h")}

    def resizing(self):
        """Parts of a run that measures what resizing costs the guest."""
        return {"qemu": qemu(), "kernel": of_files(env.kernel(self.kernel) / "vmlinuz"),
                **self.guest_side()}
