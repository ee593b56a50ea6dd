"""Where the bins of a histogram lie, linear or logarithmic, and which ticks to write."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pipelines.report import formats
from pipelines.report.svg import Axis

_NICE = (1, 2, 2.5, 5, 10)
_FLAT = 1e-9
"""A range narrower than this part of its values is drawn as a single point."""


def place(value: float, axis: Axis) -> float:
    """Where a value lies across the plot, from 0 to 1; values outside go to the ends."""
    positions = np.linspace(0, 1, len(axis.edges))
    return float(np.interp(value, axis.edges, positions))


def logarithmic(low: float, high: float, bins_per_decade: int) -> Axis:
    """Decades from the one below `low` to the one above `high` (both > 0)."""
    first = math.floor(math.log10(low) * bins_per_decade) / bins_per_decade
    last = math.ceil(math.log10(high) * bins_per_decade - 1e-9) / bins_per_decade
    if last - first < 1:
        last = first + 1
    bins = round((last - first) * bins_per_decade)
    edges = (10.0 ** np.linspace(first, last, bins + 1)).tolist()
    decades = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)
    ticks = [((d - first) / (last - first), formats.short(10**d)) for d in decades]
    return Axis(edges, ticks)


def linear(low: float, high: float, bins: int, ticks: int = 4) -> Axis:
    """Equal bins from low to high, with round numbers as ticks."""
    if high - low <= _FLAT * max(1.0, abs(low), abs(high)):
        high = low + 1
    step = _nice_step((high - low) / ticks)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    marks = [((k * step - low) / (high - low), f"{k * step:.6g}") for k in range(first, last + 1)]
    return Axis(np.linspace(low, high, bins + 1).tolist(), marks)


def _nice_step(rough: float) -> float:
    scale = 10.0 ** math.floor(math.log10(rough))
    return float(next(n for n in _NICE if n * scale >= rough * (1 - 1e-9)) * scale)


def array(axis: Axis) -> npt.NDArray[np.float64]:
    """The edges for Distribution.histogram."""
    return np.asarray(axis.edges, dtype=np.float64)
