# SPDX-License-Identifier: GPL-2.0-or-later
"""
The addresses of the functions that copy migrated pages, in a guest's kernel and driver, for
the simulator's option copy=.  Without KASLR the addresses are the same after each boot, as
long as the same modules are loaded in the same order (see guest/init and guest/symbols).
"""

import hashlib
import re
import tempfile

import env
import machine


DRIVER = "hmem_copy_pages"            # the driver's function


def copy_ranges(kernel):
    """{function: "START-END"} in hexadecimal.  Boots a guest for that, once per kernel and
    driver."""
    files = (env.kernel(kernel) / "vmlinuz", env.tool("module", kernel))
    key = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
    with env.locked("bench/lock") as cache:
        path = cache / f"copy-ranges-{key}"
        if not path.exists():
            path.write_text("".join(f"{name} {r}\n" for name, r in ask(kernel).items()))
    return dict(line.split() for line in path.read_text().splitlines())


def ask(kernel):
    with tempfile.TemporaryDirectory() as directory:
        guest = machine.Machine(directory, kernel, 192, 192,
                                [env.tool("initramfs", kernel, "--bench", "gups")],
                                "bench.setup=symbols bench.thp=never", timeout=600)
        guest.run()
        text = guest.console.read_text("utf-8", "replace")
    found = {name: (start, end) for name, start, end in
             re.findall(r"bench: symbol (\w+)\S* ([0-9a-f]+) ([0-9a-f]+)", text)}
    if not found.keys() & {"folio_copy", "folio_mc_copy"} or DRIVER not in found or \
            any(int(start, 16) == 0 for start, _ in found.values()):
        raise machine.RunError(f"kernel {kernel} does not print where it copies pages:\n"
                               f"{text[-1000:]}")
    return {name: f"{start}-{end}" for name, (start, end) in found.items()}
