"""Files that list inputs, one a line, such as the warc.paths.gz of a crawl."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from pipelines import storage
from pipelines.names import is_remote, shown
from pipelines.web import reason
from schemas.errors import InputError, UsageError

STANDARD_INPUT = "-"
LONGEST_LINE = 8192
"""Bytes; what has longer lines is no list."""
_GZIP = b"\x1f\x8b"


def read_list(source: str, prefix: str = "") -> dict[str, str]:
    """Path, glob or URL -> its place, `FILE line N:`, with which a message about it begins.

    Blank lines and lines that begin with # are skipped. `source` is plain or gzip, local or in a
    store, or STANDARD_INPUT. `prefix`, a folder or URL, comes before lines that are relative. Of a
    line that is there twice, the first place is given.

    Raises:
        UsageError: there is no such file, it lists nothing, or a line cannot be a path.
        InputError: the file cannot be read.
    """
    from aiohttp import ClientError

    name = "standard input" if source == STANDARD_INPUT else shown(source)
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    found: dict[str, str] = {}
    try:
        with _opened(source) as handle:
            for number, line in enumerate(_lines(handle), start=1):
                place = f"{name} line {number}:"
                path = _path_in(line, place)
                if path:
                    found.setdefault(prefix + path if _is_relative(path) else path, place)
    except (OSError, EOFError, ValueError, zlib.error, ClientError) as error:
        raise InputError(f"cannot read {name}: {reason(error)}") from error
    if not found:
        raise UsageError(f"--inputs-from {name} lists no inputs: it takes one a line")
    return found


def _opened(source: str) -> BinaryIO:
    if source == STANDARD_INPUT:
        return io.BytesIO(sys.stdin.buffer.read())
    if not is_remote(source) and not os.path.lexists(source):
        raise UsageError(f"--inputs-from {shown(source)}: there is no such file")
    return storage.open_input(source)


def _lines(handle: BinaryIO) -> Iterator[bytes]:
    stream = io.BufferedReader(cast(io.RawIOBase, handle))
    if stream.peek(len(_GZIP)).startswith(_GZIP):
        with gzip.open(stream, "rb") as unpacked:
            yield from _bounded(cast(BinaryIO, unpacked))
    else:
        yield from _bounded(stream)


def _bounded(lines: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: lines.readline(LONGEST_LINE + 1), b"")


def _path_in(line: bytes, place: str) -> str:
    """The path in a line; empty for none. As names of files are decoded, so that one that is not
    UTF-8 is found."""
    if len(line) > LONGEST_LINE or b"\0" in line:
        raise UsageError(f"{place} this is no path: --inputs-from takes a list, --input takes data")
    text = line.decode("utf-8", "surrogateescape").lstrip("\ufeff").strip()
    return "" if text.startswith("#") else text


def _is_relative(path: str) -> bool:
    return not is_remote(path) and not os.path.isabs(path)
