# SPDX-License-Identifier: GPL-2.0-or-later
"""DIR/results.json, DIR/report.md, plots, and a table on standard output."""

import json
import math

import configs
import svg
import workloads

MIB = 1 << 20
SIM_LABEL = "modelled guest time"
# These fields of a run are only in its own result.json.
PRIVATE = ("series", "heat", "description", "model", "kernel")


def relate(rows):
    """Add the ratios between the runs of each workload."""
    for name in dict.fromkeys(r["workload"] for r in rows):
        same = {r["config"]: r for r in rows if r["workload"] == name}
        best = max((same[c.name] for c in configs.BASELINES
                    if c.software and c.name in same),
                   key=lambda r: r["throughput"], default=None)
        for key, base in (("all_dram", same.get("all-dram")), ("best_software", best),
                          ("oracle", same.get("oracle"))):
            for row in same.values():
                row[f"relative_to_{key}"] = \
                    row["throughput"] / base["throughput"] if base else None
        for row in same.values():
            row["best_software"] = best["config"] if best else None


def cell(value, form):
    return "-" if value is None else format(value, form)


def mib(value):
    return None if value is None else value / MIB


def percent_of_time(ns, row):
    return None if ns is None else 100 * ns / (row["guest_seconds"] * 1e9)


# The title of each column, and the function that formats its cells.
COLUMNS = (
    ("config", lambda r: r["config"]),
    ("throughput", lambda r: f"{r['throughput']:.4g}"),
    ("steady", lambda r: f"{r['throughput_steady']:.4g}"),
    ("of all-dram", lambda r: cell(r["relative_to_all_dram"], ".2f")),
    ("of best sw", lambda r: cell(r["relative_to_best_software"], ".2f")),
    ("of oracle", lambda r: cell(r["relative_to_oracle"], ".2f")),
    ("NVM read MiB", lambda r: cell(mib(r["nvm_read_bytes"]), ",.0f")),
    ("NVM write MiB", lambda r: cell(mib(r["nvm_write_bytes"]), ",.0f")),
    ("migration MiB", lambda r: cell(mib(r["migration_bytes"]), ",.0f")),
    ("promoted", lambda r: f"{r['pages_promoted']:,}"),
    ("demoted", lambda r: f"{r['pages_demoted']:,}"),
    ("ping-pong", lambda r: cell(r["ping_pong"], ".2f")),
    ("pause p99 µs", lambda r: cell(None if r["pause_p99_ns"] is None
                                    else r["pause_p99_ns"] / 1000, ".1f")),
    ("tracking %", lambda r: cell(percent_of_time(r["tracking_stall_ns"], r), ".2f")),
    ("movers %", lambda r: cell(percent_of_time(r["mover_cpu_ns"], r), ".1f")),
    ("hmemd s", lambda r: cell(r.get("daemon_cpu_seconds"), ".2f")),
    ("QEMU s", lambda r: cell(r.get("qemu_cpu_seconds"), ".0f")),
    ("wall s", lambda r: f"{r['wall_seconds']:.0f}"),
)

LEGEND = """\
throughput and steady (the last 40 % of the time): see each workload for the unit.
of ...: throughput relative to all-dram, to the best of the stock software (static,
numab1, numab2, damon) and to the oracle.  NVM read, write: lines that the slow tier
read and wrote, without those that migration caused; migration: lines that migration
caused in both tiers.  promoted, demoted: 4 KiB pages, without those that moved before
the measured time, while data was filled and in the second of warming up.  ping-pong:
of the moves in a sample of pages, the share of pages that had moved before.  pause:
99 % of the base pages were inaccessible for less than this while the virtio-hmem driver
moved them; unknown for other movers.  tracking: guest time stalled by accessed-bit
tracking.  movers: processor time of the guest kernel's threads that find and move pages
(kswapd, kdamond, kworker, kcompactd), as a part of guest time.  hmemd, QEMU: their
processor time on this host, which is not modelled; wall: real time of the run.
"""


def tables(rows):
    """{workload: its table as text}"""
    result = {}
    for name in dict.fromkeys(r["workload"] for r in rows):
        lines = [[title for title, _ in COLUMNS]]
        lines += [[form(r) for _, form in COLUMNS] for r in rows if r["workload"] == name]
        widths = [max(map(len, column)) for column in zip(*lines)]
        lines.insert(1, ["-" * w for w in widths])
        result[name] = "\n".join(
            "| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                              for i, (c, w) in enumerate(zip(line, widths))) + " |"
            for line in lines)
    return result


OVERVIEWS = (
    ("throughput relative to all-dram", "relative_to_all_dram"),
    ("throughput relative to the best of the stock software", "relative_to_best_software"),
)


def overview(rows, key):
    """A table of relative throughput: a row for each configuration, a column for each
    workload, and the geometric mean if all values of the row are known."""
    names = list(dict.fromkeys(r["workload"] for r in rows))
    lines = [["config", *names, "geomean"]]
    for config in dict.fromkeys(r["config"] for r in rows):
        values = [next((r[key] for r in rows
                        if r["config"] == config and r["workload"] == n), None)
                  for n in names]
        known = [v for v in values if v]
        mean = math.exp(sum(map(math.log, known)) / len(known)) \
            if len(known) == len(values) else None
        lines.append([config, *(cell(v, ".3f") for v in values), cell(mean, ".3f")])
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * w for w in widths])
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |"
                     for line in lines)


