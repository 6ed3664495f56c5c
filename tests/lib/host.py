# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests that need no guest, and the builds that the others need."""

import env

HOST = env.CACHE / "build" / "host"


def make(directory, *variables):
    return ["make", "-s", "-C", env.TOP / directory, *variables]


def jobs(kernels):
    """(name, command, timeout in seconds, needs, environment) of each."""
    tools = env.TESTS / "env"
    yield "build/qemu", [tools / "qemu"], 3600, (), {}
    yield "build/host", make("host-backend", f"OUT={HOST}"), 600, (), {}
    yield ("build/host-clang",
           make("host-backend", f"OUT={HOST}-clang", "CC=clang"), 600, (), {})
    yield ("build/host-sanitize",
           make("host-backend", f"OUT={HOST}-sanitize", "SANITIZE=1"), 600, (), {})
    for k in kernels:
        yield (f"build/guest@{k}", [tools / "initramfs", k],
               7200 if k == "debug" else 1800, (), {})

    yield "spec/check", [env.TESTS / "spec" / "check"], 300, (), {}
    for path in sorted((env.TESTS / "style").iterdir()):
        needs = {"checkpatch-qemu": ("build/qemu",),
                 "sparse": tuple(f"build/guest@{k}" for k in kernels)}
        yield (f"style/{path.name}", [path, *(kernels if path.name == "sparse"
                                              else ())],
               600, needs.get(path.name, ()), {})
