# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's huge pages of 2 MiB (hugetlb), for tests of memory backends that use them.

Linux allocates such a page when one is needed, as many at a time as nr_overcommit_hugepages says,
which only root can change."""

import contextlib
import mmap
import os
import pathlib

import env
from guest import Skip
from vm import MIB

VM = pathlib.Path("/proc/sys/vm")
LIMIT = VM / "nr_overcommit_hugepages"
SIZE = 2 * MIB


def take(size):
    """Reserve memory in huge pages; returns an object that is to be closed."""
    fd = os.memfd_create("hugetlb", os.MFD_HUGETLB)
    try:
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


def there_are(mib):
    """Raises OSError if the host does not have so many MiB in huge pages."""
    try:
        take(mib * MIB).close()
    except OSError:
        (VM / "compact_memory").write_text("1")
        take(mib * MIB).close()


@contextlib.contextmanager
def allowed(mib):
    """QEMU can have so many MiB in huge pages.  One test at a time can use this."""
    pages = mib * MIB // SIZE
    with env.locked("hugetlb.lock"):
        before = int(LIMIT.read_text())
        try:
            LIMIT.write_text(str(before + pages))
        except PermissionError:
            raise Skip(f"only root can write to {LIMIT}") from None
        try:
            try:
                there_are(mib)
            except OSError as e:
                raise Skip(f"the host has no {mib} MiB in huge pages: {e.strerror}") from None
            yield
        finally:
            LIMIT.write_text(str(before))


@contextlib.contextmanager
def taken():
    """Something else has reserved all huge pages that are free."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            while True:
                stack.callback(take(SIZE).close)
        yield
