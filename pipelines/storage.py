"""Files of a run: local paths directly, gs://, s3:// and hdfs:// through Beam FileSystems, and
https:// for reading. Every write goes to a temporary name first and is then renamed.
"""

from __future__ import annotations

import errno
import glob
import io
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.lookups import look_up_each
from pipelines.names import WEB, identity_of, is_remote, labels_of, place_of, shown
from pipelines.web import check_ranges, open_url, reason, size_of_url
from schemas.errors import CorpusmillError, InputError, OutputError, UsageError

if TYPE_CHECKING:
    from apache_beam.io.filesystems import FileSystems

_GLOB_CHARACTERS = frozenset("*?[")
NO_PLACES: Mapping[str, str] = MappingProxyType({})
"""All inputs were given with --input."""


class InputFile(NamedTuple):
    """One input and what tells whether it changed since a run began."""

    path: str
    size: int
    stamp: str
    """Local files: modification time in ns; remote: the store's time stamp; https: empty."""
    identity: str = ""
    """What is the same for every spelling of the path."""
    label: str = ""
    """The file's name in documents and errors, unique among the inputs of a run."""


def join(folder: str, *parts: str) -> str:
    """Join with `/`, which local and remote stores both take."""
    return "/".join([folder.rstrip("/") or "/", *parts])


def match_inputs(patterns: Iterable[str], places: Mapping[str, str] = NO_PLACES) -> list[InputFile]:
    """Resolve paths, globs and URLs to files, in order of their absolute path.

    A file named more than once, by whatever spelling or link, is read once, by its first name.
    Stores and servers are asked for many at a time; the first pattern that fails is reported, by
    its place in `places` when it was not given with --input.

    Raises:
        UsageError: a pattern matches nothing.
        InputError: a file cannot be read, or not by ranges.
    """
    found: dict[str, InputFile] = {}
    look_up = partial(_match_some, places=places)
    for matches in look_up_each(look_up, dict.fromkeys(patterns), far=is_remote):
        for file in matches:
            identity = identity_of(file.path)
            found.setdefault(identity, file._replace(identity=identity))
    files = sorted(found.values(), key=lambda file: place_of(file.path))
    _check_servers(files)
    labels = labels_of(file.path for file in files)
    return [file._replace(label=labels[file.path]) for file in files]


def _check_servers(files: list[InputFile]) -> None:
    """Ask every server once for a part of a file."""
    first = {file.path.split("/")[2]: file for file in reversed(files) if file.path.startswith(WEB)}
    for file in first.values():
        check_ranges(file.path, file.size)


def _match_some(pattern: str, places: Mapping[str, str]) -> list[InputFile]:
    listed = pattern in places
    place = places.get(pattern, "--input")
    if not is_remote(pattern) and os.path.isdir(pattern):
        folder = shown(pattern)
        raise InputError(f"{place} {folder} is a folder; write {folder.rstrip('/')}/*.warc.gz")
    try:
        matches = _match(pattern)
    except CorpusmillError as error:
        if not listed:
            raise
        raise type(error)(f"{place} {error}") from error
    if not matches:
        advice = "" if listed else " and the quotes"
        if listed and not (is_remote(pattern) or os.path.isabs(pattern)):
            advice = ", or give --inputs-prefix"
        raise UsageError(f"{place} {shown(pattern)} matches no file; check the path{advice}")
    return sorted(matches)


def _match(pattern: str) -> list[InputFile]:
    if pattern.startswith(WEB):
        return [InputFile(pattern, size_of_url(pattern), "")]
    if is_remote(pattern):
        return _match_store(pattern)
    if _GLOB_CHARACTERS & set(pattern) and not os.path.lexists(pattern):
        paths = glob.glob(pattern, recursive=True)
    else:
        paths = [pattern] if os.path.lexists(pattern) else []
    files = []
    for path in paths:
        if not os.path.isdir(path):
            files.append(_local_file(path))
    return files


def _local_file(path: str) -> InputFile:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(
                f"{shown(path)} is a pipe or device, which cannot be read twice or in parts: "
                "write it to a file and name that"
            )
        with open(path, "rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {error.strerror or error}") from error
    return InputFile(path, status.st_size, str(status.st_mtime_ns))


def _match_store(pattern: str) -> list[InputFile]:
    try:
        results = _store_of(pattern).match([pattern])[0].metadata_list
    except (OSError, ValueError) as error:
        raise InputError(f"cannot list {pattern}: {_one_line(error)}") from error
    return [
        InputFile(m.path, m.size_in_bytes, str(m.last_updated_in_seconds or "")) for m in results
    ]


def _store_of(path: str) -> type[FileSystems]:
    """Beam is imported only where a path needs it."""
    from pipelines.stores import file_systems

    return file_systems(path)


