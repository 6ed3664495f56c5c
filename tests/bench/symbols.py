# SPDX-License-Identifier: GPL-2.0-or-later
"""
Where a guest's kernel and driver copy pages that migrate: what the simulator's
copy= takes.  Without KASLR they lie at the same place after each boot, as long as
the same modules are loaded in the same order (see guest/init, guest/symbols).
"""

import fcntl
import hashlib
import re
import tempfile

import env
import machine


def copy_ranges(kernel):
    """["START-END", ...] in hexadecimal; asks once, in a guest."""
    files = (env.kernel(kernel) / "vmlinuz", env.tool("module", kernel))
    key = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
    cache = env.CACHE / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"copy-{key}"
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_text("".join(f"{r}\n" for r in ask(kernel)))
    return path.read_text().split()


def ask(kernel):
    with tempfile.TemporaryDirectory() as directory:
        guest = machine.Machine(directory, kernel, 192, 192,
                                "bench.setup=symbols bench.thp=never", timeout=600)
        guest.run()
        text = guest.console.read_text("utf-8", "replace")
    found = re.findall(r"bench: symbol \w+ ([0-9a-f]+) ([0-9a-f]+)", text)
    if not re.search("symbol (folio_copy|folio_mc_copy)", text) or \
            "symbol hmem_copy" not in text or any(int(start, 16) == 0 for start, _ in found):
        raise machine.RunError(f"kernel {kernel} does not say where it copies pages:\n"
                               f"{text[-1000:]}")
    return [f"{start}-{end}" for start, end in found]
