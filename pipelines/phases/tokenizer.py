"""The tokenizer of a run: the recipe's model, or one trained on a hashed sample of kept text."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import apache_beam as beam
import pyarrow as pa
import xxhash
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines import storage
from pipelines.phases.finish import TRAIN
from pipelines.phases.lists import ReadList, write_list
from pipelines.same_versions import Versioned
from pipelines.workspace import Marker, Workspace
from schemas.errors import CorpusmillError
from schemas.recipe import Tokenizer
from stages import tokens

FILE_NAME = "tokenizer.model"
_SAMPLE_SEED = 0x5A
_SAMPLE_ROW = pa.schema([("point", pa.uint64()), ("id", pa.string()), ("text", pa.string())])
_READERS = 16
"""Sample files read at a time: in a store, waiting is most of reading."""
_GATHERED = beam.typehints.KV[int, beam.typehints.Any]


def tokenizer_marker(workspace: Workspace) -> Marker:
    """Says that the tokenizer of a run is there."""
    return Marker(workspace.work("tokenizer.done.json"))


def copy_tokenizer(model: str, key: str, workspace: Workspace) -> None:
    """Put the model that a recipe names into OUT/shards, and the marker."""
    started, cpu_started = time.monotonic(), time.process_time()
    storage.write_bytes(workspace.shards(FILE_NAME), storage.read_bytes(model))
    cpu_seconds = time.process_time() - cpu_started
    _declare(False, cpu_seconds, time.monotonic() - started, key, workspace)


def _declare(
    trained: bool, cpu_seconds: float, seconds: float, key: str, workspace: Workspace
) -> None:
    content = {
        "trained": trained,
        "cpu_seconds_by_step": {"tokenizer": round(cpu_seconds, 6)},
        "seconds": round(seconds, 3),
    }
    tokenizer_marker(workspace).write(key, content, [workspace.shards(FILE_NAME)])


def build(
    pipeline: beam.Pipeline,
    settings: Tokenizer,
    names: list[str],
    key: str,
    workspace: Workspace,
    train_bytes: int,
) -> None:
    """Train on the documents whose hashed id falls under sample_bytes / train_bytes, in order of
    that hash: the same text in the same order, whatever wrote the files and whoever read them.

    The sample is written beside the data, then one worker trains on it.

    Raises CorpusmillError when there is no text to train on.
    """
    if train_bytes == 0:
        raise CorpusmillError(
            "every kept document fell into validation, so there is no text to train a tokenizer "
            "on: lower shards.validation_fraction, or name a model with --set tokenizer.model=FILE"
        )
    share = min(1.0, settings.sample_bytes / train_bytes)
    files = (
        pipeline
        | "Tasks" >> ReadList(write_list(workspace.work("lists"), names))
        | "Sample" >> beam.ParDo(SampleDoFn(workspace, share))
    )
    start = pipeline | "Zero" >> beam.Create([(0, ("", 0.0))], reshuffle=False)
    (
        (files, start)
        | "WithZero" >> beam.Flatten()
        | "Typed" >> beam.Map(_same).with_output_types(_GATHERED)
        | "Gather" >> beam.GroupByKey()
        | "Train" >> beam.ParDo(TrainDoFn(settings, key, workspace))
    )


def _same(value: Any) -> Any:
    return value


class SampleDoFn(Versioned):
    """Task names -> (0, (file of chosen texts, CPU seconds)), one file a bundle.

    A bundle that is repeated leaves a file that nobody names.
    """

    def __init__(self, workspace: Workspace, share: float) -> None:
        super().__init__()
        self._workspace = workspace
        self._share = share

    def start_bundle(self) -> None:
        """Nothing is chosen yet."""
        self._chosen: list[dict[str, Any]] = []
        self._seconds = 0.0

    def process(self, name: str) -> None:
        """Take the texts of the training split whose point is below the share."""
        started = time.thread_time()
        path = self._workspace.path("documents", f"{name}.parquet")
        table = storage.read_table(path, ["id", "split", "text"])
        for id_, split, text in zip(*(c.to_pylist() for c in table.columns), strict=True):
            point = xxhash.xxh3_64_intdigest(id_.encode(), seed=_SAMPLE_SEED)
            if split == TRAIN and point < self._share * 2**64:
                self._chosen.append({"point": point, "id": id_, "text": text})
        self._seconds += time.thread_time() - started

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Write what was chosen."""
        path = ""
        if self._chosen:
            path = self._workspace.work("sample", f"{uuid4().hex}.parquet")
            storage.write_table(path, pa.Table.from_pylist(self._chosen, schema=_SAMPLE_ROW))
        window = GlobalWindow()
        yield WindowedValue((0, (path, self._seconds)), window.max_timestamp(), (window,))


class TrainDoFn(Versioned):
    """(0, (file of chosen texts, CPU seconds) of each bundle) -> nothing; the model is a file."""

    def __init__(self, settings: Tokenizer, key: str, workspace: Workspace) -> None:
        super().__init__()
        self._settings = settings
        self._key = key
        self._workspace = workspace

    def process(self, gathered: tuple[int, Iterable[tuple[str, float]]]) -> None:
        """Train on the texts of all files."""
        started, cpu_started = time.monotonic(), time.process_time()
        files = list(gathered[1])
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / FILE_NAME
            texts = _texts([path for path, _ in files if path])
            tokens.train_sentencepiece(texts, local, self._settings)
            storage.write_bytes(self._workspace.shards(FILE_NAME), local.read_bytes())
        cpu_seconds = time.process_time() - cpu_started + sum(seconds for _, seconds in files)
        _declare(True, cpu_seconds, time.monotonic() - started, self._key, self._workspace)


def _texts(paths: list[str]) -> Iterator[str]:
    with ThreadPoolExecutor(_READERS) as readers:
        tables = list(readers.map(storage.read_table, paths))
    rows = [tuple(row.values()) for table in tables for row in table.to_pylist()]
    rows.sort(reverse=True)
    while rows:
        yield rows.pop()[2]


def load_tokenizer(workspace: Workspace) -> tokens.Tokenizer:
    """The run's tokenizer, from wherever OUT lies."""
    path = workspace.shards(FILE_NAME)
    return tokens.Tokenizer(storage.read_bytes(path), path)
