# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes plots as SVG; they follow the reader's choice of light or dark colours."""

import dataclasses
import math
from xml.sax.saxutils import escape

# Line colours by order of appearance: (on light, on dark).
COLOURS = (("#1f5fb4", "#6ea8ff"), ("#c2410c", "#ff9d5c"), ("#15803d", "#5fd38d"),
           ("#9333ea", "#c99bff"), ("#b91c1c", "#ff8a8a"), ("#0f766e", "#4fd1c5"),
           ("#a16207", "#e8c14d"), ("#be185d", "#ff8fc0"), ("#4b5563", "#b6bdc9"),
           ("#3f6212", "#a8d05f"), ("#7c2d12", "#d9a07a"), ("#1e3a8a", "#9db4ff"))
DASHES = ("", "7 3", "2 3")

WIDTH, HEIGHT = 860, 380
LEFT, RIGHT, TOP, BOTTOM = 72, 168, 44, 52
FONT = "font-family='system-ui, sans-serif' font-size='12'"


def document(width, height, body, extra=""):
    light = "".join(f".c{i}{{stroke:{a}}} .f{i}{{fill:{a}}} "
                    for i, (a, _) in enumerate(COLOURS))
    dark = "".join(f".c{i}{{stroke:{b}}} .f{i}{{fill:{b}}} "
                   for i, (_, b) in enumerate(COLOURS))
    style = (f".page{{fill:#fff}} .ink{{fill:#1f2937}} .axis{{stroke:#6b7280}} "
             f".grid{{stroke:#e5e7eb}} {light}{extra}"
             f"@media (prefers-color-scheme:dark){{.page{{fill:#14171c}} "
             f".ink{{fill:#e5e7eb}} .axis{{stroke:#9ca3af}} .grid{{stroke:#2c323b}} {dark}}}")
    return (f"<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n"
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}' {FONT}>\n<style>{style}</style>\n"
            f"<rect class='page' width='{width}' height='{height}'/>\n{body}</svg>\n")


def text(x, y, words, anchor="start", more=""):
    return (f"<text class='ink' x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {more}>"
            f"{escape(str(words))}</text>\n")


def nice_step(span, parts=6):
    """A step of 1, 2 or 5 times a power of ten that divides span into about parts parts."""
    raw = span / parts
    power = 10 ** math.floor(math.log10(raw)) if raw > 0 else 1
    return next(power * m for m in (1, 2, 5, 10) if power * m >= raw)


def number(value):
    return f"{value:.10g}"


class Axes:
    """A frame from 0 to x_max and 0 to y_max, with ticks and labels."""

    def __init__(self, x_max, y_max, title, x_label, y_label):
        self.x_max, self.y_max = x_max or 1, y_max or 1
        step = nice_step(self.y_max)
        self.y_max = math.ceil(self.y_max / step - 1e-9) * step
        parts = [text(LEFT, 24, title, more="font-weight='600' font-size='14'")]
        for i in range(round(self.y_max / step) + 1):
            y = self.y(i * step)
            parts.append(f"<line class='grid' x1='{LEFT}' x2='{WIDTH - RIGHT}' "
                         f"y1='{y:.1f}' y2='{y:.1f}'/>\n")
            parts.append(text(LEFT - 8, y + 4, number(i * step), "end"))
        step = nice_step(self.x_max, 10)
        for i in range(int(self.x_max / step + 1e-9) + 1):
            x = self.x(i * step)
            parts.append(f"<line class='axis' x1='{x:.1f}' x2='{x:.1f}' "
                         f"y1='{HEIGHT - BOTTOM}' y2='{HEIGHT - BOTTOM + 5}'/>\n")
            parts.append(text(x, HEIGHT - BOTTOM + 20, number(i * step), "middle"))
        parts.append(f"<path class='axis' fill='none' d='M{LEFT} {TOP}V{HEIGHT - BOTTOM}"
                     f"H{WIDTH - RIGHT}'/>\n")
        parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label, "middle"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(text(18, middle, y_label, "middle",
                          f"transform='rotate(-90 18 {middle:.1f})'"))
        self.parts = parts

    def x(self, value):
        return LEFT + value / self.x_max * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        return HEIGHT - BOTTOM - value / self.y_max * (HEIGHT - TOP - BOTTOM)


