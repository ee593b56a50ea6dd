"""An index of the n-grams of benchmarks, and the records whose n-grams a text holds.

A collision of 64-bit hashes is taken for a common n-gram: with a million n-grams in the index, one
in about 10^13 n-grams of text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.recipe import Decontamination
from stages.decontamination.benchmarks import BenchmarkTexts
from stages.dedup.shingles import ngram_hashes, word_hashes, words_of


class BenchmarkSize(NamedTuple):
    """What of a benchmark is in the index."""

    name: str
    sha256: str
    records: int
    """Records with text."""
    texts: int
    """Strings that are compared."""
    skipped: int
    """Strings that are not: of fewer than `shortest` words, or of little but numbers."""
    unseen_records: int
    """Records of which no string is compared."""


class Match(NamedTuple):
    """The record of a benchmark that a text shares most with."""

    benchmark: str
    record: int
    """From 1, as in the file."""
    share: float
    """Of the words of the record's compared texts, those in common n-grams: (0, 1]."""
    ngram: str
    """The first common n-gram, its words as they are compared."""


class _Posting(NamedTuple):
    """Where an n-gram lies: words [start, start + width) of a record."""

    record: int
    """Row of NgramIndex's records."""
    start: int
    width: int


class NgramIndex:
    """Built once, then only read; it can be pickled for other processes.

    Takes 20 bytes an n-gram. `find` takes time linear in the text, times the logarithm of the
    index, whatever the number of records.

    N-grams of which more than half the words are numbers are left out: on 6,076 texts (34 MB) and
    five benchmarks, all eight finds of 13-grams were countings such as `1 2 3 4 1 2 3 4` before.
    """

    def __init__(self, settings: Decontamination, benchmarks: Iterable[BenchmarkTexts]) -> None:
        """`benchmarks`: what was read of `settings.benchmarks`."""
        self._least_share = settings.share
        self._ngram = settings.ngram
        self._shortest = min(settings.shortest, settings.ngram)
        self._records: list[tuple[str, int]] = []
        self._words: list[int] = []
        hashes: list[NDArray[np.uint64]] = []
        postings: list[NDArray[np.int32]] = []
        self.sizes: list[BenchmarkSize] = []
        for benchmark in benchmarks:
            self.sizes.append(self._add(benchmark, hashes, postings))
        keys = np.concatenate([np.empty(0, np.uint64), *hashes])
        # Stable: of equal n-grams the first record in the order of the files comes first.
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._postings = np.concatenate([np.empty((0, 3), np.int32), *postings])[order]
        self._widths = sorted({int(width) for width in np.unique(self._postings[:, 2])})

    def _add(
        self,
        benchmark: BenchmarkTexts,
        hashes: list[NDArray[np.uint64]],
        postings: list[NDArray[np.int32]],
    ) -> BenchmarkSize:
        by_record: defaultdict[int, list[list[str]]] = defaultdict(list)
        for record, text in benchmark.texts:
            by_record[record].append(words_of(text, numbers=True))
        compared = unseen = 0
        for record, texts in by_record.items():
            row, start = len(self._records), 0
            for words in texts:
                width = min(self._ngram, len(words))
                places = self._telling_places(words, width)
                if not len(places):
                    continue
                compared += 1
                columns = np.full_like(places, row), places + start, np.full_like(places, width)
                hashes.append(ngram_hashes(word_hashes(words), width)[places])
                postings.append(np.stack(columns, axis=1).astype(np.int32))
                start += len(words)
            unseen += not start
            if start:
                self._records.append((benchmark.name, record))
                self._words.append(start)
        return BenchmarkSize(
            name=benchmark.name,
            sha256=benchmark.sha256,
            records=len(by_record),
            texts=compared,
            skipped=len(benchmark.texts) - compared,
            unseen_records=unseen,
        )

    def _telling_places(self, words: list[str], width: int) -> NDArray[np.int64]:
        """Where n-grams begin whose being found says something; none in a short text."""
        if len(words) < self._shortest:
            return np.empty(0, np.int64)
        lettered = np.array([not word.isdigit() for word in words])
        sums = np.concatenate([[0], np.cumsum(lettered)])
        return np.flatnonzero(2 * (sums[width:] - sums[:-width]) >= width)

    @property
    def ngrams(self) -> int:
        """Different n-grams in the index."""
        return len(np.unique(self._keys))

    def find(self, text: str) -> Match | None:
        """The record with the largest share of common words above the settings' share; of equal
        ones the first in the order of the files. None: there is none."""
        words = words_of(text, numbers=True)
        if len(words) < self._shortest:
            return None
        hashes = word_hashes(words)
        places = self._places(hashes)
        if not places:
            return None
        postings = self._postings_of(np.array(sorted(places), np.uint64))
        best, share = -1, self._least_share
        for row in sorted(postings):
            found = self._share(row, [posting for _, posting in postings[row]])
            if found > share:
                best, share = row, found
        if best < 0:
            return None
        begin, width = min((places[key], posting.width) for key, posting in postings[best])
        return Match(*self._records[best], share, " ".join(words[begin : begin + width]))

    def _places(self, hashes: NDArray[np.uint64]) -> dict[int, int]:
        """Hash of each common n-gram -> the first word of it in the text."""
        places: dict[int, int] = {}
        for width in self._widths:
            found = ngram_hashes(hashes, width)
            at = np.searchsorted(self._keys, found)
            at[at == len(self._keys)] = 0
            for place in np.flatnonzero(self._keys[at] == found):
                places.setdefault(int(found[place]), int(place))
        return places

    def _postings_of(self, keys: NDArray[np.uint64]) -> dict[int, list[tuple[int, _Posting]]]:
        by_record: defaultdict[int, list[tuple[int, _Posting]]] = defaultdict(list)
        begin = np.searchsorted(self._keys, keys, side="left")
        end = np.searchsorted(self._keys, keys, side="right")
        for key, first, last in zip(keys.tolist(), begin.tolist(), end.tolist(), strict=True):
            for fields in self._postings[first:last].tolist():
                posting = _Posting(*fields)
                by_record[posting.record].append((key, posting))
        return by_record

    def _share(self, row: int, postings: list[_Posting]) -> float:
        covered = np.zeros(self._words[row], dtype=bool)
        for posting in postings:
            covered[posting.start : posting.start + posting.width] = True
        return float(covered.mean())
