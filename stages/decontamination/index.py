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
    """Strings that are not: of fewer than `shortest` words, or of little but numbers or n-grams
    that many records hold."""
    unseen_records: int
    """Records of which no string is compared."""
    common: int
    """Different n-grams left out for being in more than `most_records` of the records."""


class Match(NamedTuple):
    """The record of a benchmark that a text shares most with."""

    benchmark: str
    record: int
    """From 1, as in the file."""
    share: float
    """Of the words of one string of the record that are looked for, those in common n-grams:
    (0, 1]. Strings count each by itself, so that another answer does not hide a question."""
    ngram: str
    """The first common n-gram, its words as they are compared."""


class _Posting(NamedTuple):
    """Where an n-gram lies: words [start, start + width) of a string."""

    text: int
    """Row of NgramIndex's strings."""
    start: int
    width: int


class _Text(NamedTuple):
    """A string that is compared."""

    benchmark: str
    record: int
    looked_for: int
    """Of its words, those in n-grams of the index."""


class _Grams(NamedTuple):
    """The n-grams of one string that say something."""

    record: int
    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    width: int

    def of(self, chosen: NDArray[np.bool_]) -> _Grams:
        return self._replace(hashes=self.hashes[chosen], starts=self.starts[chosen])


class NgramIndex:
    """Built once, then only read; it can be pickled for other processes.

    Takes 20 bytes an n-gram. `find` takes time linear in the text, times the logarithm of the
    index, and in the common n-grams, each of which lies in at most `most_records` records of a
    benchmark.

    N-grams of which more than half the words are numbers are left out: on 6,076 texts (34 MB) and
    five benchmarks, all eight finds of 13-grams were countings such as `1 2 3 4 1 2 3 4` before.
    So are n-grams that more than `most_records` records of one benchmark hold: the words in which
    it puts its questions. GPT-3 (arXiv 2005.14165, appendix C) counts documents of the training
    data instead, which one pass over them cannot know.
    """

    def __init__(self, settings: Decontamination, benchmarks: Iterable[BenchmarkTexts]) -> None:
        """`benchmarks`: what was read of `settings.benchmarks`."""
        self._least_share = settings.share
        self._ngram = settings.ngram
        self._shortest = min(settings.shortest, settings.ngram)
        self._most_records = settings.most_records
        self._texts: list[_Text] = []
        hashes: list[NDArray[np.uint64]] = []
        postings: list[NDArray[np.int32]] = []
        self.sizes: list[BenchmarkSize] = []
        for benchmark in benchmarks:
            self.sizes.append(self._add(benchmark, hashes, postings))
        keys = np.concatenate([np.empty(0, np.uint64), *hashes])
        # Stable: of equal n-grams the first string in the order of the files comes first.
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
        telling = [self._grams(text.record, text.text) for text in benchmark.texts]
        common = _common(telling, self._most_records)
        kept = [grams.of(~np.isin(grams.hashes, common)) for grams in telling]
        kept = [grams for grams in kept if len(grams.hashes)]
        for grams in kept:
            row, starts, width = len(self._texts), grams.starts, grams.width
            columns = np.full_like(starts, row), starts, np.full_like(starts, width)
            hashes.append(grams.hashes)
            postings.append(np.stack(columns, axis=1).astype(np.int32))
            looked_for = _covered(starts.tolist(), width)
            self._texts.append(_Text(benchmark.name, grams.record, looked_for))
        records = {text.record for text in benchmark.texts}
        return BenchmarkSize(
            name=benchmark.name,
            sha256=benchmark.sha256,
            records=len(records),
            texts=len(kept),
            skipped=len(benchmark.texts) - len(kept),
            unseen_records=len(records - {grams.record for grams in kept}),
            common=len(common),
        )

    def _grams(self, record: int, text: str) -> _Grams:
        words = words_of(text, numbers=True)
        width = min(self._ngram, len(words))
        places = self._telling_places(words, width)
        if not len(places):
            return _Grams(record, np.empty(0, np.uint64), places, width)
        return _Grams(record, ngram_hashes(word_hashes(words), width)[places], places, width)

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
        """The record of the string with the largest share of common words above the settings'
        share; of equal ones the first in the order of the files. None: there is none."""
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
            starts = [posting.start for _, posting in postings[row]]
            found = _covered(starts, postings[row][0][1].width) / self._texts[row].looked_for
            if found > share:
                best, share = row, found
        if best < 0:
            return None
        begin, width = min((places[key], posting.width) for key, posting in postings[best])
        found_in = self._texts[best]
        ngram = " ".join(words[begin : begin + width])
        return Match(found_in.benchmark, found_in.record, share, ngram)

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
        by_text: defaultdict[int, list[tuple[int, _Posting]]] = defaultdict(list)
        begin = np.searchsorted(self._keys, keys, side="left")
        end = np.searchsorted(self._keys, keys, side="right")
        for key, first, last in zip(keys.tolist(), begin.tolist(), end.tolist(), strict=True):
            for fields in self._postings[first:last].tolist():
                posting = _Posting(*fields)
                by_text[posting.text].append((key, posting))
        return by_text


def _common(texts: list[_Grams], most: int) -> NDArray[np.uint64]:
    """The different n-grams that more than `most` records hold."""
    hashes = np.concatenate([np.empty(0, np.uint64), *(grams.hashes for grams in texts)])
    sizes = np.array([len(grams.hashes) for grams in texts], np.int64)
    records = np.repeat(np.array([grams.record for grams in texts], np.int64), sizes)
    order = np.lexsort((records, hashes))
    hashes, records = hashes[order], records[order]
    # However often a record holds an n-gram, it counts once.
    first = np.ones(len(hashes), bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (records[1:] != records[:-1])
    different, held_by = np.unique(hashes[first], return_counts=True)
    return different[held_by > most]


def _covered(starts: list[int], width: int) -> int:
    """How many words n-grams of `width` words cover that begin at these places."""
    covered = end = 0
    for start in sorted(starts):
        covered += start + width - max(start, end)
        end = start + width
    return covered
