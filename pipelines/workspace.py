"""Where the files of a run lie (DESIGN 3), and the markers that make it resumable."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from pipelines import storage

DONE_SUFFIX = ".done.json"


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
        return self.work("plan.json")

    def shards(self, *parts: str) -> str:
        """A path below OUT/shards."""
        return self.path("shards", *parts)


class Marker(NamedTuple):
    """The record of one finished piece of work: written after its files, so that a file set
    without a marker is unfinished and is made again."""

    path: str

    def read(self, key: str) -> dict[str, Any] | None:
        """The recorded content, or None when the work is undone or was done for another key."""
        if not storage.exists(self.path):
            return None
        content = json.loads(storage.read_bytes(self.path))
        return content["content"] if content.get("key") == key else None

    def write(self, key: str, content: dict[str, Any]) -> None:
        """Declare the work done for `key`."""
        data = json.dumps({"key": key, "content": content}, sort_keys=True)
        storage.write_bytes(self.path, data.encode())


def read_markers(folder: str, key: str) -> dict[str, dict[str, Any]]:
    """Name -> content of every marker in `folder` that was written for `key`."""
    found = {}
    for path in storage.list_files(folder, DONE_SUFFIX):
        content = Marker(path).read(key)
        if content is not None:
            found[path.rsplit("/", 1)[-1].removesuffix(DONE_SUFFIX)] = content
    return found
