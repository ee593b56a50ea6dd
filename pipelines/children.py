"""What the pool's child processes run.

Apart from the phases, so that a child imports the stages but not Beam: that would cost every child
two CPU seconds and a hundred megabytes.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipelines.pool import KillablePool, Killed, Limits
from schemas.page import Page
from schemas.recipe import Pii, Recipe
from schemas.verdict import Outcome
from stages.decontamination import Match, NgramIndex
from stages.refine import RefineAssets, Refiner
from stages.rejudge import Rejudger

RefinePool = KillablePool[Page, Outcome]

RejudgePool = KillablePool[Outcome, Outcome]


class Scrubbed(NamedTuple):
    """A text on its way to the documents."""

    text: str
    """Without the personal data that was found."""
    found: dict[str, int]
    """Kind of personal data -> how many were replaced."""
    match: Match | None = None
    """The benchmark's record that the text shares too much with."""
    seconds: float = 0.0
    """CPU time of scrubbing."""
    match_seconds: float = 0.0
    """CPU time of comparing with benchmarks."""


ScrubPool = KillablePool[str, Scrubbed | Killed]

PII, DECONTAMINATION = "pii", "decontamination"
"""Steps of a text on its way to the documents."""


def refine_pool(
    recipe: Recipe, assets: RefineAssets, workers: int, annotate: bool = False
) -> RefinePool:
    """Children that refine pages under the recipe's limits."""
    return KillablePool(workers, setup_refiner, (recipe, assets, annotate), _limits(recipe))


def rejudge_pool(
    recipe: Recipe, annotated: Recipe, assets: RefineAssets, workers: int
) -> RejudgePool:
    """Children that decide anew on pages of a run annotated with another recipe."""
    return KillablePool(workers, setup_rejudger, (recipe, annotated, assets), _limits(recipe))


def scrub_pool(recipe: Recipe, index: NgramIndex | None, workers: int) -> ScrubPool:
    """Children that replace personal data, and compare with benchmarks, under the same limits."""
    return KillablePool(workers, setup_scrubber, (recipe.pii, index), _limits(recipe))


def setup_refiner(
    recipe: Recipe, assets: RefineAssets, annotate: bool
) -> Callable[[Page], Outcome]:
    """What each child calls once: load models, return the function to run."""
    return Refiner(recipe, assets, annotate=annotate).refine


def setup_rejudger(
    recipe: Recipe, annotated: Recipe, assets: RefineAssets
) -> Callable[[Outcome], Outcome]:
    """What each child calls once."""
    return Rejudger(recipe, annotated, assets).rejudge


def setup_scrubber(
    settings: Pii, index: NgramIndex | None = None
) -> Callable[[str], Scrubbed | Killed]:
    """What each child calls once. Presidio's recognizers are slow to import: only when the recipe
    asks for any kind.

    The function raises nothing: a document that cannot be scrubbed must cost that document (it
    may not be kept as it is) and not the run.
    """
    replace = _replacer(settings)

    def scrub(text: str) -> Scrubbed | Killed:
        begun, step = time.process_time(), PII
        try:
            scrubbed, counts = replace(text)
            replaced, step = time.process_time(), DECONTAMINATION
            match = None if index is None else index.find(scrubbed)
        except MemoryError:
            return Killed("out_of_memory", "the text needs more than extract.memory_mb", step)
        except Exception as error:  # noqa: BLE001 (becomes a row of errors/)
            return Killed("internal_error", _place_of(error), step)
        return Scrubbed(scrubbed, counts, match, replaced - begun, time.process_time() - replaced)

    return scrub


def _replacer(settings: Pii) -> Callable[[str], tuple[str, dict[str, int]]]:
    if not settings.kinds:
        return _unchanged
    from stages.pii import Scrubber

    return Scrubber(settings).scrub


def _place_of(error: Exception) -> str:
    """Kind and place of an error without its message, which may quote the document."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _unchanged(text: str) -> tuple[str, dict[str, int]]:
    return text, {}


def _limits(recipe: Recipe) -> Limits:
    return Limits(recipe.extract.cpu_seconds, recipe.extract.memory_mb)
