# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of capacity: DIR/results.json, DIR/report.md, plots, and tables on standard
output."""

import json

import cases
import report
import results
import svg

PRIVATE = ("series", "description", "model", "kernel")
MIB = 1 << 20


def evaluate(console, simulated):
    """The result of a VM, from its console and the simulator's counters."""
    return results.evaluate(console, simulated)


def relate(rows):
    """Add the throughput relative to the case's first configuration."""
    for row in rows:
        case = next(c for c in cases.CASES if c.name == row["workload"])
        base = next((r for r in rows if r["config"] == case.configs[0].name and
                     (r["workload"], r["vm"]) == (row["workload"], row["vm"])), None)
        for key, to in (("throughput", "relative"), ("throughput_steady", "relative_steady")):
            row[to] = row[key] / base[key] if base else None


def summaries(rows):
    """For a case of several VMs, of each configuration: the mean and the least of the VMs'
    speed relative to all-dram, and the least relative to the static shares."""
    lines = [["config", "mean of all-dram", "least of all-dram", "least of static"]]
    for config in dict.fromkeys(r["config"] for r in rows):
        cells = [config]
        for base, pick in (("all-dram", mean), ("all-dram", min), ("static", min)):
            to = {r["vm"]: r["throughput"] for r in rows if r["config"] == base}
            speeds = [r["throughput"] / to[r["vm"]] for r in rows
                      if r["config"] == config and r["vm"] in to]
            cells.append(f"{pick(speeds):.3f}" if speeds else "-")
        lines.append(cells)
    return aligned(lines)


def mean(numbers):
    return sum(numbers) / len(numbers)


def kept(row):
    return [t for t in row["trades"] if t["state"] == "kept"]


def sizes(row):
    """MiB of DRAM and NVM at the end."""
    trades = kept(row)
    if not trades:
        return "-"
    return "+".join(f"{size / MIB:.4g}" for size in trades[-1]["after_bytes"])


COLUMNS = (
    ("config", lambda r: r["config"]),
    ("VM", lambda r: r["vm"]),
    ("throughput", lambda r: f"{r['throughput']:.4g}"),
    ("steady", lambda r: f"{r['throughput_steady']:.4g}"),
    ("ratio", lambda r: report.cell(r["relative"], ".4g")),
    ("steady ratio", lambda r: report.cell(r["relative_steady"], ".4g")),
    ("trades", lambda r: str(len(kept(r)))),
    ("MiB after trades", sizes),
    ("NVM read MiB", lambda r: report.cell(report.mib(r["nvm_read_bytes"]), ",.0f")),
    ("promoted", lambda r: f"{r['pages_promoted']:,}"),
    ("demoted", lambda r: f"{r['pages_demoted']:,}"),
    ("hmemd s", lambda r: report.cell(r["daemon_cpu_seconds"], ".2f")),
    ("QEMU s", lambda r: f"{r['qemu_cpu_seconds']:.0f}"),
    ("wall s", lambda r: f"{r['wall_seconds']:.0f}"),
)

LEGEND = """\
throughput, and steady: over the last 40 % of the time.  ratio: relative to the first
configuration.  trades: those that were kept; MiB after trades: DRAM+NVM then.  NVM read, promoted,
demoted, hmemd, QEMU, wall: as in the report of `make bench`.
"""


def table(rows):
    lines = [[title for title, _ in COLUMNS]]
    lines += [[form(r) for _, form in COLUMNS] for r in rows]
    return aligned(lines)


def aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * w for w in widths])
    return "\n".join("| " + " | ".join(c.rjust(w) for c, w in zip(line, widths)) + " |"
                     for line in lines)


def label(row, case):
    return f"{row['config']} {row['vm']}" if len(case.guests) > 1 else row["config"]


def units(rows):
    return ", ".join(dict.fromkeys(r["unit"] for r in rows))


def write(out, rows, args, failed):
    relate(rows)
    out.mkdir(parents=True, exist_ok=True)
    model = next((r["model"] for r in rows if r.get("model")), None)
    (out / "results.json").write_text(json.dumps({
        "results": [{k: v for k, v in r.items() if k not in PRIVATE} for r in rows],
        "model": model, "seed": args.seed, "failed": failed}, indent=1) + "\n")
    text = ["<!-- SPDX-License-Identifier: GPL-2.0-or-later -->", "# Benchmark of capacity", "",
            f"All figures are {report.SIM_LABEL}, counts and bytes from one run each, unless "
            "the column says otherwise.", ""]
    text += [f"- model: {line}" for line in report.describe_model(model)]
    for case in cases.CASES:
        same = [r for r in rows if r["workload"] == case.name]
        if not same:
            continue
        plot = f"{case.name}-throughput.svg"
        (out / plot).write_text(svg.lines(
            f"{case.name}: throughput ({report.SIM_LABEL})", "guest time, s", same[0]["unit"],
            {label(r, case): [(s["seconds"], s["throughput"]) for s in r["series"]]
             for r in same}))
        text += ["", f"## {case.name}", "", f"{case.about}; in {units(same)}.", "",
                 table(same), "", f"![{plot}]({plot})"]
        print(f"\n{case.name} ({units(same)})\n{table(same)}")
        if len(case.guests) > 1:
            text += ["", summaries(same)]
            print(f"\n{summaries(same)}")
    text += ["", "## Columns", "", LEGEND, "## Configurations", ""]
    text += [f"- **{c.name}**: {c.about}"
             for c in {c.name: c for case in cases.CASES for c in case.configs}.values()
             if c.name in {r["config"] for r in rows}]
    if failed:
        text += ["", "## Without a result", "", *(f"- {name}" for name in failed)]
    (out / "report.md").write_text("\n".join(text) + "\n")
    print(f"\n{out}/results.json, {out}/report.md")
    if failed:
        print(f"without a result: {', '.join(failed)}")
