"""FineWeb's URL lists where the datatrove wheel carries them, read without importing datatrove.

The wheel (0.10.1) holds a tar with 4,558,940 domains and 19,587 URLs, derived from the UT1 lists of
the University of Toulouse Capitole (CC-BY-SA), and three word lists.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from schemas.errors import InputError
from stages.url.words import squeezed

_ARCHIVE_PATTERN = "url_filterblacklists*.tar.gz"
_WORD_FILES = ("banned_words.txt", "soft_banned_words.txt", "banned_subwords.txt")
LIST_NAMES = ("domains", "urls")
_CHUNK_BYTES = 1 << 22


class WordLists(NamedTuple):
    """Lower case, letters and digits alone."""

    hard: frozenset[str]
    """One of them as a word of the URL rejects it."""
    soft: frozenset[str]
    """Two distinct ones reject it (datatrove's soft_word_threshold)."""
    substrings: frozenset[str]
    """One of them anywhere in the squeezed URL rejects it."""


class FinewebLists:
    """The list files of one datatrove installation."""

    def __init__(self, assets: Path | None = None) -> None:
        """Find the lists; `assets` names datatrove's assets folder when it is not installed.

        Raises InputError when the wheel or one of its files is missing.
        """
        self._assets = assets if assets is not None else _installed_assets()
        archives = sorted(self._assets.glob(_ARCHIVE_PATTERN))
        missing = [name for name in _WORD_FILES if not (self._assets / name).is_file()]
        if not archives or missing:
            what = missing[0] if missing else _ARCHIVE_PATTERN
            raise InputError(
                f"{what} is not in {self._assets}; reinstall datatrove, whose wheel carries it"
            )
        self._archive = archives[-1]

    def fingerprint(self) -> str:
        """sha256 over the archive and the word lists, as hex: changes when any list changes."""
        digest = hashlib.sha256()
        for path in (self._archive, *(self._assets / name for name in _WORD_FILES)):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def words(self) -> WordLists:
        """The three word lists."""
        return WordLists(*(_read_words(self._assets / name) for name in _WORD_FILES))

    def total_bytes(self) -> int:
        """Unpacked size of the domain and URL lists."""
        with tarfile.open(self._archive, "r:gz") as archive:
            return sum(member.size for member in archive if member.name in LIST_NAMES)

    def entries(self) -> Iterator[tuple[str, list[bytes], int]]:
        """Batches of (list name, entries, unpacked bytes they took), each entry stripped.

        Raises InputError when the archive is damaged or lacks a list.
        """
        seen = set()
        try:
            with tarfile.open(self._archive, "r|gz") as archive:
                for member in archive:
                    handle = archive.extractfile(member) if member.name in LIST_NAMES else None
                    if handle is None:
                        continue
                    seen.add(member.name)
                    while chunk := handle.read(_CHUNK_BYTES):
                        chunk += handle.readline()
                        yield member.name, _entries_of(chunk), len(chunk)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise InputError(f"{self._archive} is unreadable ({error}); reinstall it") from error
        if absent := [name for name in LIST_NAMES if name not in seen]:
            raise InputError(f"{self._archive} holds no list named {absent[0]}")


def _entries_of(chunk: bytes) -> list[bytes]:
    lines = (line.strip() for line in chunk.split(b"\n"))
    return [line for line in lines if line and not line.startswith(b"#")]


def _read_words(path: Path) -> frozenset[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(squeezed(line) for line in lines if line and line[0] != "#") - {""}


def _installed_assets() -> Path:
    specification = importlib.util.find_spec("datatrove")
    if specification is None or specification.origin is None:
        raise InputError("datatrove, whose wheel carries the FineWeb URL lists, is not installed")
    return Path(specification.origin).parent / "assets"