def open_input(path: str) -> BinaryIO:
    """Open for reading and seeking, as the bytes lie in the store (no decompression).

    Raises InputError when the file cannot be opened.
    """
    try:
        if path.startswith(WEB):
            return open_url(path)
        if is_remote(path):
            from apache_beam.io.filesystem import CompressionTypes

            return cast(
                BinaryIO,
                _store_of(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED),
            )
        return open(path, "rb")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {shown(path)}: {reason(error)}") from error


def read_bytes(path: str) -> bytes:
    """The whole content of a small file."""
    with open_input(path) as handle:
        return handle.read()


def exists(path: str) -> bool:
    """Whether a file or local folder is there."""
    if not is_remote(path):
        return os.path.exists(path)
    return bool(_store_of(path).exists(path))


def size_of(path: str) -> int | None:
    """Bytes of a file; None when it is not there."""
    if not is_remote(path):
        try:
            return os.stat(path).st_size
        except OSError:
            return None
    found = _match_store(path)
    return found[0].size if found else None


def list_files(folder: str, suffix: str) -> list[str]:
    """Files directly inside `folder` that end in `suffix`, sorted; none if there is no folder."""
    if is_remote(folder):
        return sorted(f.path for f in _match_store(join(folder, "*" + suffix)))
    if not os.path.isdir(folder):
        return []
    return sorted(join(folder, name) for name in os.listdir(folder) if name.endswith(suffix))


def sizes_in(folder: str) -> dict[str, int]:
    """Path -> bytes of the files directly inside `folder`; none if there is no folder."""
    if is_remote(folder):
        return {file.path: file.size for file in _match_store(join(folder, "*"))}
    if not os.path.isdir(folder):
        return {}
    with os.scandir(folder) as entries:
        return {join(folder, e.name): e.stat().st_size for e in entries if e.is_file()}


def stamps_in(folder: str, suffix: str) -> dict[str, str]:
    """Path -> what changes when the file is replaced, of files directly inside `folder`."""
    if is_remote(folder):
        return {file.path: file.stamp for file in _match_store(join(folder, "*" + suffix))}
    if not os.path.isdir(folder):
        return {}
    with os.scandir(folder) as entries:
        found = ((join(folder, e.name), e) for e in entries if e.name.endswith(suffix))
        return {path: str(entry.stat().st_mtime_ns) for path, entry in found}


def write_bytes(path: str, data: bytes | memoryview) -> None:
    """Write atomically: a reader sees the old file or the whole new one.

    Raises OutputError, in one line, when the store is full or refuses.
    """
    with new_file(path) as handle:
        handle.write(data)


@contextmanager
def new_file(path: str) -> Iterator[BinaryIO]:
    """A file to write that takes its name only when the block ends without an error."""
    temporary = f"{path}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        if is_remote(path):
            with _remote_file(path, temporary) as handle:
                yield handle
        else:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            try:
                with open(temporary, "wb") as handle:
                    yield handle
                    handle.flush()
                    os.fsync(handle.fileno())
                os.replace(temporary, path)
            finally:
                if os.path.exists(temporary):
                    os.remove(temporary)
    except OSError as error:
        raise OutputError(_write_problem(path, error)) from error


@contextmanager
def _remote_file(path: str, temporary: str) -> Iterator[BinaryIO]:
    from apache_beam.io.filesystem import CompressionTypes

    store = _store_of(path)
    handle = store.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED)
    try:
        with handle:
            yield cast(BinaryIO, handle)
        if store.exists(path):
            store.delete([path])
        store.rename([temporary], [path])
    finally:
        if store.exists(temporary):
            store.delete([temporary])


def _write_problem(path: str, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left while writing {path}: free some and run the same command again; "
            "what was finished is kept"
        )
    return f"cannot write {path}: {error.strerror or _one_line(error)}"


def write_table(path: str, table: pa.Table) -> None:
    """Write an Arrow table as zstd Parquet, atomically."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_statistics=True)
    write_bytes(path, sink.getbuffer())


def read_table(path: str, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file whole (or some columns of it). Raises InputError when it cannot be."""
    try:
        if is_remote(path):
            with open_input(path) as handle:
                return pq.read_table(pa.PythonFile(handle, mode="r"), columns=columns)
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"cannot read {path}: {_one_line(error)}") from error


def remove(path: str) -> None:
    """Delete a file, if it is there."""
    if is_remote(path):
        store = _store_of(path)
        if store.exists(path):
            store.delete([path])
    else:
        Path(path).unlink(missing_ok=True)


def remove_folder(folder: str, keep: Collection[str] = ()) -> None:
    """Delete a folder with all it holds, if it is there; in a store, all objects below it.

    Files directly inside whose names are in `keep` stay, and the folder with them.
    """
    kept = {join(folder, name) for name in keep}
    if is_remote(folder):
        below = [file.path for file in _match_store(join(folder, "**")) if file.path not in kept]
        if below:
            _store_of(folder).delete(below)
    elif os.path.isdir(folder) and not kept:
        shutil.rmtree(folder)
    elif os.path.isdir(folder):
        for name in os.listdir(folder):
            path = join(folder, name)
            if path not in kept:
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
