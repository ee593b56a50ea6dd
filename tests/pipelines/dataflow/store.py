"""gs:// paths on a local folder, for Beam's FileSystems: no network, the same code of ours."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystem import CompressionTypes, FileMetadata, MatchResult
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.localfilesystem import LocalFileSystem


class StoreOnDisk(LocalFileSystem):
    """Objects as files below a folder. Like a store, it has no folders to create."""

    def __init__(self, root: Path) -> None:
        super().__init__({})
        self._root = root

    @classmethod
    def scheme(cls) -> str:
        return "test-store"

    def _local(self, path: str) -> str:
        assert path.startswith("gs://"), path
        return str(self._root / path.removeprefix("gs://"))

    def match(self, patterns: list[str], limits: list[int] | None = None) -> list[MatchResult]:
        return [MatchResult(pattern, self._found(pattern)) for pattern in patterns]

    def _found(self, pattern: str) -> list[FileMetadata]:
        parts = re.split(r"(\*\*|\*|\?)", pattern)
        wild = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
        wanted = re.compile("".join(wild.get(part) or re.escape(part) for part in parts))
        found = []
        for file in sorted(p for p in self._root.rglob("*") if p.is_file()):
            path = f"gs://{file.relative_to(self._root)}"
            if wanted.fullmatch(path):
                status = file.stat()
                found.append(FileMetadata(path, status.st_size, status.st_mtime))
        return found

    def create(self, path: str, *_: Any, **__: Any) -> Any:
        os.makedirs(os.path.dirname(self._local(path)), exist_ok=True)
        return super().create(self._local(path), compression_type=CompressionTypes.UNCOMPRESSED)

    def open(self, path: str, *_: Any, **__: Any) -> Any:
        return super().open(self._local(path), compression_type=CompressionTypes.UNCOMPRESSED)

    def rename(self, source_file_names: list[str], destination_file_names: list[str]) -> None:
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            os.replace(self._local(source), self._local(target))

    def exists(self, path: str) -> bool:
        return os.path.isfile(self._local(path))

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            os.remove(self._local(path))


def mount(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gs:// mean this folder until the test ends."""
    whole = FileSystems.get_filesystem

    def get_filesystem(path: str) -> Any:
        return StoreOnDisk(root) if path.startswith("gs://") else whole(path)

    monkeypatch.setattr(FileSystems, "get_filesystem", staticmethod(get_filesystem))
