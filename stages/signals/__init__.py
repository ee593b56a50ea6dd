"""Signals: named numbers about one text, computed once, on which recipes put thresholds.

A family is one module with `NAMES` and `measure(view)`, and computes all its signals together; it
becomes known by one line in `_MODULES`. A signal's full name is `family.name`. Every signal is a
finite number for every text; a share of nothing (of no words, of no lines) is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from stages.signals import (
    basic,
    c4,
    c4_badwords,
    fineweb,
    gopher_quality,
    gopher_quality_paper,
    gopher_repetition,
    gopher_repetition_paper,
)
from stages.words import TextView

_MODULES = (
    basic,
    gopher_quality,
    gopher_quality_paper,
    gopher_repetition,
    gopher_repetition_paper,
    c4,
    c4_badwords,
    fineweb,
)

Family = Callable[[TextView], dict[str, float]]


def _short_name(module_name: str) -> str:
    return module_name.rpartition(".")[2]


FAMILIES: dict[str, Family] = {_short_name(m.__name__): m.measure for m in _MODULES}
"""Family name -> function from a view to the family's signals, by short name."""

SIGNALS: tuple[str, ...] = tuple(
    f"{_short_name(module.__name__)}.{name}" for module in _MODULES for name in module.NAMES
)
"""Every full signal name."""


def family_of(signal: str) -> str:
    """The family that computes a signal, by its full name."""
    return signal.partition(".")[0]


def compute(view: TextView, families: Iterable[str]) -> dict[str, float]:
    """The signals of the named families, by full name.

    Raises KeyError for an unknown family and ArithmeticError for a signal that is not finite.
    """
    signals: dict[str, float] = {}
    for family in families:
        for name, value in FAMILIES[family](view).items():
            if not math.isfinite(value):
                raise ArithmeticError(f"signal {family}.{name} is {value}")
            signals[f"{family}.{name}"] = value
    return signals
