"""A window extended: where the model as it was finds nothing, a few steps with scaled rotations
find what is hidden. `benchmarks/context_extension.py` shows the same with text and commands."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig, RopeConfig
from model.decoder import Decoder
from schemas.errors import UsageError
from tests.builders.pretraining import config
from training.assembly import FROM_ORIGINAL
from training.config import Optimizer
from training.optim import build_optimizer, named_parameters
from training.pretrain import pretrain

WINDOW, FACTOR = 32, 4
LONG = FACTOR * WINDOW
FILLERS, ASK, FIRST_KEY, VOCABULARY = 9, 10, 11, 32
"""Tokens: 1 to 9 are filler, 10 stands before a key, the rest are keys."""


def hidden(batch: int, length: int, generator: torch.Generator, repeats: int) -> Tensor:
    """Filler [batch, length] with `ASK key` somewhere and again at the end; between them `repeats`
    times more in three of four rows."""
    rows = torch.arange(batch)
    starts = torch.randint(FILLERS, (batch, 1), generator=generator)
    tokens = 1 + (torch.arange(length)[None] + starts) % FILLERS
    keys = torch.randint(FIRST_KEY, VOCABULARY, (batch,), generator=generator)
    first = torch.randint(length - 4, (batch,), generator=generator)
    for _ in range(repeats):
        share = torch.rand(batch, generator=generator)
        again = (first + 2 + (share * (length - 4 - first)).long()).clamp(max=length - 2)
        some = rows[: batch * 3 // 4]
        tokens[some, again[some]], tokens[some, again[some] + 1] = ASK, keys[some]
    for place in (first, torch.full_like(first, length - 2)):
        tokens[rows, place], tokens[rows, place + 1] = ASK, keys
    return tokens


def train(decoder: Decoder, length: int, batch: int, steps: int, lr: float) -> None:
    optimizer = build_optimizer(named_parameters([decoder]), Optimizer(name="muon", lr=lr))
    generator = torch.Generator().manual_seed(length)
    for step in range(1, steps + 1):
        tokens = hidden(batch, length, generator, repeats=3)
        decoder.zero_grad(set_to_none=True)
        labels = tokens[:, 1:].contiguous()
        (decoder(tokens[:, :-1], labels=labels)[0] / labels.numel()).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step(min(1, step / 10) * min(1, (steps - step) / (0.3 * steps) + 0.05))


@torch.no_grad()
def found(decoder: Decoder, length: int) -> float:
    """Share of keys that are found when only the end asks for them."""
    tokens = hidden(200, length, torch.Generator().manual_seed(0), repeats=0)
    said = decoder(tokens[:, :-1], last_only=True)[:, 0].argmax(dim=-1)
    return float((said == tokens[:, -1]).float().mean())


@pytest.fixture(scope="module")
def short() -> Decoder:
    """Trained in the short window alone."""
    shape: dict[str, Any] = {"dim": 64, "n_layers": 2, "n_heads": 2, "rope": {"theta": 300}}
    decoder = Decoder(ModelConfig(vocab_size=VOCABULARY, max_seq_len=WINDOW, **shape))
    decoder.initialize(1)
    train(decoder, WINDOW, batch=48, steps=200, lr=5e-3)
    return decoder


@pytest.mark.slow
@pytest.mark.parametrize("scaling", ["linear", "ntk", "yarn"])
def test_an_extended_window_finds_what_lies_far_back(scaling: Any, short: Decoder) -> None:
    assert found(short, WINDOW) >= 0.95
    assert found(short, LONG) <= 0.3
    extended = copy.deepcopy(short)
    rope = RopeConfig(theta=300, scaling=scaling, factor=FACTOR, original_len=WINDOW)
    extended.config = short.config.model_copy(update={"max_seq_len": LONG, "rope": rope})
    train(extended, LONG, batch=12, steps=40, lr=4e-3)
    assert found(extended, LONG) >= 0.9
    assert found(extended, WINDOW) >= 0.9


@pytest.mark.parametrize("scaling", FROM_ORIGINAL)
def test_a_stretch_says_what_it_starts_from(scaling: str, tmp_path: Path) -> None:
    """Else the new window would count as the one that the weights know."""
    pretrain(config(tmp_path, train={"steps": 1}))
    model = {"max_seq_len": 512, "rope": {"scaling": scaling, "factor": 2.0}}
    changed = {
        "output": str(tmp_path / "long"),
        "init": str(tmp_path / "run"),
        "train": {"steps": 1},
    }
    with pytest.raises(UsageError, match=r"model.rope.original_len: missing: .* set it to 256"):
        pretrain(config(tmp_path, model=model, **changed))
    rope = {**model["rope"], "original_len": 256}  # type: ignore[dict-item]
    longer = config(tmp_path, model={**model, "rope": rope}, **changed)
    assert pretrain(longer).record.state == "finished"
