"""The S-curve of band settings: which pairs they find, and the guard against blind ones."""

from __future__ import annotations

from schemas.errors import UsageError
from schemas.recipe import MinHash

GUARD_JACCARD = 0.8
"""What published recipes call a near duplicate (Rae et al. 2021, Gopher, appendix A.1.1)."""
GUARD_PROBABILITY = 0.9
"""FineWeb's 14 x 8 reaches 0.924 at Jaccard 0.8, RefinedWeb's 450 x 20 reaches 0.995; settings
with bands and rows swapped by mistake (datatrove #107) fall far below."""

_STEPS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """Probability that a pair with this Jaccard similarity agrees in at least one band.

    1 - (1 - J^rows)^bands: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4.2.
    """
    return float(1.0 - (1.0 - jaccard**rows) ** bands)


def middle(bands: int, rows: int) -> float:
    """The similarity around which the curve rises, (1/bands)^(1/rows) (same section)."""
    return float((1.0 / bands) ** (1.0 / rows))


def table(bands: int, rows: int) -> str:
    """The curve as two aligned lines of text under a heading, for the start of a run."""
    chances = [candidate_probability(step, bands, rows) for step in _STEPS]
    return "\n".join(
        (
            f"MinHash {bands} bands x {rows} rows = {bands * rows} hashes; "
            f"the curve rises around Jaccard {middle(bands, rows):.3f}",
            "  Jaccard      " + " ".join(f"{step:6.2f}" for step in _STEPS),
            "  P(candidate) " + " ".join(f"{chance:6.3f}" for chance in chances),
        )
    )


def check(settings: MinHash) -> None:
    """Refuse settings that miss too many near duplicates, unless the recipe accepts that.

    Raises:
        UsageError: P(0.8) is below 0.9 and `allow_low_recall` is off.
    """
    chance = candidate_probability(GUARD_JACCARD, settings.bands, settings.rows)
    if chance >= GUARD_PROBABILITY or settings.allow_low_recall:
        return
    raise UsageError(
        f"dedup.minhash: {settings.bands} bands x {settings.rows} rows find only {chance:.1%} of "
        f"pairs with Jaccard {GUARD_JACCARD} (at least {GUARD_PROBABILITY:.0%} wanted): "
        "use more bands or fewer rows, or set dedup.minhash.allow_low_recall=true"
    )
