# SPDX-License-Identifier: GPL-2.0-or-later
"""The runs of the benchmark of capacity: each case under a configuration."""

import json
import pathlib
import re
import time

import cases
import env
import machine
import made_of
import pool_report
import resizing
import symbols
import vm


class Sizes:
    """
    The course of the machines' DRAM.

    of      {VM: [(ns since the machine's start, bytes), ...]}, one item for each change
    """

    def __init__(self):
        self.of = {}

    def look(self, hmemd):
        for one in hmemd.ctl("status")["vms"]:
            course = self.of.setdefault(one["name"], [])
            size = one["tiers"][0]["size"]
            if size and (not course or course[-1][1] != size["actual_bytes"]):
                course.append((one["vtime_ns"], size["actual_bytes"]))


class Stored:
    """A run whose result is kept.  description() has everything that affects the result: a run
    whose description has changed must run again."""

    def __init__(self, args, name):
        self.args, self.name = args, name
        self.dir = pathlib.Path(args.out).absolute() / "runs" / name
        self.path = self.dir / "result.json"

    def finished(self):
        try:
            rows = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None
        return rows if rows[0].get("description") == self.description() else None

    def store(self, rows):
        rows = [{**row, "description": self.description()} for row in rows]
        self.dir.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(rows, indent=1) + "\n")
        return rows


class ResizeRun(Stored):
    """What resizing costs the guest, under a configuration of resizing.CONFIGS."""

    def __init__(self, args, config):
        super().__init__(args, f"{resizing.NAME}-{config}")
        self.config = config

    def description(self):
        return {"config": resizing.CONFIGS[self.config],
                "pages": [resizing.STEP * resizing.STEPS, resizing.HUGE_FRAMES],
                "made_of": made_of.MadeOf(self.args.kernel).resizing()}

    def execute(self):
        return self.store(resizing.rows(self.args.kernel, self.config))

    @staticmethod
    def said(row):
        return (f"{row['vm']} {row['given_up_per_page']:.1f} + {row['taken_back_per_page']:.1f} "
                f"{row['unit']} per page")


class Run(Stored):
    """A case under a configuration: one machine for each of its guests."""

    def __init__(self, args, case, config, sizes=None):
        super().__init__(args, f"{case.name}-{config.name}")
        self.case, self.config = case, config
        self.sizes = sizes or Sizes()
        self.seconds = args.seconds or case.seconds * config.part

    def made_of(self):
        made = made_of.MadeOf(self.args.kernel)
        return [made.run(g.program, g.setup(self.config), g.image, True,
                         bool(self.config.policy))
                for g in self.case.guests]

    def description(self):
        # The text of a function has its address, which differs from run to run.
        case, config = (re.sub(r" at 0x[0-9a-f]+", "", repr(o)) for o in (self.case, self.config))
        return {"case": case, "config": config, "seed": self.args.seed,
                "nodes": [list(self.config.nodes(g.dram, g.nvm)) for g in self.case.guests],
                "seconds": self.seconds, "sim": self.args.sim,
                "machine": list(machine.fixed_arguments(1)), "command_line": machine.cmdline(1),
                "made_of": self.made_of()}

    def machine(self, guest, copies):
        directory = self.dir / guest.name
        directory.mkdir(parents=True, exist_ok=True)
        options = guest.options | {"seconds": self.seconds, "seed": self.args.seed,
                                   "place": self.config.place}
        if guest.idle:
            options["idle_at"], options["idle_for"] = guest.idle
        if len(self.case.guests) > 1:
            options["at"] = self.config.filled
        arguments = ",".join([guest.program, *(f"{k}={v}" for k, v in options.items())])
        setup = guest.setup(self.config)
        append = (f"bench.run={arguments} bench.thp=never"
                  + (f" bench.setup={setup}" if setup else "")
                  + (" bench.hmem" if self.config.policy else ""))
        dram, nvm = self.config.memory(guest)
        sim = ["preset=optane", *self.share(guest), *self.args.sim,
               f"out={directory}/sim.json", f"copy={copies}"]
        initrds = [env.tool("initramfs", self.args.kernel,
                            *([] if self.config.policy else ["--no-module"]),
                            "--bench", guest.program)]
        if guest.image:
            initrds.append(env.tool("guest-root", guest.image))
        return machine.Machine(
            directory, self.args.kernel, dram, nvm, initrds, append, sim=sim,
            policy=self.config.policy, seed=self.args.seed, timeout=self.args.timeout,
            name=guest.name, hmem_props=self.config.props(guest), disk=guest.disk)

    def share(self, guest):
        """Options of the simulator for machines that share a host.  A machine has the bandwidth
        of one core, so the host has that of as many cores as there are machines."""
        guests = self.case.guests
        # In memory mode, the cache is to be full when modelling begins for the others.
        options = ["start=boot" if self.config.memory_mode else "start=mark"]
        if self.config.memory_mode:
            options.append(f"memory_mode={sum(g.dram for g in guests)}M")
        if len(guests) > 1:
            options += [f"share={self.dir}/share", f"members={len(guests)}",
                        f"member={guests.index(guest)}", *cases.bandwidth(len(guests))]
        return options

    def execute(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        (self.dir / "share").unlink(missing_ok=True)
        ranges = symbols.copy_ranges(self.args.kernel)
        copies = ":".join(r for name, r in ranges.items()
                          if name != symbols.DRIVER or self.config.policy)
        machines = [self.machine(g, copies) for g in self.case.guests]
        options = []
        if self.config.settings:
            (self.dir / "hmemd.conf").write_text(self.config.settings)
            options = ["--config", self.dir / "hmemd.conf"]
        ledger = {}
        start = time.monotonic()
        taken, daemon = machine.run_together(
            machines, [*options, *self.config.options],
            lambda hmemd: ledger.update(hmemd.ctl("trades")), self.sizes.look)
        wall = time.monotonic() - start
        rows = [{"workload": self.case.name, "config": self.config.name, "vm": m.name,
                 **self.evaluate(m), "dram_mib": m.dram, "nvm_mib": m.nvm,
                 "seed": self.args.seed, "qemu_cpu_seconds": cpu,
                 "daemon_cpu_seconds": daemon, "wall_seconds": round(wall, 1),
                 "trades": [t for t in ledger.get("trades", []) if t["vm"] == m.name],
                 "guaranteed_bytes": guest.least * vm.MIB if self.config.resizes else None,
                 "sizes": self.sizes.of.get(m.name, [])}
                for guest, m, cpu in zip(self.case.guests, machines, taken)]
        (self.dir / "share").unlink(missing_ok=True)
        return self.store(rows)

    @staticmethod
    def said(row):
        return f"{row['vm']} {row['throughput_steady']:.4g} {row['unit']}"

    def evaluate(self, one):
        return pool_report.evaluate(one.console.read_text("utf-8", "replace"),
                                    (one.dir / "sim.json").read_text())
