"""MinHash signatures (datasketch) cut into bands, one 64-bit hash a band."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray

from schemas.recipe import MinHash
from stages.dedup.shingles import shingles_of

if TYPE_CHECKING:
    import datasketch

SCHEME = "affine32"
"""datasketch 2's permutation family, exact mod 2^32 (its older one overflows, datatrove #198)."""

_BLOCK = 1024
"""Shingles permuted at a time: 1024 x 112 x 4 bytes stay in the second-level cache, and a huge
text never builds a shingles x permutations matrix (data-juicer #1034)."""

BAND_HASH = np.dtype("<u8")


def _as_is(value: int) -> int:
    return value


@cache
def _sketch_type() -> type[datasketch.MinHash]:
    """datasketch's MinHash without the rest of the package.

    Importing the package takes 0.3 CPU seconds, nearly all for scipy, which its LSH index uses
    and MinHash does not: half of what a child process needs to start. So the submodule is loaded
    under a package that was not executed, and neither stays in sys.modules: who imports
    datasketch later gets it whole.
    """
    if "datasketch" in sys.modules:
        return importlib.import_module("datasketch").MinHash
    spec = importlib.util.find_spec("datasketch")
    if spec is None:
        raise ModuleNotFoundError("No module named 'datasketch'", name="datasketch")
    sys.modules["datasketch"] = importlib.util.module_from_spec(spec)
    try:
        return importlib.import_module("datasketch.minhash").MinHash
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "datasketch"]:
            del sys.modules[name]


class BandHasher:
    """Text -> one little-endian uint64 per band.

    Two texts are candidates when they agree in any band, which happens with probability
    1 - (1 - J^rows)^bands for texts whose shingle sets have Jaccard similarity J (Leskovec,
    Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.2). With `numbers` they count as
    they are, otherwise all as one: pages differ in dates and prices, questions in nothing else.
    """

    def __init__(self, settings: MinHash, numbers: bool = False) -> None:
        Sketch = _sketch_type()
        self.settings = settings
        self.numbers = numbers
        self._sketch_type = Sketch
        plain = Sketch(
            num_perm=settings.bands * settings.rows,
            seed=settings.seed,
            hashfunc=_as_is,
            scheme=SCHEME,
        )
        self._permutations = plain.permutations

    def signature(self, text: str) -> NDArray[np.uint32] | None:
        """bands x rows minima, equal to datasketch's over the same shingles; None: no words."""
        shingles = shingles_of(text, self.settings.ngram, self.numbers)
        if not len(shingles):
            return None
        sketch = self._sketch()
        for start in range(0, len(shingles), _BLOCK):
            sketch.update_batch(shingles[start : start + _BLOCK].tolist())
        return sketch.hashvalues

    def _sketch(self) -> datasketch.MinHash:
        # Sharing the permutations saves drawing them again for every text.
        return self._sketch_type(
            num_perm=self.settings.bands * self.settings.rows,
            seed=self.settings.seed,
            hashfunc=_as_is,
            permutations=self._permutations,
            scheme=SCHEME,
        )

    def __call__(self, text: str) -> bytes:
        """The band hashes, `8 * bands` bytes; empty for a text without words.

        The number of the band seeds its hash: equal rows in different bands do not meet.
        """
        signature = self.signature(text)
        if signature is None:
            return b""
        rows = signature.astype("<u4").tobytes()
        size = 4 * self.settings.rows
        digest = xxhash.xxh3_64_intdigest
        hashes = [
            digest(rows[band * size : (band + 1) * size], seed=band)
            for band in range(self.settings.bands)
        ]
        return np.array(hashes, dtype=BAND_HASH).tobytes()
