"""Files of JSON lines, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from gzip import GzipFile
from io import BufferedWriter, TextIOWrapper
from pathlib import Path
from typing import Any

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
        with ExitStack() as stack:
            out: BufferedWriter | GzipFile = stack.enter_context(part.open("wb"))
            if path.suffix == ".gz":
                # Neither name nor time in it: the same rows are the same bytes.
                out = stack.enter_context(GzipFile("", "wb", fileobj=out, mtime=0))
            text = TextIOWrapper(out, encoding="utf-8", errors="backslashreplace")
            lines = stack.enter_context(text)
            for row in rows:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
