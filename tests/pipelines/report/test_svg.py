"""Charts are well-formed, to scale, and hold foreign text only as text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from pipelines.report import axes, svg

HOSTILE = "</text><script>\"x\" & 'y'"


def parse(chart: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(chart))


def widths(chart: Markup, kind: str) -> list[float]:
    return [float(r.attrib["width"]) for r in parse(chart).iter("rect") if r.get("class") == kind]


def test_bars_are_to_scale() -> None:
    rows = [svg.Bar("a", 100, "100"), svg.Bar("b", 50, "50"), svg.Bar("c", 0, "0")]
    long, short, none = widths(svg.bars("x", "t", rows), "kept")
    assert short == pytest.approx(long / 2, abs=0.1)
    assert none == 0


def test_the_funnel_shows_what_is_left_and_taken_out() -> None:
    rows = [svg.FunnelRow("all", 200, 0, 0), svg.FunnelRow("step", 100, 60, 40)]
    chart = svg.funnel("x", "t", rows)
    whole, half = widths(chart, "kept")
    assert half == pytest.approx(whole / 2, abs=0.1)
    assert widths(chart, "rejected")[0] == pytest.approx(whole * 0.3, abs=0.1)
    assert widths(chart, "error")[0] == pytest.approx(whole * 0.2, abs=0.1)
    texts = [t.text for t in parse(chart).iter("text")]
    assert "−100" in texts
    assert "50.0%" in texts


def test_foreign_text_is_escaped_and_cut() -> None:
    charts = [
        svg.bars("x", HOSTILE, [svg.Bar(HOSTILE + "z" * 500, 1, HOSTILE)]),
        svg.funnel("x", HOSTILE, [svg.FunnelRow(HOSTILE, 1, 1, 1)]),
    ]
    for chart in charts:
        root = parse(chart)
        assert {element.tag for element in root.iter()} <= {
            "svg", "title", "desc", "rect", "text", "line"
        }  # fmt: skip
        assert root.findtext("title") == HOSTILE
    assert all(len(t.text or "") < 60 for t in parse(charts[0]).iter("text"))


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.floats(1e-6, 1e9))
def test_histograms_stay_inside_their_frame(counts: list[int], low: float) -> None:
    axis = axes.linear(low, low * 2, len(counts))
    for chart in (
        svg.histogram("x", "t", counts, axis, [svg.Marker(0.5, "m")], "words"),
        svg.mirror("x", "t", counts, counts, axis, [svg.Marker(1.0, "m")]),
    ):
        root = parse(chart)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for rect in root.iter("rect"):
            x, y = float(rect.attrib["x"]), float(rect.attrib["y"])
            assert 0 <= x <= x + float(rect.attrib["width"]) <= width + 0.2
            assert 0 <= y <= y + float(rect.attrib["height"]) <= height + 0.2


@given(st.floats(1e-3, 1e6), st.floats(1, 1e6))
def test_a_logarithmic_axis_covers_its_range(low: float, factor: float) -> None:
    axis = axes.logarithmic(low, low * factor, 8)
    assert axis.edges[0] <= low * 1.0001
    assert axis.edges[-1] >= low * factor * 0.9999
    assert axis.ticks
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in axis.ticks)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
@example(0.0, 5e-324)
def test_a_linear_axis_has_a_few_round_ticks_in_place(low: float, span: float) -> None:
    axis = axes.linear(low, low + span, 10)
    assert len(axis.edges) == 11
    assert len(axis.ticks) <= 6
    assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in axis.ticks)


def test_places_are_those_of_the_bins() -> None:
    axis = axes.logarithmic(1, 100, 8)
    assert axes.place(10, axis) == pytest.approx(0.5)
    assert axes.place(0, axis) == 0
    assert axes.place(1e9, axis) == 1
