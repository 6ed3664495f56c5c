# SPDX-License-Identifier: GPL-2.0-or-later
"""The benchmark of capacity: DIR/results.json, DIR/report.md, plots, and tables on standard
output."""

import json

import cases
import report
import resizing
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


# How a VM's DRAM follows its needs: guest time in seconds, which are the pool's windows.
SECOND = 10**9
MOSTLY = 0.9
# The part of a VM's time that the pool may cost it: the default in pool.c.
LOSS = 0.05


def size_at(row, ns):
    """Bytes of DRAM at this time of the machine."""
    return next(size for at, size in reversed(row["sizes"]) if at <= ns)


def windows_until(row, ns, end, reached):
    """The time from ns until reached(bytes), in windows; None: not before end."""
    for at, size in [(ns, size_at(row, ns)), *row["sizes"]]:
        if ns <= at < end and reached(size):
            return (at - ns) / SECOND
    return None


def speeds_awake(row):
    """The speeds in the intervals before the sleep, and in those after it."""
    series = row["series"]
    slept = (row["idle"]["to"] - row["idle"]["from"]) / SECOND
    # The program measures nothing while it sleeps, so one interval contains the sleep.
    at = next(i for i in range(1, len(series))
              if series[i]["seconds"] - series[i - 1]["seconds"] > slept / 2)
    speeds = [s["throughput"] for s in series]
    return speeds[:at], speeds[at + 1:]


def slow_windows(row):
    """The windows after the awakening in which the VM was slower than in the last one before its
    sleep, by more than the pool may take from it; None: all of them."""
    before, after = speeds_awake(row)
    length = round(1 / (row["series"][1]["seconds"] - row["series"][0]["seconds"]))
    windows = [mean(after[i:i + length]) for i in range(0, len(after) - length + 1, length)]
    needed = (1 - LOSS) * mean(before[-length:])
    return next((i for i, speed in enumerate(windows) if speed >= needed), None)


def lending(row):
    """How a VM that sleeps lends its DRAM and gets it back; None if it does not sleep.

    had         bytes when it fell asleep
    lent        bytes that it gave up while it slept
    lent_in     windows until it had given up MOSTLY all of them
    needs       bytes that it had again later: at most its share or what it had, the less
    back_in     windows from its awakening until it had MOSTLY all of them back
    slow        windows from its awakening until it was as fast as before: it may not need all that
                it had
    """
    if not row["idle"] or not row["sizes"]:
        return None
    begin, end = row["idle"]["from"], row["idle"]["to"]
    had, left = size_at(row, begin), size_at(row, end)
    share = cases.SHARE * MIB
    lent, owed = had - left, max(min(had, share) - left, 0)
    return {
        "had": had, "lent": lent,
        "lent_in": windows_until(row, begin, end, lambda b: b <= had - MOSTLY * lent),
        "owed": owed,
        "back_in": windows_until(row, end, float("inf"), lambda b: b >= left + MOSTLY * owed),
        "slow": slow_windows(row)}


def lenders(rows):
    """The table of lending."""
    lines = [["VM", "slept from s", "to s", "had MiB", "lent MiB", "in windows",
              "to get back MiB", "in windows", "slow for windows", "least MiB",
              "guaranteed MiB"]]
    for row in rows:
        found = lending(row)
        if not found:
            continue
        number = {k: "-" if v is None else f"{v:.2f}" for k, v in found.items()}
        lines.append([row["vm"], *(f"{row['idle'][k] / SECOND:.1f}" for k in ("from", "to")),
                      f"{found['had'] / MIB:.0f}", f"{found['lent'] / MIB:.0f}",
                      number["lent_in"], f"{found['owed'] / MIB:.0f}", number["back_in"],
                      "all" if found["slow"] is None else str(found["slow"]),
                      f"{min(size for _, size in row['sizes']) / MIB:.0f}",
                      f"{row['guaranteed_bytes'] / MIB:.0f}"])
    return aligned(lines) if len(lines) > 1 else ""


def resized(rows):
    """The table of what resizing costs the guest."""
    lines = [["config", "who", "given up", "taken back", "of the balloon's", "of the balloon's",
              "per MiB, both"]]
    lines += [[r["config"], r["vm"], f"{r['given_up_per_page']:,.1f}",
               f"{r['taken_back_per_page']:,.1f}", f"{r['ratio_given_up']:.3f}",
               f"{r['ratio_taken_back']:.3f}",
               f"{256 * (r['given_up_per_page'] + r['taken_back_per_page']):,.0f}"]
              for r in rows]
    return aligned(lines)


def write_resized(rows):
    """The section of the case resize."""
    print(f"\n{resizing.NAME} ({resizing.UNIT} per page of 4 KiB)\n{resized(rows)}")
    return ["", f"## {resizing.NAME}", "",
            f"{resizing.ABOUT}: {resizing.UNIT} of the kernel's workers for each page of 4 KiB, "
            f"medians of {resizing.REPEATS}.", "", resized(rows), "",
            *(f"- **{name}**: {about}" for name, (about, _) in resizing.CONFIGS.items()
              if name in {r["config"] for r in rows})]


def write(out, rows, args, failed):
    everything = rows
    rows = [r for r in rows if r["workload"] != resizing.NAME]
    relate(rows)
    out.mkdir(parents=True, exist_ok=True)
    model = next((r["model"] for r in rows if r.get("model")), None)
    (out / "results.json").write_text(json.dumps({
        "results": [{k: v for k, v in r.items() if k not in PRIVATE} for r in everything],
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
        if lenders(same):
            text += ["", lenders(same)]
            print(f"\n{lenders(same)}")
    if len(everything) > len(rows):
        text += write_resized([r for r in everything if r["workload"] == resizing.NAME])
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
