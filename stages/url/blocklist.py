"""The FineWeb block list as sorted hashes in one memory-mapped file.

Text costs 124 MB on disk and about 600 MB as a Python set in each process; sorted 64-bit hashes
cost 36.6 MB in pages that all processes of a machine share. A lookup of a name that is not listed
answers yes with probability 4.6e6 / 2**64, about 2.5e-13.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from xxhash import xxh64_intdigest

from schemas.errors import InputError, OutputError
from stages.url.address import split_address
from stages.url.fineweb import LIST_NAMES, FinewebLists, WordLists

_FORMAT_VERSION = 1
_META_NAME = "blocklist.json"

Progress = Callable[[int, int], None]
"""Called with (bytes read, bytes in all)."""


class Blocklist:
    """Domains, URLs and words of FineWeb's URL filter; make one with `open` or `build`."""

    def __init__(self, values: memoryview, n_domains: int, words: WordLists) -> None:
        """Use `open`: `values` are sorted hashes, the domains' first, then the URLs'."""
        self._values = values
        self.n_domains = n_domains
        self.n_urls = len(values) - n_domains
        self.words = words

    def has_domain(self, name: str) -> bool:
        """Whether this very name is listed (lower case, punycode; no parent is tried)."""
        return self._has(name, 0, self.n_domains)

    def has_url(self, entry: str) -> bool:
        """Whether a URL in the form of `Address.entry` is listed."""
        return self._has(entry, self.n_domains, len(self._values))

    def _has(self, text: str, start: int, end: int) -> bool:
        value = xxh64_intdigest(text.encode("utf-8", "surrogatepass"))
        position = bisect_left(self._values, value, start, end)
        return position < end and self._values[position] == value

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Blocklist:
        """Map the list that `build` left in `folder`; takes milliseconds.

        Raises InputError when there is none or when it is damaged.
        """
        path = Path(folder) / _META_NAME
        meta = _read_meta(Path(folder))
        if meta is None:
            raise InputError(f"no usable block list at {path}; make it with Blocklist.build")
        with (Path(folder) / meta["file"]).open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        lists = meta["words"]
        words = WordLists(*(frozenset(lists[name]) for name in WordLists._fields))
        return cls(memoryview(mapped).cast("Q"), meta["n_domains"], words)

    @classmethod
    def build(
        cls,
        folder: str | os.PathLike[str],
        progress: Progress | None = None,
        *,
        assets: Path | None = None,
    ) -> Blocklist:
        """Make the compact list in `folder` once, and open it; the step behind `make assets`.

        Does nothing when the folder holds the list of the installed datatrove already. Files
        appear whole by renaming and have the same bytes whoever writes them, so that processes
        may build at once. `assets` is datatrove's assets folder when it is not the installed one.
        Raises InputError for a missing or damaged source, OutputError when the folder cannot be
        written.
        """
        source = FinewebLists(assets)
        target = Path(folder)
        fingerprint = f"{_FORMAT_VERSION}-{sys.byteorder}-{source.fingerprint()}"
        meta = _read_meta(target)
        if meta is None or meta["fingerprint"] != fingerprint:
            try:
                _write(target, source, fingerprint, progress)
            except OSError as error:
                raise OutputError(f"cannot write the block list to {target}: {error}") from error
        return cls.open(target)


def _read_meta(folder: Path) -> dict[str, Any] | None:
    """What `build` wrote, or None when it is absent, damaged or lacks its data file."""
    try:
        meta = json.loads((folder / _META_NAME).read_text(encoding="utf-8"))
        whole = (folder / meta["file"]).stat().st_size == 8 * (meta["n_domains"] + meta["n_urls"])
        complete = set(meta["words"]) == set(WordLists._fields) and "fingerprint" in meta
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return meta if whole and complete and meta["n_domains"] else None


def _write(folder: Path, source: FinewebLists, fingerprint: str, progress: Progress | None) -> None:
    hashes = _hashes(source, progress)
    folder.mkdir(parents=True, exist_ok=True)
    # The data file is named by its content: a process that has the older one mapped, or reads
    # the older metadata at this moment, keeps a matching pair.
    name = f"blocklist-{fingerprint[-16:]}.u64"
    _replace(folder / name, *(hashes[which].data for which in LIST_NAMES))
    words = source.words()
    meta = {
        "fingerprint": fingerprint,
        "file": name,
        "n_domains": len(hashes["domains"]),
        "n_urls": len(hashes["urls"]),
        "words": {field: sorted(getattr(words, field)) for field in WordLists._fields},
    }
    _replace(folder / _META_NAME, (json.dumps(meta, indent=1) + "\n").encode())


def _hashes(source: FinewebLists, progress: Progress | None) -> dict[str, np.ndarray]:
    total_bytes = source.total_bytes() if progress else 0
    done_bytes = 0
    batches: dict[str, list[np.ndarray]] = {name: [] for name in LIST_NAMES}
    for name, entries, size_bytes in source.entries():
        if name == "urls":
            entries = [_url_bytes(entry) for entry in entries]
        digests = map(xxh64_intdigest, entries)
        batches[name].append(np.fromiter(digests, dtype=np.uint64, count=len(entries)))
        done_bytes += size_bytes
        if progress:
            progress(done_bytes, total_bytes)
    return {name: _sorted_distinct(parts) for name, parts in batches.items()}


def _sorted_distinct(parts: list[np.ndarray]) -> np.ndarray:
    # np.unique builds a hash table first, which takes four times as long and 250 MB more.
    values = np.concatenate([np.empty(0, dtype=np.uint64), *parts])
    parts.clear()
    values.sort()
    first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values if first.all() else values[first]


def _url_bytes(entry: bytes) -> bytes:
    text = entry.decode("utf-8", "surrogateescape")
    return split_address(text).entry.encode("utf-8", "surrogateescape")


def _replace(path: Path, *contents: bytes | memoryview) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for content in contents:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
