"""A folder that appears when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import OutputError, UsageError


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder beside `output` to write to, which takes its name at the end.

    What is written vanishes if the block raises; what a killed process left is removed. Raises
    UsageError when `output` holds something, OutputError when it cannot be written.
    """
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise UsageError(f"{output}: is not a folder")
    if output.exists() and any(output.iterdir()):
        raise UsageError(f"{output}: is not empty; choose a folder that is new or empty")
    partial = output.absolute().parent / f".{output.absolute().name}.partial"
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        try:
            yield partial
            # Replaces an empty folder, and no other.
            partial.rename(output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written: {error.strerror or error}") from error
