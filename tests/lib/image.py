# SPDX-License-Identifier: GPL-2.0-or-later
"""
The kernel as an ELF file, which QEMU boots by the PVH protocol.  This saves the guest
from unpacking the kernel, which is a fifth of the boot.
"""

import struct
import subprocess

import env

# Decompressors, by the first bytes of a bzImage's payload
# (Documentation/arch/x86/boot.rst).
UNPACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zX": "xz", b"\x1f\x8b": "gzip"}
SECTOR = 512
SETUP_SECTORS, PAYLOAD = 0x1f1, 0x248       # offsets in the setup header


def bootable(kernel):
    """The file for QEMU's -kernel: vmlinux, or vmlinuz if its compression is unknown
    here."""
    packed = env.kernel(kernel) / "vmlinuz"
    image = packed.read_bytes()
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = ((image[SETUP_SECTORS] or 4) + 1) * SECTOR + offset
    payload = image[start:start + length - 4]       # the size of the whole follows
    unpacker = next((u for magic, u in UNPACKERS.items() if payload.startswith(magic)), None)
    if not unpacker:
        return packed
    with env.locked("bench/lock-vmlinux") as cache:
        path = cache / f"vmlinux-{(env.kernel(kernel) / 'release').read_text().strip()}"
        if not path.exists():
            done = subprocess.run([env.program(unpacker), "-qdc"], input=payload,
                                  capture_output=True)
            if done.returncode or not done.stdout.startswith(b"\x7fELF"):
                return packed
            path.with_suffix(".tmp").write_bytes(done.stdout)
            path.with_suffix(".tmp").rename(path)
    return path