@dataclasses.dataclass(frozen=True)
class Chart:
    """A line chart.  series: {name: [(x, y), ...]}."""
    title: str
    x_label: str
    y_label: str
    series: dict

    def body(self, span=()):
        """The chart's elements.  span: (from, to, text): a part of the x axis to mark."""
        points = [p for s in self.series.values() for p in s]
        axes = Axes(max((x for x, _ in points), default=1),
                    max((y for _, y in points), default=1), self.title, self.x_label,
                    self.y_label)
        parts = axes.parts
        if span:
            begin, end = axes.x(span[0]), axes.x(span[1])
            parts.insert(0, f"<rect class='span' x='{begin:.1f}' y='{TOP}' "
                         f"width='{end - begin:.1f}' height='{HEIGHT - TOP - BOTTOM}'/>\n")
            parts.append(text((begin + end) / 2, HEIGHT - BOTTOM - 8, span[2], "middle"))
        for i, (name, data) in enumerate(self.series.items()):
            if not data:
                continue
            path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in data)
            dash = DASHES[i // len(COLOURS) % len(DASHES)]
            parts.append(f"<polyline class='c{i % len(COLOURS)}' fill='none' "
                         f"stroke-width='1.8' stroke-dasharray='{dash}' points='{path}'>"
                         f"<title>{escape(name)}</title></polyline>\n")
        parts += names([(axes.y(data[-1][1]), i, name)
                        for i, (name, data) in enumerate(self.series.items()) if data])
        return "".join(parts)


def names(labels):
    """The names of lines, at the ends of the lines.  labels: (y, number of the line, name)."""
    labels = sorted(map(list, labels))
    # Move names apart that are too close.
    for above, below in zip(labels, labels[1:]):
        below[0] = max(below[0], above[0] + 15)
    over = labels[-1][0] - (HEIGHT - BOTTOM) if labels else 0
    if over > 0:
        for label in labels:
            label[0] -= over
        for below, above in zip(labels[::-1], labels[-2::-1]):
            above[0] = min(above[0], below[0] - 15)
    x = WIDTH - RIGHT + 8
    for y, i, name in labels:
        yield (f"<line class='c{i % len(COLOURS)}' stroke-width='3' x1='{x}' "
               f"x2='{x + 14}' y1='{y:.1f}' y2='{y:.1f}'/>\n")
        yield text(x + 20, y + 4, name)


def lines(title, x_label, y_label, series):
    """A picture of one line chart.  series: {name: [(x, y), ...]}."""
    return document(WIDTH, HEIGHT, Chart(title, x_label, y_label, series).body())


def stacked(charts, span=()):
    """A picture of line charts, one below the other, with the same part of their x axes marked."""
    body = "".join(f"<g transform='translate(0 {i * HEIGHT})'>\n{chart.body(span)}</g>\n"
                   for i, chart in enumerate(charts))
    return document(WIDTH, HEIGHT * len(charts), body, ".span{fill:#6b7280;fill-opacity:.15} ")


def occupancy(title, charts):
    """Small charts side by side, with DRAM and NVM stacked.  charts: {name: [(x, dram, nvm),
    ...]}."""
    columns, width, height = 3, 270, 150
    rows = math.ceil(len(charts) / columns) or 1
    total_w, total_h = columns * width + 20, rows * height + 70
    top = max((d + n for data in charts.values() for _, d, n in data), default=1) or 1
    end = max((x for data in charts.values() for x, _, _ in data), default=1) or 1
    parts = [text(16, 24, title, more="font-weight='600' font-size='14'")]
    for key, (name, i) in enumerate((("DRAM", 0), ("NVM", 1))):
        parts.append(f"<rect class='f{i}' x='{total_w - 150 + key * 70}' y='14' width='12' "
                     f"height='12'/>\n" + text(total_w - 133 + key * 70, 24, name))
    for i, (name, data) in enumerate(charts.items()):
        left, up = 56 + i % columns * width, 60 + i // columns * height
        w, h = width - 66, height - 58
        parts.append(text(left, up - 6, name))

        def point(x, y):
            return f"{left + x / end * w:.1f},{up + h - y / top * h:.1f}"
        for index, low, high in ((0, lambda d, n: 0, lambda d, n: d),
                                 (1, lambda d, n: d, lambda d, n: d + n)):
            path = [point(x, low(d, n)) for x, d, n in data]
            path += [point(x, high(d, n)) for x, d, n in reversed(data)]
            parts.append(f"<polygon class='f{index}' points='{' '.join(path)}'/>\n")
        parts.append(f"<path class='axis' fill='none' d='M{left} {up}v{h}h{w}'/>\n")
        parts.append(text(left - 6, up + 10, f"{top:.0f}", "end") +
                     text(left - 6, up + h, "0", "end") +
                     text(left, up + h + 15, "0") +
                     text(left + w, up + h + 15, f"{end:.0f} s", "end"))
    parts.append(text(16, total_h - 10, "x: guest time; y: MiB of anonymous memory by tier"))
    return document(total_w, total_h, "".join(parts))


def heat(title, rows, x_end, y_label, x_label, border):
    """A map of rows of numbers, all of the same length, the first row at the bottom.  Higher
    numbers have more colour, on a logarithmic scale that is printed below.  border: the part
    of the height that is DRAM."""
    top = max((v for row in rows for v in row), default=0)
    columns = max((len(row) for row in rows), default=1)
    w, h = (WIDTH - LEFT - 24) / columns, (HEIGHT - TOP - BOTTOM - 20) / max(len(rows), 1)
    levels = 8
    parts = [text(LEFT, 24, title, more="font-weight='600' font-size='14'")]

    def level(value):
        if value <= 0:
            return 0
        return max(1, math.ceil(levels * math.log1p(value) / math.log1p(top)))
    for r, row in enumerate(rows):
        y = TOP + (len(rows) - 1 - r) * h
        start = 0
        for c in range(1, len(row) + 1):      # runs of the same level
            if c < len(row) and level(row[c]) == level(row[start]):
                continue
            if level(row[start]):
                parts.append(f"<rect class='h{level(row[start])}' x='{LEFT + start * w:.2f}' "
                             f"y='{y:.2f}' width='{(c - start) * w:.2f}' height='{h:.2f}'/>\n")
            start = c
    bottom = TOP + len(rows) * h
    parts.append(f"<path class='axis' fill='none' d='M{LEFT} {TOP}V{bottom:.1f}"
                 f"H{WIDTH - 24}'/>\n")
    edge = bottom - border * (bottom - TOP)
    parts.append(f"<line class='axis' stroke-dasharray='6 4' x1='{LEFT}' x2='{WIDTH - 24}' "
                 f"y1='{edge:.1f}' y2='{edge:.1f}'/>\n")
    parts.append(text(LEFT - 6, (edge + bottom) / 2, "DRAM", "end") +
                 text(LEFT - 6, (TOP + edge) / 2, "NVM", "end"))
    parts.append(text(LEFT, bottom + 16, "0") +
                 text(WIDTH - 24, bottom + 16, x_end, "end") +
                 text((LEFT + WIDTH) / 2, bottom + 16, x_label, "middle"))
    parts.append(text(18, (TOP + bottom) / 2, y_label, "middle",
                      f"transform='rotate(-90 18 {(TOP + bottom) / 2:.1f})'"))
    for i in range(1, levels + 1):
        bound = math.expm1(i / levels * math.log1p(top))
        x = LEFT + (i - 1) * 94
        parts.append(f"<rect class='h{i}' x='{x}' y='{HEIGHT - 24}' width='12' height='12'/>\n"
                     + text(x + 16, HEIGHT - 14, f"≤ {bound:.3g}"))
    shades = "rect{shape-rendering:crispEdges} " + "".join(
        f".h{i}{{fill:#c2410c;fill-opacity:{i / levels:.2f}}} "
        for i in range(1, levels + 1))
    return document(WIDTH, HEIGHT, "".join(parts), shades)
