"""Every family and option: logits and gradients equal those of transformers, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.decoder import Decoder
from model.generate import generate
from model.huggingface import load_huggingface, save_huggingface
from model.huggingface.families import FAMILIES, write_config
from model.huggingface.names import their_names
from tests.builders.huggingface import CASES, theirs, tokens

pytest.importorskip("transformers")


@pytest.fixture(params=CASES.values(), ids=CASES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Decoder, str]:
    """A model of transformers, and ours of what it saved."""
    family, changes = request.param
    reference = theirs(family, changes)
    reference.save_pretrained(tmp_path / "theirs")
    return reference, load_huggingface(tmp_path / "theirs"), family


def gradients(reference: Any, decoder: Decoder, family: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each parameter of ours: its gradient, and that of the same numbers in transformers."""
    found = {name: weight.grad for name, weight in reference.named_parameters()}
    pairs = {}
    for name, weight in decoder.named_parameters():
        names = their_names(name, decoder.config, FAMILIES[family])
        if ".experts." in name:
            # In memory, transformers stacks the experts and joins gate and up.
            layer = f"model.layers.{name.split('.')[1]}.mlp.experts"
            gate, up = found[f"{layer}.gate_up_proj"].chunk(2, dim=1)
            down = found[f"{layer}.down_proj"]
            expected = {"gate_proj": gate, "up_proj": up, "down_proj": down}[name.split(".")[-1]]
        else:
            expected = found[names[0].replace(".block_sparse_moe.", ".mlp.")]
        assert weight.grad is not None
        pairs[name] = (weight.grad, expected)
    return pairs


def test_logits_and_gradients_are_theirs(pair: tuple[Any, Decoder, str]) -> None:
    reference, decoder, family = pair
    batch = tokens()
    expected = reference(batch).logits
    found = decoder(batch)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.3, "logits that tell little"

    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)) / 100
    (expected * direction).sum().backward()
    (found * direction).sum().backward()
    pairs = gradients(reference, decoder, family)
    assert len(pairs) == len(dict(decoder.named_parameters()))
    for name, (ours, other) in pairs.items():
        torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-5, msg=lambda m, n=name: n + m)
        assert other.abs().max() > 0, name


def test_transformers_reads_what_is_saved(pair: tuple[Any, Decoder, str], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    reference, decoder, _ = pair
    save_huggingface(decoder.config, decoder.state_dict(), tmp_path / "ours")
    again, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    batch = tokens()
    with torch.no_grad():
        torch.testing.assert_close(
            again(batch).logits, reference(batch).logits, atol=1e-5, rtol=1e-5
        )
        prompt = batch[:1, :6]
        expected = greedy_theirs(reference, prompt)
        assert torch.equal(greedy_theirs(again, prompt), expected)
        if decoder.config.rope.scaling == "dynamic":
            # With a cache transformers keeps keys turned by an earlier base; ours does not.
            expected = greedy_theirs(reference, prompt, use_cache=False)
        assert torch.equal(greedy_ours(decoder, prompt), expected)
    read_back = load_huggingface(tmp_path / "ours").config
    assert write_config(read_back) == write_config(decoder.config)


def greedy_theirs(model: Any, prompt: Tensor, use_cache: bool = True) -> Tensor:
    settings = {"max_new_tokens": 20, "do_sample": False, "use_cache": use_cache}
    return model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)


def greedy_ours(decoder: Decoder, prompt: Tensor) -> Tensor:
    (found,) = generate(decoder, prompt.tolist(), max_new_tokens=20, temperature=0)
    return torch.cat((prompt, torch.tensor([found.tokens])), dim=1)
