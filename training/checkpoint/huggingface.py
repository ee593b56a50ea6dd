"""Runs as Hugging Face folders, and the other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from model.adapters.peft_folder import base_of, open_peft
from model.adapters.peft_lora import PEFT_CONFIG
from model.adapters.prompted import PromptedWeights
from model.adapters.record import ADAPTER
from model.adapters.stored import open_adapted
from model.huggingface import HuggingFaceWeights, save_huggingface
from model.pretrained import open_weights
from model.weights import Weights, build, expected_shapes
from schemas.errors import InputError, UsageError
from training.chat.formatter import find_formatter
from training.chat.template import find_template
from training.checkpoint.checkpoints import Checkpoints
from training.checkpoint.folder import CheckpointRef
from training.checkpoint.new_folder import new_folder
from training.checkpoint.tensors import each_tensor
from training.optim.parameters import model_state
from training.tokenizers import find_tokenizer, save_tokenizer
from training.tokenizers.exporting import export_tokenizer
from training.tokenizers.loading import tokenizer_folders

Notice = Callable[[str], None]
CHECKPOINTS = "checkpoints"
TOKENIZER = "tokenizer"
CONFIG = "config.yaml"
STAGE = "import"


class Exported(NamedTuple):
    """What an export wrote."""

    step: int
    parameters: int
    dtype: str
    averaged: bool


def export_huggingface(
    run: Path,
    output: Path,
    *,
    step: int | None = None,
    dtype: torch.dtype = torch.float32,
    averaged: bool = False,
    notice: Notice = lambda line: None,
) -> Exported:
    """Write a folder that transformers loads, with the run's tokenizer.

    The checkpoint is the newest, or that of `step`; `averaged` takes the moving average of the
    weights. Adapters are merged. Tensors are read one at a time. Raises UsageError for an output
    that is not empty and for a model that no Hugging Face family has, InputError, OutputError.
    """
    ref = checkpoint_of(run, step, notice)
    shape = ref.shape()
    parameters = 0

    def counted(item: tuple[str, torch.Tensor]) -> tuple[str, torch.Tensor]:
        nonlocal parameters
        parameters += item[1].numel()
        return item

    with new_folder(output) as partial:
        tokenizer = export_tokenizer(run, partial)
        chat = find_formatter(run, tokenizer)
        turns = set() if chat is None else chat.stop_ids - {tokenizer.eos_id}
        save_huggingface(
            shape,
            map(counted, _tensors(ref, averaged)),
            partial,
            dtype=dtype,
            bos_id=tokenizer.bos_id,
            eos_id=[tokenizer.eos_id, *sorted(turns)] if turns else tokenizer.eos_id,
        )
    return Exported(ref.step, parameters, str(dtype).removeprefix("torch."), averaged)


def import_huggingface(
    folder: Path, output: Path, notice: Notice = lambda line: None, base: Path | None = None
) -> int:
    """Make a run folder of a Hugging Face folder: the weights in float32 as the checkpoint of step
    0, tokenizer and chat template, and a config.yaml that says where they are from. Returns the
    number of parameters. Adapters in peft's format are merged into `base`, by default the folder
    that they name.

    `pretrain` starts from it (`init`), `generate` runs it. Raises UsageError for an output that is
    not empty, InputError, OutputError.
    """
    if base is None and (folder / PEFT_CONFIG).exists():
        base = base_of(folder)
    decoder = build(_imported(folder, base), torch.device("cpu"), torch.float32)
    state = model_state([decoder])
    with new_folder(output) as partial:
        record = {"imported_from": str(folder), "tokens": 0}
        saved = Checkpoints(partial / CHECKPOINTS)
        saved.save(0, {"model": state}, record, decoder.config)
        places = [folder] if base is None else [folder, base]
        tokenizer = _import_tokenizer(places, partial, notice)
        tree: dict[str, Any] = {
            "stage": STAGE,
            "output": str(output),
            "init": str(folder),
            "tokenizer": tokenizer,
            "model": decoder.config.model_dump(mode="json"),
        }
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        (partial / CONFIG).write_text(text, "utf-8")
    return sum(parameter.numel() for parameter in decoder.parameters())


def _imported(folder: Path, base: Path | None) -> Weights:
    if (folder / PEFT_CONFIG).exists():
        weights = open_peft(folder, open_weights, base)
        if isinstance(weights, PromptedWeights):
            raise UsageError(f"{folder}: holds virtual tokens, which cannot be merged into a model")
        return weights
    if base is not None:
        raise UsageError(f"--base: {folder} holds no {PEFT_CONFIG}: it needs no base")
    return HuggingFaceWeights(folder)


def _import_tokenizer(places: list[Path], partial: Path, notice: Notice) -> str | None:
    """Of the first folder that has one."""
    folder, *others = places
    try:
        found = find_tokenizer(folder)
    except InputError:
        if others:
            return _import_tokenizer(others, partial, notice)
        notice(f"{folder}: no tokenizer.json and no tokenizer.model: the run has no tokenizer")
        return None
    save_tokenizer(found, partial / TOKENIZER)
    template = find_template(list(tokenizer_folders(folder)))
    if template is not None:
        template.save(partial / TOKENIZER)
    return str(found)


def _tensors(ref: CheckpointRef, averaged: bool) -> Iterator[tuple[str, torch.Tensor]]:
    if not (ref.folder / ADAPTER).exists():
        yield from each_tensor(ref, averaged=averaged)
        return
    merged = open_adapted(ref.folder, open_weights, "ema" if averaged else "model")
    if isinstance(merged, PromptedWeights):
        raise UsageError(
            f"{ref.folder}: holds virtual tokens, which no plain model has; export them with "
            "--format peft"
        )
    for name in expected_shapes(merged.config):
        yield name, merged.tensor(name)


def checkpoint_of(run: Path, step: int | None, notice: Notice) -> CheckpointRef:
    """The newest checkpoint of a run, or that of `step`. Raises InputError."""
    if not (run / CHECKPOINTS).is_dir():
        raise InputError(f"{run}: is no training run: it has no {CHECKPOINTS}/")
    saved = Checkpoints(run / CHECKPOINTS, notice=notice)
    ref = saved.latest() if step is None else saved.at(step)
    if ref is None:
        raise InputError(f"{run / CHECKPOINTS}: holds no checkpoint that is intact")
    return ref
