"""Documents that share a row do not know of each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import ModelConfig
from model.decoder import Decoder

KINDS: dict[str, dict[str, Any]] = {
    "rope": {},
    "alibi": {"position": "alibi"},
    "window": {"sliding_window": 4, "sliding_window_from": 1},
    "qk norm": {"qk_norm": True, "n_kv_heads": 1},
    "yarn": {"rope": {"scaling": "yarn", "factor": 4.0, "original_len": 16}},
}
LENGTHS = (9, 14, 1, 8)


def model(kind: str) -> Decoder:
    keys = {"vocab_size": 64, "dim": 48, "n_layers": 3, "n_heads": 6, "n_kv_heads": 2}
    decoder = Decoder(ModelConfig.model_validate({**keys, "ffn_dim": 64, **KINDS[kind]}))
    decoder.initialize(7)
    return decoder.eval()


def packed() -> tuple[Tensor, Tensor, Tensor]:
    tokens = torch.randint(64, (1, sum(LENGTHS)), generator=torch.Generator().manual_seed(2))
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    documents = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))[None]
    return tokens, positions, documents


@pytest.mark.parametrize("kind", KINDS)
def test_packed_equals_separate(kind: str) -> None:
    decoder, (tokens, positions, documents) = model(kind), packed()
    with torch.no_grad():
        together = decoder(tokens, positions, documents)
        alone = torch.cat([decoder(part) for part in tokens.split(LENGTHS, dim=1)], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changed", range(4))
def test_a_change_in_one_document_changes_no_bit_of_another(kind: str, changed: int) -> None:
    decoder, (tokens, positions, documents) = model(kind), packed()
    others = torch.where(documents == changed, (tokens + 1) % 64, tokens)
    with torch.no_grad():
        before = decoder(tokens, positions, documents)
        after = decoder(others, positions, documents)
    same = documents[0] != changed
    assert torch.equal(before[0, same], after[0, same])
    assert not torch.equal(before[0, ~same], after[0, ~same])
