"""Where the files of a run lie (DESIGN 3), and the markers that make it resumable."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from pipelines import storage
from pipelines.lookups import look_up_each
from pipelines.names import is_remote
from schemas.errors import OutputError

DONE_SUFFIX = ".done.json"
PLAN_NAME, LOCK_NAME = "plan.json", "lock"


class Workspace(NamedTuple):
    """Paths under one output folder."""

    output: str

    def path(self, *parts: str) -> str:
        """A path below OUT."""
        return storage.join(self.output, *parts)

    def work(self, *parts: str) -> str:
        """A path below OUT/.work, where phase outputs live until --clean."""
        return self.path(".work", *parts)

    @property
    def run_file(self) -> str:
        """OUT/run.json, written last."""
        return self.path("run.json")

    @property
    def plan_file(self) -> str:
        """What the run is about: recipe and inputs; written before any work."""
        return self.work(PLAN_NAME)

    def shards(self, *parts: str) -> str:
        """A path below OUT/shards."""
        return self.path("shards", *parts)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second run out of the folder while this one works there.

        The lock ends with the process, however it ends. Remote stores have none.
        Raises OutputError, naming the other process, when the folder is taken.
        """
        if storage.is_remote(self.output) or os.name != "posix":
            yield
            return
        import fcntl

        path = self.work(LOCK_NAME)
        os.makedirs(self.work(), exist_ok=True)
        with open(path, "a+", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                holder = handle.read().strip() or "another process"
                raise OutputError(
                    f"another run works in {self.output} ({holder}): wait for it or end it"
                ) from error
            handle.truncate(0)
            handle.write(f"process {os.getpid()} on {socket.gethostname()}")
            handle.flush()
            yield


class Marker(NamedTuple):
    """The record of one finished piece of work: written after its files, so that a file set
    without a marker is unfinished and is made again."""

    path: str

    def read(self, key: str) -> dict[str, Any] | None:
        """The recorded content, or None when the work is undone, was done for another key, or
        its files are no longer there as they were written."""
        return self.content(key, storage.size_of) if storage.exists(self.path) else None

    def content(self, key: str, size_of: Callable[[str], int | None]) -> dict[str, Any] | None:
        """As read, of a marker that is there; `size_of` tells the bytes of a file."""
        record = json.loads(storage.read_bytes(self.path))
        if record.get("key") != key:
            return None
        if any(size_of(path) != size for path, size in self._files(record)):
            return None
        content: dict[str, Any] = record["content"]
        return content

    def _files(self, record: dict[str, Any]) -> Iterator[tuple[str, int]]:
        folder = self.path.rsplit("/.work/", 1)[0]
        for path, size in record["files"].items():
            yield storage.join(folder, path), size

    def write(self, key: str, content: dict[str, Any], files: Iterable[str]) -> None:
        """Declare the work done for `key`, with the files below OUT that it left."""
        folder = self.path.rsplit("/.work/", 1)[0] + "/"
        sizes = {path.removeprefix(folder): storage.size_of(path) for path in files}
        data = json.dumps({"key": key, "content": content, "files": sizes}, sort_keys=True)
        storage.write_bytes(self.path, data.encode())


def read_markers(folder: str, keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Name -> content of the markers in `folder` whose work is done for their key in `keys`.

    Each marker is opened once, many at a time in a store, and each folder of files listed once.
    """
    sizes = _Sizes()

    def read(path: str) -> tuple[str, dict[str, Any] | None]:
        name = path.rsplit("/", 1)[-1].removesuffix(DONE_SUFFIX)
        return name, Marker(path).content(keys[name], sizes.of) if name in keys else None

    paths = storage.list_files(folder, DONE_SUFFIX)
    found = look_up_each(read, paths, far=is_remote)
    return {name: content for name, content in found if content is not None}


class _Sizes:
    """Bytes of files, by listing the folder of the first that is asked for."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def of(self, path: str) -> int | None:
        folder = path.rsplit("/", 1)[0]
        with self._lock:
            if folder not in self._folders:
                self._folders[folder] = storage.sizes_in(folder)
        return self._folders[folder].get(path)
