"""Lists of work that a job reads from files.

Elements of a Create lie in the job graph, and Dataflow takes a graph of 10 MB at most
(docs.cloud.google.com/dataflow/docs/request-quotas): the tasks of a crawl are more. So the driver
writes them beside the data, and the graph holds the names of these files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam

from pipelines import storage

ITEMS_PER_FILE = 1000


def write_list(folder: str, items: Sequence[Any]) -> list[str]:
    """Write items of JSON types in files of ITEMS_PER_FILE; returns their paths.

    A file is named by its content: two attempts, or two runs at once, cannot mix theirs.
    """
    paths = []
    for start in range(0, len(items), ITEMS_PER_FILE):
        data = json.dumps(items[start : start + ITEMS_PER_FILE]).encode()
        name = hashlib.sha256(data).hexdigest()[:16]
        paths.append(storage.join(folder, f"{start // ITEMS_PER_FILE:05d}-{name}.json"))
        if storage.size_of(paths[-1]) != len(data):
            storage.write_bytes(paths[-1], data)
    return paths


class ReadList(beam.PTransform):
    """The items of write_list, spread over the workers; arrays come back as tuples."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__()
        self._paths = paths

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        """Spread the files first, where there are several."""
        paths = pipeline | "ListFiles" >> beam.Create(self._paths, reshuffle=False)
        if len(self._paths) > 1:
            paths = paths | "SpreadFiles" >> beam.Reshuffle()
        items = paths | "ReadItems" >> beam.FlatMap(_read)
        return items | "SpreadItems" >> beam.Reshuffle()


def _read(path: str) -> Iterator[Any]:
    for item in json.loads(storage.read_bytes(path)):
        yield tuple(item) if isinstance(item, list) else item
