"""Random access to the token shards of a run, memory-mapped, with numpy alone."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.errors import InputError, UsageError
from schemas.shards import DOCS_NAME, ShardEntry, ShardManifestV1
from stages.tokens.megatron import SequenceIndex, TokenArray
from training.data.origin import Origin, read_origins, shard_numbers
from training.data.verify import Depth, check, find_problems

__all__ = ["DocumentPlace", "Origin", "ShardReader", "check"]


_DEPTHS: dict[bool | Literal["full"], Depth] = {
    False: "structure",
    True: "checksums",
    "full": "content",
}


class DocumentPlace(NamedTuple):
    """Where a document lies."""

    shard: int
    """Number of the shard in its split: the NNNNN of shard-NNNNN."""
    path: str
    """Path prefix of the shard, relative to the shards folder."""
    position: int
    """Number of the document in its shard."""


class ShardReader:
    """The documents and tokens of a shards folder, by split.

    The shards of a split form one stream of documents, and one of tokens, in manifest order.
    Every document ends with EOS. Arrays are read-only views of the mapped files in the manifest's
    dtype (`tokens` copies where it crosses shards). Files are mapped at first use; a lookup costs
    a binary search over shards, and one over documents where a token position is given. A reader
    can be pickled: the copy maps the files anew and does not verify again.
    """

    def __init__(self, manifest_path: str | Path, *, verify: bool | Literal["full"] = True) -> None:
        """Open a manifest.

        Always checks the manifest, its fingerprint and the sizes and counts of all files.
        `verify=True` also reads every byte for its sha256; `"full"` also looks at every token and
        at docs.parquet, as `check` does; `False` suits further processes on the same files.

        Raises InputError that names the first file that differs, and how.
        """
        self.path = Path(manifest_path).resolve()
        """The manifest."""
        self.manifest = ShardManifestV1.from_file(self.path)
        for problem in find_problems(self.manifest, self.path, _DEPTHS[verify]):
            raise InputError(problem)
        by_split: dict[str, list[_Shard]] = {}
        dtype = np.dtype(self.manifest.dtype).newbyteorder("<")
        for entry, number in shard_numbers(self.manifest.shards):
            shard = _Shard(self.path.parent, entry, number, dtype)
            by_split.setdefault(entry.split, []).append(shard)
        self._splits = {name: _Split(shards) for name, shards in by_split.items()}

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in manifest order."""
        return tuple(self._splits)

    def __len__(self) -> int:
        """Documents in all splits."""
        return self.total_documents()

    def total_documents(self, split: str | None = None) -> int:
        """Documents in one split, or in all."""
        return sum(chosen.doc_ends[-1] for chosen in self._chosen(split))

    def total_tokens(self, split: str | None = None) -> int:
        """Tokens, EOS included, in one split, or in all."""
        return sum(chosen.token_ends[-1] for chosen in self._chosen(split))

    def documents(self, split: str) -> Iterator[TokenArray]:
        """Every document of a split, in order."""
        for shard in self._split(split).shards:
            for position in range(shard.entry.docs):
                yield shard.document(position)

    def document(self, split: str, document: int) -> TokenArray:
        """One document. Raises IndexError outside 0 to total_documents(split) - 1."""
        shard, position = self._find(split, document)
        return shard.document(position)

    def tokens(self, split: str, start: int, length: int) -> TokenArray:
        """`length` tokens from `start` on, over the joined shards of a split.

        Raises IndexError when they do not all exist.
        """
        chosen = self._split(split)
        end = start + length
        if start < 0 or length < 0 or end > chosen.token_ends[-1]:
            raise IndexError(
                f"tokens {start} to {end} of split {split}, which has {chosen.token_ends[-1]}"
            )
        if not length:
            return np.empty(0, dtype=self.manifest.dtype)
        number = bisect_right(chosen.token_ends, start)
        offset = start - (chosen.token_ends[number - 1] if number else 0)
        if end <= chosen.token_ends[number]:
            return chosen.shards[number].tokens[offset : offset + length]
        parts = []
        while length:
            part = chosen.shards[number].tokens[offset : offset + length]
            parts.append(part)
            length -= len(part)
            number, offset = number + 1, 0
        return np.concatenate(parts)

    def lengths_tokens(self, split: str) -> npt.NDArray[np.int32]:
        """Tokens of every document of a split, EOS included: 4 bytes a document (a view of the
        mapped index where the split has one shard)."""
        parts = [shard.index.lengths_tokens for shard in self._split(split).shards]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def gather(
        self,
        split: str,
        documents: npt.NDArray[np.int64],
        firsts: npt.NDArray[np.int64],
        counts: npt.NDArray[np.int64],
    ) -> TokenArray:
        """`counts` tokens from place `firsts` on of each of the documents [P], joined.

        The caller keeps within the split and within each document: nothing is checked.
        """
        chosen = self._split(split)
        numbers = np.searchsorted(chosen.doc_ends, documents, side="right")
        places = documents - chosen.doc_starts[numbers]
        width = np.dtype(self.manifest.dtype).itemsize
        parts = []
        for number, place, first, count in zip(
            numbers.tolist(), places.tolist(), firsts.tolist(), counts.tolist(), strict=True
        ):
            shard = chosen.shards[number]
            start = shard.index.offsets_bytes.item(place) // width + first
            parts.append(shard.tokens[start : start + count])
        return np.concatenate(parts) if parts else np.empty(0, dtype=self.manifest.dtype)

    def document_at(self, split: str, token: int) -> tuple[int, int]:
        """Which document holds a token of the joined stream, and at which place in it.

        Raises IndexError outside 0 to total_tokens(split) - 1.
        """
        chosen = self._split(split)
        if not 0 <= token < chosen.token_ends[-1]:
            raise IndexError(f"token {token} of split {split}, which has {chosen.token_ends[-1]}")
        number = bisect_right(chosen.token_ends, token)
        token -= chosen.token_ends[number - 1] if number else 0
        shard = chosen.shards[number]
        offsets_bytes = shard.index.offsets_bytes
        token_bytes = token * shard.dtype.itemsize
        position = int(np.searchsorted(offsets_bytes, token_bytes, side="right")) - 1
        place = (token_bytes - int(offsets_bytes[position])) // shard.dtype.itemsize
        return position + (chosen.doc_ends[number - 1] if number else 0), place

    def shard_of(self, split: str, document: int) -> DocumentPlace:
        """The shard of a document and its position there. Raises IndexError as `document`."""
        shard, position = self._find(split, document)
        return DocumentPlace(shard.number, shard.entry.path, position)

    def shard_starts(self, split: str) -> dict[int, int]:
        """First document of each shard of a split, by the shard's number."""
        chosen = self._split(split)
        return {
            shard.number: start
            for shard, start in zip(chosen.shards, chosen.doc_starts.tolist(), strict=False)
        }

    def trace(self, split: str, document: int) -> Origin:
        """Where a document came from, out of docs.parquet.

        Raises InputError when docs.parquet is missing or does not list it, IndexError as
        `document`.
        """
        return self.trace_all(split, [document])[0]

    def trace_all(self, split: str, documents: Sequence[int]) -> list[Origin]:
        """Origins of several documents, in the order asked for: one read of docs.parquet a shard.

        Raises as `trace`.
        """
        places = [self.shard_of(split, document) for document in documents]
        wanted: dict[int, set[int]] = {}
        for place in places:
            wanted.setdefault(place.shard, set()).add(place.position)
        path = self.path.parent / DOCS_NAME
        found = {number: read_origins(path, split, number, wanted[number]) for number in wanted}
        return [found[place.shard][place.position] for place in places]

    def _find(self, split: str, document: int) -> tuple[_Shard, int]:
        ends = self._split(split).doc_ends
        if not 0 <= document < ends[-1]:
            raise IndexError(f"document {document} of split {split}, which has {ends[-1]}")
        number = bisect_right(ends, document)
        return self._splits[split].shards[number], document - (ends[number - 1] if number else 0)

    def _chosen(self, split: str | None) -> list[_Split]:
        return list(self._splits.values()) if split is None else [self._split(split)]

    def _split(self, name: str) -> _Split:
        try:
            return self._splits[name]
        except KeyError:
            known = ", ".join(self._splits) or "none"
            raise UsageError(f"{self.path} has no split {name!r}; it has: {known}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(ShardReader, verify=False), (self.path,)


class _Split:
    def __init__(self, shards: list[_Shard]) -> None:
        self.shards = shards
        self.doc_ends = list(accumulate(shard.entry.docs for shard in shards))
        self.token_ends = list(accumulate(shard.entry.tokens for shard in shards))
        self.doc_starts = np.array([0, *self.doc_ends], dtype=np.int64)


class _Shard:
    def __init__(self, folder: Path, entry: ShardEntry, number: int, dtype: np.dtype[Any]) -> None:
        self.entry = entry
        self.number = number
        self.dtype = dtype
        self._folder = folder

    @functools.cached_property
    def index(self) -> SequenceIndex:
        return SequenceIndex.open(self._folder / f"{self.entry.path}.idx")

    @functools.cached_property
    def tokens(self) -> TokenArray:
        if not self.entry.tokens:
            return np.empty(0, dtype=self.dtype)
        path = self._folder / f"{self.entry.path}.bin"
        # A plain array over the map: slicing a numpy.memmap costs several times as much.
        return np.asarray(np.memmap(path, dtype=self.dtype, mode="r"))

    def document(self, position: int) -> TokenArray:
        start = int(self.index.offsets_bytes[position]) // self.dtype.itemsize
        return self.tokens[start : start + int(self.index.lengths_tokens[position])]
