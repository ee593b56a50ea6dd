"""Files of JSON lines, written whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from schemas.errors import OutputError


def file_in_the_way(folder: Path) -> Path | None:
    """What is a file and would have to be a folder: `folder`, or one that it lies in."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return None if there.is_dir() else there


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a row a line under another name, then rename; a name in .gz is packed. Raises
    OutputError."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open(part, packed=path.suffix == ".gz") as lines:
            for row in rows:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error


def _open(path: Path, packed: bool) -> TextIO:
    if not packed:
        return open(path, "w", encoding="utf-8", errors="backslashreplace")
    # Neither name nor time in it: the same rows are the same bytes.
    return io.TextIOWrapper(_Packed(path), encoding="utf-8", errors="backslashreplace")


class _Packed(gzip.GzipFile):
    """Closes the file that it writes, too."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 (closed by close)
        super().__init__(filename="", mode="wb", fileobj=self._file, mtime=0)

    def close(self) -> None:
        """Write the end."""
        try:
            super().close()
        finally:
            self._file.close()
