"""Progress is what markers and heartbeats say, each task counted once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.progress import Heartbeat, PhaseWatch, ProgressView, watching
from pipelines.workspace import Marker, Workspace


def test_markers_and_beats_add_up(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    watch = PhaseWatch(workspace, "extract", dict.fromkeys("abc", "k"))
    assert watch.snapshot().share == 0.0
    Marker(workspace.work("extract", "a.done.json")).write(
        "k", {"counts": {"in": 5, "kept": 3}}, []
    )
    beat = Heartbeat(workspace, "b")
    beat.beat({"in": 2, "kept": 1}, 0.5)
    snapshot = watch.snapshot()
    assert (snapshot.done, snapshot.total, snapshot.share) == (1, 3, 0.5)
    assert snapshot.counts == {"in": 7, "kept": 4}
    # A task whose marker and last beat are both there counts once.
    Marker(workspace.work("extract", "b.done.json")).write(
        "k", {"counts": {"in": 4, "kept": 2}}, []
    )
    assert watch.snapshot().counts == {"in": 9, "kept": 5}
    beat.stop()
    assert watch.snapshot().counts == {"in": 9, "kept": 5}


def test_markers_of_other_work_do_not_count_until_they_are_replaced(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    marker = Marker(workspace.work("finish", "a.done.json"))
    marker.write("of the run before", {"counts": {"in": 9}}, [])
    watch = PhaseWatch(workspace, "finish", {"a": "k"})
    assert watch.snapshot() == (0, 1, 0.0, {})
    Path(marker.path).write_text("half of a mark")
    assert watch.snapshot().done == 0
    marker.write("k", {"counts": {"in": 4}}, [])
    assert watch.snapshot() == (1, 1, 1.0, {"in": 4})


def test_plain_lines_when_there_is_no_terminal(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))
    stream = io.StringIO()
    watch = PhaseWatch(workspace, "extract", {"a": "k"})
    with watching("extract", watch, Console(file=stream, soft_wrap=True)):
        content = {"counts": {"in": 1200, "kept": 2, "rejected": 3, "errors": 1}}
        Marker(workspace.work("extract", "a.done.json")).write("k", content, [])
    (line,) = stream.getvalue().strip().splitlines()
    assert line.startswith("extract: segments 1/1 · pages 1,200")
    assert "kept 2 · rejected 3 · errors 1 · ETA 0:00" in line


def test_a_live_bar_on_a_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    watch = PhaseWatch(Workspace(str(tmp_path)), "extract", {"a": "k"})
    console = Console(file=stream, force_terminal=True, width=140)
    with watching("extract", watch, console):
        pass
    assert "segments 0/1" in stream.getvalue()


FIGURES = ["segments 12/1,234", "pages 123,456", "123.4 pages/s", "kept 100,000"]
FIGURES += ["rejected 20,000", "errors 12", "ETA 123:04"]


@pytest.mark.parametrize(("width", "lines"), [(30, 5), (60, 3), (80, 3), (130, 1)])
def test_every_figure_is_shown_at_any_width(width: int, lines: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, soft_wrap=True)
    console.print(ProgressView("extract", 0.5, FIGURES))
    shown = stream.getvalue().splitlines()
    assert len(shown) == lines
    assert all(len(line) <= width for line in shown)
    assert all(figure in stream.getvalue() for figure in FIGURES)
    assert "extract ━━━" in shown[0]
