# SPDX-License-Identifier: GPL-2.0-or-later
"""The jobs for tests without a guest, and for the builds that all tests need."""

import sys

import env


def build(name, *arguments):
    """The command that builds the host's programs into a directory of this name."""
    return [env.TESTS / "env" / "build", name, "host-backend", *arguments]


def qemu(base=env.QEMUS[0]):
    """The name of the job that builds this QEMU."""
    return f"build/qemu@{base}"


def jobs(kernels):
    """(name, command, timeout in seconds, needs, environment) of each job."""
    tools = env.TESTS / "env"
    sanitized = env.CACHE / "build" / "host-sanitize"
    for base in env.QEMUS:
        yield qemu(base), [tools / "qemu", base], 3600, (), {}
    yield "build/host", build("host"), 600, (), {}
    yield "build/host-clang", build("host-clang", "CC=clang"), 600, (), {}
    yield "build/host-sanitize", build("host-sanitize", "SANITIZE=1"), 600, (), {}
    for k in kernels:
        yield (f"build/guest@{k}", [tools / "initramfs", k],
               7200 if k == "debug" else 1800, (), {})

    # A host with KVM, in a guest: see tests/lib/nested.py.
    if "6.12" in kernels:
        yield ("build/kvm@6.12", [tools / "kvm-disk", "6.12"], 600,
               (qemu(), "build/guest@6.12"), {})

    # Unit tests; each is a program of its own, with sanitizers.
    unit = sorted(p.stem for p in (env.TESTS / "unit").glob("test-*.c"))
    yield ("build/unit",
           build("host-sanitize", "SANITIZE=1", *(f"@/{u}" for u in unit)),
           600, ("build/host-sanitize",), {})
    for u in unit:
        if u in ("test-faults", "test-scale"):
            continue
        yield (f"unit/{u.removeprefix('test-')}", [sanitized / u], 300,
               ("build/unit",),
               {"HMEMD": str(sanitized / "hmemd"),
                "HMEMCTL": str(sanitized / "hmemctl"),
                "GOLDEN": str(env.TESTS / "unit" / "golden.txt"),
                "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    # These also run plain programs, to measure or to limit their memory.
    for u in ("faults", "scale"):
        yield (f"unit/{u}", [sanitized / f"test-{u}"], 300, ("build/unit", "build/host"),
               {"HMEMD": str(sanitized / "hmemd"),
                "HMEMD_PLAIN": str(env.CACHE / "build" / "host" / "hmemd"),
                "HMEMCTL_PLAIN": str(env.CACHE / "build" / "host" / "hmemctl"),
                "HMEMCTL": str(sanitized / "hmemctl"),
                "CMOCKA_MESSAGE_OUTPUT": "TAP"})
    # The same without io_uring, of tests whose subject is the loop and what uses the loop.
    for u in ("events", "hmemd", "hostile", "loop", "metrics", "restart"):
        yield (f"unit/{u}-epoll", [sanitized / f"test-{u}"], 300,
               ("build/unit",),
               {"HMEMD": str(sanitized / "hmemd"),
                "HMEMCTL": str(sanitized / "hmemctl"),
                "GOLDEN": str(env.TESTS / "unit" / "golden.txt"),
                "NO_IO_URING": "1",
                "CMOCKA_MESSAGE_OUTPUT": "TAP"})

    yield ("unit/completion", [env.TESTS / "unit" / "completion", sanitized], 300,
           ("build/host-sanitize",), {})
    # Some inputs for all of hmemd; `make fuzz` tries many more.
    fuzz = env.CACHE / "build" / "host-fuzz"
    yield ("build/fuzz",
           build("host-fuzz", "CC=clang", "SANITIZE=1", "FUZZ=1", "@/fuzz-hmemd",
                 "@/fuzz-parsers"), 600,
           (), {})
    yield ("unit/fuzz-hmemd",
           [fuzz / "fuzz-hmemd", "-seed=1", "-runs=3000", "-max_len=512",
            "-len_control=0", "-timeout=250", f"-artifact_prefix={fuzz}/"], 300,
           ("build/fuzz",), {})

    yield ("unit/fuzz-parsers",
           [fuzz / "fuzz-parsers", "-seed=1", "-runs=100000", "-max_len=512",
            "-len_control=0", "-timeout=250", f"-artifact_prefix={fuzz}/",
            f"-dict={env.TESTS / 'fuzz' / 'parsers.dict'}"], 300,
           ("build/fuzz",), {})

    # The same for the device in QEMU: 100,000 executions in all.
    yield "build/qemu-fuzz", [tools / "qemu", "--fuzz"], 3600, (qemu(),), {}
    for target, runs in (("virtio-hmem", 30000), ("virtio-hmem-stream", 60000),
                         ("generic-fuzz-virtio-hmem", 10000)):
        yield (f"fuzz/{target}", [env.TESTS / "fuzz" / "run", "--check", "--runs", runs, target],
               900, ("build/qemu-fuzz",), {})

    for script in "builds", "runner":
        yield f"unit/{script}", [env.TESTS / "unit" / script], 60, (), {}

    # The device's qtests, on a QEMU without a guest.
    for base in env.QEMUS:
        yield f"qtest/virtio-hmem@{base}", [env.TESTS / "lib" / "qtest", base], 900, \
            (qemu(base),), {}

    # Tests of the simulator, with a small guest; each file is a test.
    for path in sorted((env.TESTS / "sim").glob("test_*.py")):
        yield (f"sim/{path.stem.removeprefix('test_')}",
               [sys.executable, "-B", path], 900, (qemu(),), {})

    # A small part of the benchmark: does it work, and do tiers differ?
    if "6.12" in kernels:
        yield "bench/quick", [env.TESTS / "bench" / "check"], 1800, \
            (qemu(), "build/host", "build/guest@6.12"), {}

    yield "demo/check", [env.TESTS / "demo" / "check"], 60, (), {}

    # libvirt's own daemon starts a machine, and its schema allows what KubeVirt would start.
    yield "libvirt/kubevirt", [env.TESTS / "libvirt" / "kubevirt"], 300, (), {}
    if env.KERNEL in kernels:
        yield "libvirt/domain", [env.TESTS / "libvirt" / "domain"], 900, \
            (qemu(), "build/host-sanitize", f"build/guest@{env.KERNEL}"), {}

    yield "docs/commands", [env.TESTS / "docs" / "commands"], 600, \
        (qemu(), "build/host-sanitize"), {}

    yield "spec/check", [env.TESTS / "spec" / "check", "--self-test"], 300, (), {}
    for path in sorted((env.TESTS / "style").iterdir()):
        name = f"style/{path.name}"
        if path.name == "checkpatch-qemu":
            for base in env.QEMUS:
                yield f"{name}@{base}", [path, base], 600, (qemu(base),), {}
        elif path.name == "sparse":
            yield name, [path, *kernels], 600, \
                tuple(f"build/guest@{k}" for k in kernels), {}
        else:
            yield name, [path], 600, (), {}


def jobs_by_name(kernels):
    """The same for jobs that take so long that they run only by name."""
    if "6.12" in kernels:
        yield "demo/pool", [env.TESTS / "demo" / "pool"], 7200, \
            (qemu(), "build/host", "build/guest@6.12"), {}
