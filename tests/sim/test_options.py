# SPDX-License-Identifier: GPL-2.0-or-later
"""Wrong options are refused before the guest runs; right ones are recorded."""

import subprocess

from machine import ICOUNT, Run, bare, run_tests, step

WRONG = (
    ("preset=floppy", "preset=floppy: not dram, optane, cxl or hme"),
    ("colour=red", "'colour' is not an option"),
    ("nvm.colour=1", "'nvm.colour' is not an option"),
    ("llc=3M", "power of two"),
    ("llc=0", "power of two"),
    ("llc=2T", "not a size"),
    ("llc=-1", "not a size"),
    ("ways=0", "not 1 to 64"),
    ("ways=many", "not a whole number"),
    ("tlb=3000", "a power of two"),
    ("tlb=32", "a power of two"),
    ("walks=far", "neither off, native nor nested"),
    ("walks=nested,tlb=0", "walks needs a TLB"),
    ("host_page=1G", "neither 4K nor 2M"),
    ("mlp=0.5", "not 1 to 1000"),
    ("mlp=nan", "not a number"),
    ("nvm.read_ns=-5", "not a number of 0 or more"),
    ("nvm.read_ns=5ns", "not a number of 0 or more"),
    ("step_ns=1e10", "more than a second"),
    ("slice_ns=1000", "1024 to 32768 instructions"),
    ("slice_ns=40000", "1024 to 32768 instructions"),
    ("prefetch=maybe", "neither on nor off"),
    ("start=later", "neither boot nor mark"),
    ("node0=tape", "no tier is called so"),
    ("node8=nvm", "numbered 0 to 7"),
    ("memory_mode=100", "whole lines"),
    ("memory_mode=64M,preset=dram", "needs a preset with a slow tier"),
    ("memory_mode=64M,node0=dram", "contradicts memory_mode"),
    ("period_ms=10", "needs series=FILE or heat=FILE"),
    ("heat=/dev/null", "needs period_ms"),
    ("copy=10-", "is not START-END"),
    ("copy=20-10", "is not START-END"),
    ("copy=" + ":".join(9 * ["1-2"]), "more than 8 ranges"),
    ("out=/nonexistent/file", "cannot write /nonexistent/file"),
)


def refused(text, *args, **more):
    done = subprocess.run(bare([step("q")], *args, **more), timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1, (args, done)
    assert "hmem-sim: " in done.stderr and text in done.stderr, (args, done)
    assert not done.stdout, (args, done)
    print(done.stderr.splitlines()[0])


def test_wrong_options():
    for options, text in WRONG:
        refused(text, options)


def test_wrong_machines():
    refused("-icount shift=0,sleep=off", icount=())
    refused("-icount shift=0,sleep=off", icount=("-icount", "shift=auto"))
    refused("NUMA node 8", nodes=9 * (64,))
    refused("up to 16", cpus=17)


def test_right_ones_are_recorded():
    run = Run([step("q")], "preset=hme,llc=1M,ways=8,tlb=512,mlp=2,walk_ns=7,step_ns=100,"
              "prefetch=off,nvm.read_ns=333.5,nvm.write_gbps=9,node1=cxl,node2=nvm,"
              "copy=ffffffff81000000-ffffffff81000100:10-20")
    model = run.out["model"]
    for key, value in {"preset": "hme", "insn_ns": 1, "llc_bytes": 1 << 20, "llc_ways": 8,
                       "tlb_entries": 512, "mlp": 2, "walk_ns": 7, "step_ns": 100,
                       "prefetch": False,
                       "copy": ["ffffffff81000000-ffffffff81000100", "10-20"]}.items():
        assert model[key] == value, (key, model)
    assert [n["tier"] for n in model["nodes"]] == ["dram", "cxl"], model
    assert model["tiers"]["nvm"]["read_ns"] == 333.5, model
    assert model["tiers"]["nvm"]["write_ns"] == 1800, model
    assert model["tiers"]["nvm"]["write_gbps"] == 9, model
    assert model["tiers"]["dram"]["write_ns"] == 200, model
    assert model["vcpus"] == 1, model
    print("ok")


def test_defaults_grow_with_vcpus():
    """The presets are for one core, and what an option says is for the whole machine."""
    one = Run([step("q")]).out["model"]
    four = Run([step("q")], "slice_ns=3000,nvm.read_gbps=7", cpus=4).out["model"]
    assert (four["vcpus"], four["slice_ns"]) == (4, 3000), four
    assert four["llc_bytes"] == 4 * one["llc_bytes"], four
    for tier, name in (("dram", "read_gbps"), ("dram", "write_gbps"), ("nvm", "write_gbps")):
        assert abs(four["tiers"][tier][name] - 4 * one["tiers"][tier][name]) < 1e-4, four
    assert four["tiers"]["nvm"]["read_gbps"] == 7, four
    print("ok")


run_tests(globals())
