"""From a decoder's tensors to a folder that transformers reads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from model.config import ModelConfig
from model.huggingface.families import write_config
from model.huggingface.family import Family, Keys
from model.huggingface.names import is_stacked, their_names
from model.huggingface.reading import CONFIG
from model.huggingface.safetensors_folder import INDEX, SINGLE
from model.weights import differences, expected_shapes
from schemas.errors import InputError, OutputError

GENERATION = "generation_config.json"
SHARD_BYTES = 5_000_000_000


def save_huggingface(
    config: ModelConfig,
    state: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
    folder: str | Path,
    tokenizer_files: Sequence[str | Path] = (),
    max_shard_bytes: int = SHARD_BYTES,
    *,
    dtype: torch.dtype | None = None,
    bos_id: int | None = None,
    eos_id: int | Sequence[int] | None = None,
) -> None:
    """Write `config.json`, safetensors and `generation_config.json`, and copy tokenizer files.

    `state` gives the whole tensors of a decoder by name, in any order, each looked at once: no
    more than `max_shard_bytes` of them are held. A tied head may be given or not. `dtype` is the
    type of all tensors there, by default their own. Each of several `eos_id` ends what transformers
    generates. The folder must hold no weights yet.

    Raises UsageError that names the key of a model no family has, InputError for a tensor that is
    missing, too much or of another shape, OutputError when the folder cannot be written.
    """
    folder = Path(folder)
    family, keys = write_config(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("*.safetensors*")):
            raise OutputError(f"{folder}: holds weights already; choose another folder")
        shards = _Shards(folder, max_shard_bytes)
        named = iter(state.items()) if isinstance(state, Mapping) else iter(state)
        try:
            for name, tensor in _renamed(config, family, named, dtype):
                shards.add(name, tensor)
            shards.finish()
        finally:
            shards.discard()
        tokens = {"bos_token_id": bos_id, "eos_token_id": eos_id, "pad_token_id": None}
        _write_json(folder / GENERATION, {k: v for k, v in tokens.items() if v is not None})
        for file in tokenizer_files:
            shutil.copyfile(file, folder / Path(file).name)
        # Last: a folder without it is no model.
        _write_json(folder / CONFIG, {**keys, **tokens, "torch_dtype": shards.dtype_name})
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OutputError(f"{folder}: cannot be written: {reason}") from error


def _renamed(
    config: ModelConfig,
    family: Family,
    state: Iterator[tuple[str, Tensor]],
    dtype: torch.dtype | None,
) -> Iterator[tuple[str, Tensor]]:
    expected = expected_shapes(config)
    seen: dict[str, None] = {}
    for name, tensor in state:
        if name == "head.weight" and config.tie_embeddings:
            continue
        if name in seen:
            raise InputError(f"weights: {name} is given twice")
        seen[name] = None
        if name in expected and tensor.shape != expected[name]:
            raise InputError(
                f"weights: {name} has the shape {list(tensor.shape)}, the model's configuration "
                f"asks for {list(expected[name])}"
            )
        if name in expected:
            tensor = tensor.detach().to(device="cpu", dtype=dtype or tensor.dtype)
            theirs = their_names(name, config, family)
            yield from zip(theirs, tensor if is_stacked(name) else (tensor,), strict=True)
    problem = differences(seen, expected)
    if problem is not None:
        raise InputError(f"weights: {problem}")


class _Shards:
    """Safetensors files of limited size. How many there are, which their names tell, is known at
    the end: until then they have other names."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.dtype_name = "float32"
        self._waiting: dict[str, Tensor] = {}
        self._waiting_bytes = 0
        self._total_bytes = 0
        self._written: list[list[str]] = []

    def add(self, name: str, tensor: Tensor) -> None:
        size = tensor.numel() * tensor.element_size()
        if self._waiting and self._waiting_bytes + size > self.max_bytes:
            self._flush()
        # Cloned: a slice would be refused, and the caller's tensor may change.
        self._waiting[name] = tensor.clone(memory_format=torch.contiguous_format)
        self._waiting_bytes += size
        self.dtype_name = str(tensor.dtype).removeprefix("torch.")

    def finish(self) -> None:
        self._flush()
        count = len(self._written)
        if count == 1:
            self._partial(0).replace(self.folder / SINGLE)
            return
        names = [f"model-{n + 1:05d}-of-{count:05d}.safetensors" for n in range(count)]
        for number, name in enumerate(names):
            self._partial(number).replace(self.folder / name)
        places = {t: name for name, held in zip(names, self._written, strict=True) for t in held}
        index = {"metadata": {"total_size": self._total_bytes}, "weight_map": places}
        _write_json(self.folder / INDEX, index)

    def discard(self) -> None:
        """Remove what has no name yet."""
        for path in self.folder.glob(".part-*.tmp"):
            path.unlink()

    def _flush(self) -> None:
        save_file(self._waiting, self._partial(len(self._written)), metadata={"format": "pt"})
        self._written.append(list(self._waiting))
        self._total_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = {}, 0

    def _partial(self, number: int) -> Path:
        return self.folder / f".part-{number}.tmp"


def _write_json(path: Path, tree: Keys) -> None:
    path.write_text(json.dumps(tree, indent=2) + "\n", "utf-8")
