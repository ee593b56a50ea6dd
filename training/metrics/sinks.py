"""Where the figures of a step go: `metrics.jsonl`, and TensorBoard where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from training.metrics.jsonl import MetricsFile

Value = float | int | str | bool | None
Values = Mapping[str, Value]


class Sink(Protocol):
    """One place for figures. Steps come in rising order."""

    def write(self, step: int, values: Values) -> None:
        """Keep what is known of a step; may be called once a step."""

    def close(self) -> None:
        """Nothing more comes."""


class TensorBoard:
    """Event files; every figure that is a number is a scalar of its name."""

    def __init__(self, folder: Path, after_step: int) -> None:
        """Events of later steps than `after_step`, of a run that went on from there, are hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=after_step + 1)

    def write(self, step: int, values: Values) -> None:
        """Add the numbers; TensorBoard draws NaN as a gap."""
        for name, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and end the file."""
        self._writer.close()


def _jsonl(run: Path, after_step: int) -> Sink | None:
    return MetricsFile(run / "metrics.jsonl", after_step)


def _tensorboard(run: Path, after_step: int) -> Sink | None:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    return TensorBoard(run / "tensorboard", after_step)


SINKS: dict[str, Callable[[Path, int], Sink | None]] = {
    "jsonl": _jsonl,
    "tensorboard": _tensorboard,
}
"""By name: (run folder, last step to keep) -> a sink, or None where its library is missing."""


class MetricsLog:
    """All sinks of a run. On ranks other than the first one: no sinks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = list(sinks)

    @classmethod
    def open(
        cls, run: Path, after_step: int = -1, names: Sequence[str] = tuple(SINKS)
    ) -> MetricsLog:
        """Open the sinks of a run's folder. What they hold of steps after `after_step`, the
        checkpoint that the run goes on from, is dropped; -1: of all steps."""
        opened = [SINKS[name](run, after_step) for name in names]
        return cls([sink for sink in opened if sink is not None])

    def write(self, step: int, values: Values) -> None:
        """One step's figures, to all sinks."""
        for sink in self._sinks:
            sink.write(step, values)

    def close(self) -> None:
        """Close all sinks."""
        for sink in self._sinks:
            sink.close()
