"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import OutputError


@contextmanager
def locked_folder(folder: Path, name: str, work: str) -> Iterator[None]:
    """Hold the file `name` in `folder`, which is made. Raises OutputError when another process on
    this host does; `work` says what it does there: trains."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"{folder}: another process {work} in it; wait for it, or choose another output"
            ) from None
        yield
    finally:
        os.close(handle)
