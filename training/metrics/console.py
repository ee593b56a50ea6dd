"""What a run says while it runs, on the first rank alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_SEPARATOR = " · "
_LONGEST_BAR = 40
_REFRESH_PER_SECOND = 4


def _small(value: float) -> str:
    """Four significant digits, short: 0.0003, 2.718, 1.2e-05."""
    return f"{value:.4g}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _clock(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss", lambda value: f"{value:.4f}"),
    "val_loss": ("val loss", lambda value: f"{value:.4f}"),
    "grad_norm": ("grad norm", _small),
    "lr": ("lr", _small),
    "tokens_per_s": ("tokens/s", lambda value: f"{value:,.0f}"),
    "mfu": ("MFU", _share),
    "stall": ("stall", _share),
    "eta_seconds": ("ETA", _clock),
}
"""Figures that are shown, in this order: key of metrics.jsonl -> (name, how it is written)."""


def figures(values: Mapping[str, Any]) -> list[str]:
    """The figures of a step that are known, as `name value`."""
    shown = []
    for key, (name, write) in FIGURES.items():
        value = values.get(key)
        if value is not None:
            shown.append(f"{name} {write(float(value))}")
    return shown


class StepView:
    """Bar and step in one line, the figures below, wrapped between figures and never inside."""

    def __init__(self, step: int, steps: int, values: Mapping[str, Any]) -> None:
        self._step = step
        self._steps = steps
        self._values = values

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as the terminal, and never wider."""
        title = f"step {self._step:,}/{self._steps:,}"
        width = max(min(options.max_width - len(title) - 1, _LONGEST_BAR), 1)
        row = Table.grid(padding=(0, 1, 0, 0))
        bar = ProgressBar(total=max(self._steps, 1), completed=self._step, width=width)
        row.add_row(Text(title, style="bold"), bar)
        yield row
        for line in _wrapped(figures(self._values), options.max_width):
            yield Text(line, no_wrap=True, overflow="ellipsis")


def _wrapped(parts: list[str], width: int) -> list[str]:
    lines = parts[:1]
    for part in parts[1:]:
        joined = lines[-1] + _SEPARATOR + part
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


class TrainingConsole:
    """A live view on a terminal, a plain line at every call otherwise."""

    def __init__(self, steps: int, console: Console | None = None, enabled: bool = True) -> None:
        """`enabled`: whether this is the first rank. Progress goes to standard error, so that
        what a command prints for machines stays clean."""
        self._steps = steps
        self._console = console or Console(file=sys.stderr, soft_wrap=True, highlight=False)
        self._enabled = enabled
        self._values: dict[str, Any] = {}
        self._live: Live | None = None
        if enabled and self._console.is_terminal:
            self._live = Live(
                StepView(0, steps, {}),
                console=self._console,
                refresh_per_second=_REFRESH_PER_SECOND,
            )
            self._live.start()

    def show(self, step: int, values: Mapping[str, Any]) -> None:
        """The figures of a step; those that come seldom, such as val_loss, stay on the terminal."""
        if not self._enabled:
            return
        if self._live is not None:
            self._values |= values
            self._live.update(StepView(step, self._steps, dict(self._values)))
            return
        parts = [f"step {step}/{self._steps}", *figures(values)]
        self._console.print(_SEPARATOR.join(parts), markup=False)

    def note(self, line: str) -> None:
        """One line that stays: a checkpoint, a skipped step, generated text."""
        if self._enabled:
            self._console.print(line, markup=False)

    def close(self) -> None:
        """End the live view; its last state stays. May be called twice."""
        if self._live is not None:
            self._live.stop()
            self._live = None
