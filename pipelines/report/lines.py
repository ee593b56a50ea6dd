"""Lines over a common pair of axes, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from pipelines.report import axes
from pipelines.report.svg import WIDTH, chart, label, tick

POINTS_MAX = 400
"""More points than this are averaged: a wider line would say no more."""


class Line(NamedTuple):
    """One line: points in drawing order, and the style class of its stroke."""

    points: Sequence[tuple[float, float]]
    style: str = "line"


def lines(name: str, title: str, drawn: Sequence[Line], x_label: str, y_label: str) -> Markup:
    """Lines that share both axes; neither axis has to begin at zero."""
    left, right, top, base = 64, WIDTH - 20, 26, 246
    every = [point for line in drawn for point in line.points]
    across = axes.linear(min(x for x, _ in every), max(x for x, _ in every), 1, ticks=6)
    up = axes.linear(min(y for _, y in every), max(y for _, y in every), 1, ticks=5)
    room, tall = right - left, base - top
    parts = [label(left, 14, y_label, "note")]
    for place, text in up.ticks:
        y = base - tall * place
        rule = Markup('<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
        parts += [rule.format(left, right, y, y), label(left - 6, y + 4, text, "note end")]
    floor = Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>')
    parts.append(floor.format(left, right, base, base))
    parts += [tick(left + room * place, base, text) for place, text in across.ticks]
    for line in drawn:
        places = [
            (left + room * axes.place(x, across), base - tall * axes.place(y, up))
            for x, y in averaged(line.points)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(line.style, path))
    parts.append(label((left + right) / 2, base + 38, x_label, "note middle"))
    ends = [line.points[-1] for line in drawn if line.points]
    described = "; ".join(f"ends at {y:.3f} ({x_label} {x:g})" for x, y in ends)
    return chart(name, title, described, WIDTH, base + 44, parts)


def averaged(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS_MAX points, each the mean of as many neighbours as it takes."""
    width = -(-len(points) // POINTS_MAX) or 1
    groups = (points[start : start + width] for start in range(0, len(points), width))
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
