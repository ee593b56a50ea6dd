"""Inputs on https://, read by ranges."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from pipelines.names import shown
from schemas.errors import InputError

_BLOCK_BYTES = 4 * 1024 * 1024
_DOWNLOAD = "download it and name the local file"


def size_of_url(url: str) -> int:
    """Bytes behind a URL. Raises InputError, with the reason, when it cannot be read."""
    import fsspec
    from aiohttp import ClientError

    try:
        file_system, path = fsspec.core.url_to_fs(url)
        info = file_system.info(path)
    except (OSError, ValueError, ImportError, ClientError) as error:
        raise InputError(f"cannot read {shown(url)}: {reason(error)}") from error
    if info.get("size") is None:
        raise InputError(f"{shown(url)} does not tell its size; {_DOWNLOAD}")
    if not info.get("partial", True):
        raise InputError(f"{shown(url)} cannot be read by ranges; {_DOWNLOAD}")
    return int(info["size"])


def check_ranges(url: str, size: int) -> None:
    """Raise InputError unless the server sends a part of a file when asked for it: some that say
    nothing of it send the whole."""
    from aiohttp import ClientError

    try:
        with open_url(url) as handle:
            handle.seek(max(size - 1, 0))
            handle.read(1)
    except ValueError as error:
        raise InputError(f"{shown(url)} cannot be read by ranges; {_DOWNLOAD}") from error
    except (OSError, ClientError) as error:
        raise InputError(f"cannot read {shown(url)}: {reason(error)}") from error


def open_url(url: str) -> BinaryIO:
    """Open for reading and seeking. Raises what fsspec raises."""
    import fsspec

    return cast(BinaryIO, fsspec.open(url, "rb", block_size=_BLOCK_BYTES).open())


def reason(error: BaseException) -> str:
    """Why something could not be read, in a few words: fsspec's own errors say the URL alone."""
    for cause in reversed(list(_causes(error))):
        status, message = getattr(cause, "status", None), getattr(cause, "message", "")
        if isinstance(status, int):
            return f"the server answers {status} {message}".rstrip()
        number = getattr(getattr(cause, "os_error", cause), "errno", None)
        if isinstance(number, int):
            text = os.strerror(number) if number > 0 else getattr(cause, "strerror", None)
            if text:
                return str(text)
        if isinstance(cause, asyncio.TimeoutError):
            return "no answer in time"
    return " ".join(str(error).split())[:300] or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
