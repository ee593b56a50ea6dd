"""Plain lines and the live view, at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from training.metrics.console import StepView, TrainingConsole, figures

VALUES = {
    "loss": 2.71828,
    "grad_norm": 0.51239,
    "lr": 3e-4,
    "tokens_per_s": 12345.6,
    "mfu": 0.4321,
    "stall": 0.0,
    "eta_seconds": 3725.0,
    "tokens": 10,
}


def test_plain_lines_when_not_on_a_terminal() -> None:
    out = io.StringIO()
    shown = TrainingConsole(20, Console(file=out, soft_wrap=True))
    shown.show(10, VALUES)
    shown.show(20, {"loss": float("nan"), "lr": None})
    shown.note("checkpoint [5]")
    shown.close()
    assert out.getvalue().splitlines() == [
        "step 10/20 · loss 2.7183 · grad norm 0.5124 · lr 0.0003 · tokens/s 12,346 · MFU 43.2%"
        " · stall 0.0% · ETA 1:02:05",
        "step 20/20 · loss nan",
        "checkpoint [5]",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_view_fits_and_no_figure_is_cut(width: int) -> None:
    out = io.StringIO()
    Console(file=out, width=width).print(StepView(5, 20, VALUES))
    text = out.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    for figure in figures(VALUES):
        assert figure in text


def test_a_terminal_keeps_the_last_state_and_what_comes_seldom() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, legacy_windows=False)
    shown = TrainingConsole(2, console)
    shown.show(1, {"loss": 2.0, "val_loss": 3.5})
    shown.show(2, {"loss": 1.0})
    shown.close()
    shown.close()
    last = out.getvalue().rsplit("step 2/2", 1)[1]
    assert "loss 1.0000" in last
    assert "val loss 3.5000" in last


def test_other_ranks_are_silent() -> None:
    out = io.StringIO()
    shown = TrainingConsole(2, Console(file=out, force_terminal=True), enabled=False)
    shown.show(1, VALUES)
    shown.note("x")
    shown.close()
    assert out.getvalue() == ""
