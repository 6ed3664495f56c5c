# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths of programs and builds, and making those that do not exist yet."""

import contextlib
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
TESTS = TOP / "tests"
CACHE = pathlib.Path(
    os.environ.get("HMEM_CACHE")
    or pathlib.Path(
        os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    ) / "virtio-hmem"
).absolute()
os.environ["HMEM_CACHE"] = str(CACHE)

KERNELS = ("6.1", "6.12", "7.3")
# The kernel for tests of what does not differ between kernels.
KERNEL = "6.12"

# All tests use the first version, unless they name another one.
QEMUS = ("10.0", "10.2")


class Error(Exception):
    """Something that a test needs is not available; the text says what and why."""


def once_a_run(function):
    """Call a function of strings that returns a path only once in a run of tests/run.  Each
    test would otherwise look for changed sources again, which takes several seconds.  The
    run has a directory for the results, HMEM_RUN."""
    @functools.lru_cache(None)
    def found(*args):
        if not os.environ.get("HMEM_RUN"):
            return function(*args)
        name = "_".join(map(str, (function.__name__, *args))).replace("/", "_")
        known = pathlib.Path(os.environ["HMEM_RUN"], name)
        if not known.exists():
            mine = known.with_name(f"{name}.{threading.get_native_id()}")
            mine.write_text(str(function(*args)))
            mine.rename(known)
        return pathlib.Path(known.read_text())
    return found


@once_a_run
def tool(name, *args):
    """Run tests/env/NAME, which prints a path on its last line."""
    done = subprocess.run([TESTS / "env" / name, *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode or not done.stdout.strip():
        raise Error(f"tests/env/{name} {' '.join(args)} failed:\n{done.stderr}")
    return pathlib.Path(done.stdout.splitlines()[-1])


def qemu(base=QEMUS[0]):
    """The QEMU under test, built from that version; HMEM_QEMU=FILE overrides it."""
    if base == QEMUS[0] and os.environ.get("HMEM_QEMU"):
        return pathlib.Path(os.environ["HMEM_QEMU"])
    return tool("qemu", base) / "qemu-system-x86_64"


def simulator():
    """The plugin of that QEMU that simulates hybrid memory."""
    return qemu().parent / "contrib/plugins/hmem-sim/libhmem-sim.so"


def host_tools(sanitize=True):
    """The directory with hmemd and hmemctl; built with sanitizers for tests,
    unless HMEM_SANITIZE=0."""
    sanitize = sanitize and os.environ.get("HMEM_SANITIZE") != "0"
    if sanitize:
        return tool("build", "host-sanitize", "host-backend", "SANITIZE=1")
    return tool("build", "host", "host-backend")


def host_overlay():
    """An archive with hmemd and hmemctl to run in a guest, see VM's overlay."""
    return tool("host-overlay")


def kernel(series):
    return tool("kdir", series)


def initramfs(series, module=True):
    return tool("initramfs", series, *([] if module else ["--no-module"]))


@contextlib.contextmanager
def locked(name):
    """Hold the lock NAME, a path in the cache, while something is made that others
    wait for.  Yields the directory of the lock."""
    path = CACHE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path.parent


def program(name):
    """The path of a program, also if it is in a directory for administrators."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Error(f"{name} is not installed: run tests/env/packages")
    return path
