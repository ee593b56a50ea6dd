"""Rows of a task's token index with their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines import storage
from pipelines.phases.tokenize import index_file, token_file
from pipelines.workspace import Workspace

Dtype = Literal["uint16", "uint32"]


class TokenRow(NamedTuple):
    """A document: its place in the global order, its row of the index, its tokens."""

    order: tuple[Any, ...]
    row: dict[str, Any]
    tokens: np.ndarray


def load_rows(name: str, index: pa.Table, workspace: Workspace, dtype: Dtype) -> Iterator[TokenRow]:
    """The tokens of consecutive rows of an index, read in one go.

    Args:
        name: of the task, or of the merged run, whose index it is.
        index: whole, or a slice of it.
        workspace: of the run.
        dtype: of a token.
    """
    rows = index.to_pylist()
    if not rows:
        return
    first = rows[0]["start"]
    count = rows[-1]["start"] + rows[-1]["tokens"] - first
    item_bytes = np.dtype(dtype).itemsize
    with storage.open_input(token_file(workspace, name)) as handle:
        handle.seek(first * item_bytes)
        tokens = np.frombuffer(handle.read(count * item_bytes), dtype=dtype)
    for row in rows:
        begin = row["start"] - first
        order = (row["key"], row["id"], row["warc_file"], row["warc_offset"])
        yield TokenRow(order, row, tokens[begin : begin + row["tokens"]])


def read_index(name: str, workspace: Workspace) -> pa.Table:
    """The whole index of a task or of a merged run."""
    return storage.read_table(index_file(workspace, name))
