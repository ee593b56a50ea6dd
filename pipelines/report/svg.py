"""Charts as inline SVG: pure functions from numbers to markup, coloured by the page's style sheet.

Every piece of text goes through Markup.format, which escapes it. Charts carry a title and a
description for screen readers; the numbers also stand in a table beside each chart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from pipelines.report import formats
from pipelines.report.untrusted import clean

WIDTH = 960
_JOIN = Markup("")


class Bar(NamedTuple):
    """One row of a bar chart."""

    label: str
    value: float
    note: str
    """What stands behind the bar: the value as people read it."""
    kind: str = "kept"
    """Style class: kept, rejected or error."""


class FunnelRow(NamedTuple):
    """One step: counts of documents."""

    label: str
    kept: int
    rejected: int
    errors: int


class Axis(NamedTuple):
    """Bin edges in drawing order, and where to write which tick (0 to 1 across the plot)."""

    edges: list[float]
    ticks: list[tuple[float, str]]


class Marker(NamedTuple):
    """A vertical line at a place from 0 to 1 across the plot."""

    place: float
    label: str


def bars(name: str, title: str, rows: Sequence[Bar], label_width: int = 250) -> Markup:
    """Horizontal bars, one a row, on a common scale from zero."""
    most = max((row.value for row in rows), default=0) or 1
    left, room = label_width + 12, WIDTH - label_width - 12 - 150
    parts = []
    for index, row in enumerate(rows):
        y = index * 26
        width = max(room * row.value / most, 1.5 if row.value else 0)
        parts.append(label(label_width, y + 17, row.label, "label end", limit=label_width // 7))
        parts.append(_rect(left, y + 4, width, 18, row.kind))
        parts.append(label(left + width + 8, y + 17, row.note, "note"))
    described = "; ".join(f"{row.label}: {row.note}" for row in rows[:12])
    return chart(name, title, described, WIDTH, max(26 * len(rows), 26), parts)


def funnel(name: str, title: str, rows: Sequence[FunnelRow]) -> Markup:
    """What is left after each step, and beside it what the step took out."""
    whole = max((row.kept + row.rejected + row.errors for row in rows), default=0) or 1
    left, room = 172, 500
    parts = [
        label(left, 16, "left after the step, and taken out by it", "head"),
        label(782, 16, "taken out", "head end"),
        label(884, 16, "left", "head end"),
        label(WIDTH, 16, "of all", "head end"),
    ]
    for index, row in enumerate(rows):
        y = 26 + index * 32
        x = float(left)
        parts.append(
            Markup('<line class="rule" x1="0" x2="{}" y1="{}" y2="{}"/>').format(WIDTH, y, y)
        )
        parts.append(label(0, y + 21, row.label, "label", limit=24))
        for value, kind in ((row.kept, "kept"), (row.rejected, "rejected"), (row.errors, "error")):
            width = max(room * value / whole, 1.5 if value else 0)
            if width:
                parts.append(_rect(x, y + 6, width, 20, kind))
            x += width + (1 if width else 0)
        gone = row.rejected + row.errors
        if gone:
            parts.append(label(782, y + 21, f"−{formats.count(gone)}", "note end"))
        parts.append(label(884, y + 21, formats.count(row.kept), "label end strong"))
        parts.append(label(WIDTH, y + 21, formats.percent(row.kept, whole), "note end"))
    described = "; ".join(f"{row.label}: {formats.count(row.kept)} left" for row in rows)
    return chart(name, title, described, WIDTH, 26 + 32 * len(rows) + 4, parts)


def histogram(
    name: str,
    title: str,
    counts: Sequence[int],
    axis: Axis,
    markers: Sequence[Marker] = (),
    x_label: str = "",
) -> Markup:
    """Columns over an axis, with marked places such as the median."""
    left, right, top, height = 52, WIDTH - 20, 24, 170
    base, room, most = top + height, right - left, max(counts, default=0) or 1
    parts = [_grid(left, right, top, base, most)]
    step = room / max(len(counts), 1)
    for index, value in enumerate(counts):
        if value:
            tall = max(height * value / most, 1.5)
            parts.append(_rect(left + index * step + 1, base - tall, step - 2, tall, "kept"))
    parts += [tick(left + room * place, base, label) for place, label in axis.ticks]
    parts += [_marker(left + room * m.place, top - 6, base, m.label) for m in markers]
    parts.append(label((left + right) / 2, base + 38, x_label, "note middle"))
    described = f"{sum(counts):,} values in {len(counts)} columns, at most {most:,} in one. "
    described += "; ".join(marker.label for marker in markers)
    return chart(name, title, described, WIDTH, base + 44, parts)


def mirror(
    name: str,
    title: str,
    above: Sequence[int],
    below: Sequence[int],
    axis: Axis,
    markers: Sequence[Marker] = (),
) -> Markup:
    """Two small histograms on one axis, one up and one down, each scaled to its own peak."""
    width, left, right, middle, tall = 320, 12, 308, 62, 44
    room = right - left
    step = room / max(len(above), 1)
    parts = []
    for values, kind, sign in ((above, "kept", -1), (below, "rejected", 1)):
        most = max(values, default=0) or 1
        for index, value in enumerate(values):
            if value:
                size = max(tall * value / most, 1.5)
                y = middle - size if sign < 0 else middle
                parts.append(_rect(left + index * step + 0.5, y, step - 1, size, kind))
    line = Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    parts.append(line.format(left, right, middle, middle))
    parts += [_marker(left + room * m.place, 14, middle + tall, m.label) for m in markers]
    parts += [tick(left + room * place, middle + tall, label) for place, label in axis.ticks]
    described = f"{sum(above):,} kept above the line, {sum(below):,} rejected below it. "
    described += "; ".join(marker.label for marker in markers)
    return chart(name, title, described, width, middle + tall + 22, parts)


def curve(name: str, title: str, points: Sequence[tuple[float, float]], marked: float) -> Markup:
    """A line from (0, 0) to (1, 1), with the point at x = `marked` read off on both axes."""
    left, right, top, base = 52, 600, 12, 200
    room, tall = right - left, base - top
    line = " ".join(f"{left + room * x:.1f},{base - tall * y:.1f}" for x, y in points)
    x, y = min(points, key=lambda point: abs(point[0] - marked))
    across, up = left + room * x, base - tall * y
    parts = [
        _grid(left, right, top, base, 1),
        Markup('<path class="marker" d="M{:.1f},{}V{:.1f}H{}"/>').format(across, base, up, left),
        Markup('<polyline class="line" points="{}"/>').format(line),
        Markup('<circle class="kept" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(across, up),
        label(across - 24, up + 18, f"{y:.3f} at {marked:g}", "label end strong"),
        label((left + right) / 2, base + 36, "Jaccard similarity", "note middle"),
    ]
    parts += [tick(left + room * t / 5, base, f"{t / 5:g}") for t in range(6)]
    return chart(name, title, f"{y:.3f} at similarity {marked:g}", right + 16, base + 42, parts)


def chart(
    name: str, title: str, described: str, width: int, height: float, parts: Sequence[Markup]
) -> Markup:
    """The parts as one picture, with a title and a description for screen readers."""
    return Markup(
        '<svg id="chart-{0}" viewBox="0 0 {1} {2:.0f}" role="img" '
        'aria-labelledby="chart-{0}-title chart-{0}-desc">'
        '<title id="chart-{0}-title">{3}</title><desc id="chart-{0}-desc">{4}</desc>{5}</svg>'
    ).format(name, width, height, clean(title), clean(described), _JOIN.join(parts))


def _grid(left: float, right: float, top: float, base: float, most: int) -> Markup:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = base - (base - top) * share
        style = "axis" if share == 0 else "rule"
        parts.append(
            Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
                style, left, right, y, y
            )
        )
        value = most * share
        if most == 1 or value == int(value):
            number = f"{value:g}" if most == 1 else formats.short(value)
            parts.append(label(left - 6, y + 4, number, "note end"))
    return _JOIN.join(parts)


def tick(x: float, y: float, text: str) -> Markup:
    """A mark below a horizontal axis, with its text."""
    line = Markup('<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>')
    return line.format(x, y, y + 4) + label(x, y + 17, text, "note middle")


def _marker(x: float, top: float, base: float, text: str) -> Markup:
    line = Markup('<line class="marker" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>')
    return line.format(x, top, base) + label(x, top - 4, text, "note middle")


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Markup:
    return Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5"/>'
    ).format(kind, x, y, width, height)


def label(x: float, y: float, content: str, style: str, limit: int = 0) -> Markup:
    """Text at a place, cut to `limit` characters."""
    shown = content if not limit or len(content) <= limit else content[: limit - 1] + "…"
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(
        style, x, y, clean(shown)
    )
