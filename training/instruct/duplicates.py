"""Records that are, or nearly are, like one before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schemas.recipe import MinHash
from schemas.verdict import Rejection
from stages.dedup import BandHasher
from stages.dedup.components import connected_components
from stages.dedup.minhash import BAND_HASH
from training.instruct.records import Record
from training.instruct.rouge import InstructionPool

Found = Mapping[int, Rejection]
"""Place of a record -> why it goes."""


def exact_copies(records: Sequence[Record]) -> Found:
    """All but the first of those that say the same in the same roles, with the same tools."""
    first: dict[str, int] = {}
    found = {}
    for place, record in enumerate(records):
        key = record.identity
        if first.setdefault(key, place) != place:
            found[place] = _like("dedup.exact", records[first[key]])
    return found


def near_copies(records: Sequence[Record], settings: MinHash) -> Found:
    """All but the first of each group whose members agree in a band of MinHash, one with the next:
    what the dedup phase of pretraining data does, by the same code, but numbers count: questions
    often differ in nothing else."""
    hasher = BandHasher(settings, numbers=True)
    holder: dict[tuple[int, int], int] = {}
    edges = []
    for place, record in enumerate(records):
        for band, value in enumerate(np.frombuffer(hasher(record.text), BAND_HASH).tolist()):
            other = holder.setdefault((band, value), place)
            if other != place:
                edges.append((other, place))
    roots = connected_components(edges)
    return {
        place: _like("dedup.minhash", records[root])
        for place, root in sorted(roots.items())
        if place != root
    }


def like_prompts(records: Sequence[Record], threshold: float) -> Found:
    """Those whose prompt is too much like one that stays."""
    pool = InstructionPool(threshold)
    found = {}
    for place, record in enumerate(records):
        near = pool.like(record.prompt)
        if near is None:
            pool.add(str(place), record.prompt)
            continue
        like = records[int(near.id)]
        found[place] = _like("dedup.rouge_l", like)._replace(value=near.score, threshold=threshold)
    return found


def _like(rule: str, other: Record) -> Rejection:
    return Rejection("dedup", rule, None, None, detail=f"{other.file} record {other.number}")