def describe_walks(model):
    if model.get("walks", "off") == "off":
        return "TLB misses cost nothing"
    host = f" (host's pages: {model['host_page_bytes'] // 1024} KiB)" \
        if model["walks"] == "nested" else ""
    return (f"{model['walks']} page walks{host}: second level of the TLB "
            f"{model['tlb_ns']:g} ns, a cached entry {model['entry_ns']:g} ns")


def describe_model(model):
    if not model:
        return ["No simulator: all memory is equally fast, so the figures do not compare tiers."]
    lines = [f"preset {model['preset']}; last-level cache {model['llc_bytes'] // 1024} KiB, "
             f"{model['llc_ways']} ways; TLB {model['tlb_entries']} entries; "
             f"memory-level parallelism {model['mlp']:g}; "
             f"rearmed page {model['walk_ns']:g} ns; an instruction 1 ns",
             describe_walks(model)]
    if model["vcpus"] > 1:
        lines.append(f"{model['vcpus']} processors side by side, in slices of "
                     f"{model['slice_ns']:g} ns")
    for name, tier in model["tiers"].items():
        lines.append(f"{name}: read {tier['read_ns']:g} ns, {tier['read_gbps']:.3g} GB/s; "
                     f"write {tier['write_ns']:g} ns, {tier['write_gbps']:.3g} GB/s")
    return lines


def heading(rows, versions, args):
    model = next((r["model"] for r in rows if r.get("model")), None)
    lines = [f"All figures are {SIM_LABEL}, counts and bytes from one run each, unless "
             "the column says otherwise.", ""]
    lines += [f"- model: {line}" for line in describe_model(model)]
    lines += [f"- kernel: {versions['kernel']}, processors: {args.vcpus}, "
              f"transparent huge pages: {args.thp}",
              f"- {versions['qemu']}; virtio-hmem {versions['virtio-hmem']}",
              f"- seed {args.seed}{', quick subset' if args.quick else ''}; {cost(rows)}"]
    return lines


def cost(rows):
    """A text with the runs' processor time on this host."""
    taken = [r["qemu_cpu_seconds"] for r in rows]
    return (f"{len(rows)} runs took {sum(taken):.0f} s of this host's processor time, "
            f"{max(taken, default=0):.0f} s the longest")


def config_name(row):
    return configs.find(row["config"]).about


def plots(out, rows):
    """Write the SVG files; returns {workload: names of its files}."""
    names = {}
    for workload in dict.fromkeys(r["workload"] for r in rows):
        same = [r for r in rows if r["workload"] == workload]
        unit = same[0]["unit"]
        names[workload] = [f"{workload}-throughput.svg", f"{workload}-occupancy.svg"]
        (out / names[workload][0]).write_text(svg.lines(
            f"{workload}: throughput ({SIM_LABEL})", "guest time, s", unit,
            {r["config"]: [(s["seconds"], s["throughput"]) for s in r["series"]]
             for r in same}))
        (out / names[workload][1]).write_text(svg.occupancy(
            f"{workload}: where anonymous memory lies",
            {r["config"]: [(s["seconds"], s["dram_mib"], s["nvm_mib"]) for s in r["series"]]
             for r in same}))
        for row in same:
            if row.get("heat"):
                name = f"{workload}-{row['config']}-heat.svg".replace(":", "-")
                names[workload].append(name)
                (out / name).write_text(heat_map(row))
    return names


def heat_map(row):
    """A picture of the accesses to memory, by address and time."""
    rows = row["heat"]["rows"]
    size = row["dram_mib"] + row["nvm_mib"]
    return svg.heat(
        f"{row['workload']}, {row['config']}: lines accessed in {size / len(rows):g} MiB and "
        f"{row['heat']['seconds'] / max(len(rows[0]), 1):.2f} s", rows,
        f"{row['heat']['seconds']:.1f}", f"guest-physical address, 0 to {size} MiB",
        "guest time, s", row["dram_mib"] / size)


def write(out, rows, versions, args, failed):
    relate(rows)
    out.mkdir(parents=True, exist_ok=True)
    model = next((r["model"] for r in rows if r.get("model")), None)
    (out / "results.json").write_text(json.dumps({
        "results": [{k: v for k, v in r.items() if k not in PRIVATE} for r in rows],
        "model": model, "versions": versions, "seed": args.seed, "vcpus": args.vcpus,
        "quick": args.quick, "failed": failed}, indent=1) + "\n")
    files = plots(out, rows)
    text = ["<!-- SPDX-License-Identifier: GPL-2.0-or-later -->", "# Benchmark", ""]
    text += heading(rows, versions, args)
    text += [""]
    for title, key in OVERVIEWS:
        text += [f"## {title.capitalize()}", "", overview(rows, key), ""]
    for name, table in tables(rows).items():
        unit = next(r["unit"] for r in rows if r["workload"] == name)
        text += [f"## {name}", "", f"{workloads.find(name).about}; in {unit}.", "", table, "",
                 *(f"![{file}]({file})" for file in files[name]), ""]
        print(f"\n{name} ({unit})\n{table}")
    text += ["## Columns", "", LEGEND, "## Configurations", ""]
    text += [f"- **{r['config']}**: {config_name(r)}"
             for r in {r["config"]: r for r in rows}.values()]
    if failed:
        text += ["", "## Without a result", "", *(f"- {name}" for name in failed)]
    (out / "report.md").write_text("\n".join(text) + "\n")
    for title, key in OVERVIEWS:
        print(f"\n{title}\n{overview(rows, key)}")
    for line in heading(rows, versions, args):
        print(line)
    print(f"\n{out}/results.json, {out}/report.md")
    if failed:
        print(f"without a result: {', '.join(failed)}")
