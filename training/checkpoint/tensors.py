"""Tensors in the files of torch.distributed.checkpoint.

A tensor is stored whole, in pieces, under `<part>.<name>`: `model.head.weight`. So it can be read
into any layout over ranks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from schemas.errors import InputError
from training.checkpoint.folder import CheckpointRef
from training.checkpoint.together import Together

State = Mapping[str, Mapping[str, Tensor]]
"""{part: {name: tensor}}: parts are model, optimizer and ema; tensors may be DTensors."""


def flattened(state: State) -> dict[str, Tensor]:
    """`<part>.<name>` -> tensor."""
    return {f"{part}.{name}": t for part, named in state.items() for name, t in named.items()}


def write(folder: Path, flat: dict[str, Tensor], together: Together) -> None:
    """Write all ranks' tensors. Raises OSError with the first rank's reason."""
    writer = dcp.FileSystemWriter(folder)
    try:
        with _alone_is_fine():
            dcp.save(
                flat,
                storage_writer=writer,
                process_group=together.group,
                no_dist=together.group is None,
            )
    except CheckpointException as error:
        raise _as_os_error(error) from error


def files_of(folder: Path, rank: int) -> list[Path]:
    """What a rank has written; rank 0 has written the index, too."""
    own = sorted(folder.glob(f"__{rank}_*.distcp"))
    return [*own, folder / ".metadata"] if rank == 0 else own


def read(ref: CheckpointRef, state: State, together: Together) -> None:
    """Fill tensors in place, on all ranks.

    Raises InputError that names the first tensor which is not there, has another shape, or is
    there but in no rank's state.
    """
    flat = flattened(state)
    shapes = together.on_first(lambda: stored_shapes(ref))
    held = together.on_each(lambda: _fitting(ref, flat, shapes))
    known = set().union(*held)
    strays = [n for n in shapes if n.split(".")[0] in state and n not in known]
    if strays:
        raise InputError(
            f"{ref.folder}: holds {_named(strays)}, which this model does not have; use the "
            "configuration that it was trained with"
        )
    _load(ref, flat, together.group)


def read_tensors(ref: CheckpointRef, part: str = "model") -> dict[str, Tensor]:
    """All tensors of a part, whole, on the CPU of this process, by name.

    Raises InputError when there are none.
    """
    wanted = {n: shape for n, shape in stored_shapes(ref).items() if n.startswith(f"{part}.")}
    if not wanted:
        raise InputError(f"{ref.folder}: was saved without {part}")
    types = _stored(ref)
    flat = {n: torch.empty(shape, dtype=types[n].properties.dtype) for n, shape in wanted.items()}
    _load(ref, flat, None)
    return {name.removeprefix(f"{part}."): tensor for name, tensor in flat.items()}


def each_tensor(ref: CheckpointRef, *, averaged: bool = False) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the model by name, each read, whole and on the CPU, when it is asked for.

    `averaged` gives the moving average where there is one: not for buffers. Raises InputError.
    """
    stored = _stored(ref)
    if averaged and not any(key.startswith("ema.") for key in stored):
        raise InputError(f"{ref.folder}: was saved without ema (optimizer.ema)")
    for key in [key for key in stored if key.startswith("model.")]:
        name = key.removeprefix("model.")
        chosen = f"ema.{name}" if averaged and f"ema.{name}" in stored else key
        tensor = torch.empty(stored[chosen].size, dtype=stored[chosen].properties.dtype)
        _load(ref, {chosen: tensor}, None)
        yield name, tensor


def stored_shapes(ref: CheckpointRef) -> dict[str, tuple[int, ...]]:
    """Shapes of the whole tensors. Raises InputError when the index cannot be read."""
    return {name: tuple(entry.size) for name, entry in _stored(ref).items()}


def _stored(ref: CheckpointRef) -> dict[str, TensorStorageMetadata]:
    try:
        metadata = dcp.FileSystemReader(ref.folder).read_metadata()
    except OSError as error:
        raise InputError(f"{ref.folder}: no checkpoint: {error.strerror}") from error
    entries = metadata.state_dict_metadata.items()
    return {name: e for name, e in entries if isinstance(e, TensorStorageMetadata)}


def _fitting(
    ref: CheckpointRef, flat: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> set[str]:
    missing = [name for name in flat if name not in shapes]
    if missing:
        raise InputError(
            f"{ref.folder}: has no {_named(missing)}; use the configuration that it was trained "
            "with"
        )
    for name, tensor in flat.items():
        if tuple(tensor.shape) != shapes[name]:
            raise InputError(
                f"{ref.folder}: {name} has the shape {list(shapes[name])} there and "
                f"{list(tensor.shape)} in this model; use the configuration that it was trained "
                "with"
            )
    return set(flat)


def _named(names: Iterable[str]) -> str:
    first, *others = names
    return f"{first} (and {len(others)} more)" if others else first


def _load(
    ref: CheckpointRef, flat: dict[str, Tensor], group: distributed.ProcessGroup | None
) -> None:
    try:
        with _alone_is_fine():
            dcp.load(
                flat,
                storage_reader=dcp.FileSystemReader(ref.folder),
                process_group=group,
                no_dist=group is None,
            )
    except CheckpointException as error:
        raise InputError(f"{ref.folder}: cannot be read: {_as_os_error(error)}") from error


@contextmanager
def _alone_is_fine() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _as_os_error(error: CheckpointException) -> OSError:
    rank, (cause, _) = min(error.failures.items())
    if isinstance(cause, OSError):
        return cause
    line = " ".join(str(cause).split())
    return OSError(f"rank {rank}: {type(cause).__name__}: {line}")
