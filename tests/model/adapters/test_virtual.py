"""Virtual tokens: against peft, against real tokens in their place, and in generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.adapters.config import PromptTuning
from model.adapters.peft_virtual import write_virtual
from model.adapters.virtual import add_virtual_tokens, first_tokens, start_as, virtual_shapes
from model.cross_entropy import IGNORED
from model.decoder import Decoder
from model.generate import generate
from model.huggingface import load_huggingface
from model.pretrained import load_pretrained, open_weights
from schemas.errors import InputError, UsageError
from tests.builders.huggingface import theirs, tokens

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "mistral": ("mistral", {"sliding_window": 9}),
    "qwen3": ("qwen3", {}),
}
KINDS = ["prompt", "prefix"]
REAL = [5, 17, 33, 60]


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    family, changes = request.param
    theirs(family, {"head_dim": 8, **changes}).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    theirs("llama", {}).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def prompted(folder: Path, kind: str, count: int = 4) -> Decoder:
    decoder = load_huggingface(folder)
    add_virtual_tokens(decoder, PromptTuning.model_validate({"kind": kind, "tokens": count}))
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.7, generator=generator)
    return decoder


def virtual(decoder: Decoder) -> dict[str, Tensor]:
    return {n: p for n, p in decoder.named_parameters() if p.requires_grad}


def logits(model: Any, batch: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        found = model(tokens() if batch is None else batch)
    return found if isinstance(found, Tensor) else found.logits


@pytest.mark.parametrize("kind", KINDS)
def test_peft_loads_what_is_written(base: Path, tmp_path: Path, kind: str) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    decoder = prompted(base, kind)
    config = PromptTuning.model_validate({"kind": kind, "tokens": 4})
    found = virtual(decoder)
    assert {n: tuple(p.shape) for n, p in found.items()} == virtual_shapes(decoder.config, config)
    write_virtual(tmp_path / "adapter", decoder.config, config, found, base=str(base))
    model = AutoModelForCausalLM.from_pretrained(base)
    expected = logits(peft.PeftModel.from_pretrained(model, str(tmp_path / "adapter")).eval())
    expected = expected[:, -24:]
    torch.testing.assert_close(logits(decoder), expected, atol=1e-5, rtol=1e-5)
    again = load_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(again), logits(decoder))
    assert (expected - logits(load_huggingface(base))).abs().max() > 0.1
    with pytest.raises(InputError, match="holds virtual tokens"):
        open_weights(tmp_path / "adapter")


@pytest.mark.parametrize("kind", KINDS)
def test_what_peft_wrote_is_read(base: Path, tmp_path: Path, kind: str) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    kinds = {"prompt": peft.PromptTuningConfig, "prefix": peft.PrefixTuningConfig}
    config = kinds[kind](num_virtual_tokens=3, task_type="CAUSAL_LM")
    torch.manual_seed(3)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).eval()
    model.save_pretrained(tmp_path / "adapter")
    found = logits(load_pretrained(tmp_path / "adapter"))
    torch.testing.assert_close(found, logits(model)[:, -24:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_they_can_stand_for_real_tokens(base: Path, kind: str) -> None:
    decoder, plain = prompted(base, kind), load_huggingface(base)
    start_as(decoder, REAL)
    batch = tokens()
    expected = logits(plain, torch.cat((torch.tensor([REAL] * 2), batch), dim=1))[:, len(REAL) :]
    torch.testing.assert_close(logits(decoder, batch), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_generation_is_that_after_real_tokens(base: Path, kind: str) -> None:
    decoder, plain = prompted(base, kind), load_huggingface(base)
    start_as(decoder, REAL)
    prompts = [[1, 2, 3], [9, 8, 7, 6, 5, 4, 3], [11]]
    found = generate(decoder, prompts, max_new_tokens=12, temperature=0)
    expected = generate(plain, [REAL + p for p in prompts], max_new_tokens=12, temperature=0)
    assert [f.tokens for f in found] == [e.tokens for e in expected]
    alone = generate(decoder, prompts[:1], max_new_tokens=12, temperature=0)
    assert alone[0].tokens == found[0].tokens


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_real_tokens_and_padding_has_no_say(llama: Path, kind: str) -> None:
    decoder, plain = prompted(llama, kind), load_huggingface(llama)
    start_as(decoder, REAL)
    batch = tokens()
    labels, documents = batch.roll(-1, 1), torch.zeros_like(batch)
    labels[0, 15:], documents[0, 16:], labels[1, -1] = IGNORED, -1, IGNORED
    found = decoder(batch, None, documents, labels)
    longer = torch.cat((torch.tensor([REAL] * 2), batch), dim=1)
    beside = torch.cat((torch.full((2, 4), IGNORED), labels), dim=1)
    places = torch.cat((torch.zeros(2, 4, dtype=torch.long), documents), dim=1)
    expected = plain(longer, None, places, beside)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-5)
    found[0].backward()
    for name, parameter in virtual(decoder).items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert all(p.grad is None for n, p in decoder.named_parameters() if not p.requires_grad)


def test_first_tokens_are_the_texts_or_drawn() -> None:
    config = PromptTuning(tokens=5)
    assert first_tokens(config, [7, 8], 100, seed=1) == [7, 8, 7, 8, 7]
    assert first_tokens(config, list(range(9)), 100, seed=1) == [0, 1, 2, 3, 4]
    drawn = first_tokens(config, None, 100, seed=1)
    assert drawn == first_tokens(config, None, 100, seed=1) != first_tokens(config, None, 100, 2)
    with pytest.raises(UsageError, match="holds no tokens"):
        first_tokens(config, [], 100, seed=1)


def test_they_count_as_context(llama: Path) -> None:
    decoder = prompted(llama, "prefix")
    generate(decoder, [[1] * 50], max_new_tokens=10, temperature=0)
    with pytest.raises(UsageError, match="max_seq_len of 60"):
        generate(decoder, [[1] * 50], max_new_tokens=11, temperature=0)


def test_a_rotation_that_follows_the_length_is_refused(tmp_path: Path) -> None:
    from tests.builders.huggingface import CASES

    theirs(*CASES["llama dynamic"]).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="not with model.rope.scaling dynamic"):
        prompted(tmp_path, "prompt")
