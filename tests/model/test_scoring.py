from __future__ import annotations

import pytest
import torch

from model import scoring
from model.cache import KeyValueCache
from model.cross_entropy import IGNORED
from model.decoder import Decoder
from model.scoring import score
from tests.model.test_cache import SHAPES, decoder_of, tokens_of


@torch.no_grad()
def test_scores_are_those_of_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where labels come in several chunks, and where some are none."""
    decoder, tokens = decoder_of(), tokens_of(3, 9)
    labels = tokens.roll(-1, dims=1)
    labels[:, -1] = IGNORED
    labels[1, 2:5] = IGNORED
    labels[0, 0] = decoder(tokens)[0, 0].argmax()
    log_p = decoder(tokens).log_softmax(dim=-1)
    expected = log_p.gather(2, labels.clamp_min(0)[..., None])[..., 0]
    expected[labels == IGNORED] = 0
    first = (log_p.argmax(dim=-1) == labels) | (labels == IGNORED)
    for size in (1024, 5):
        monkeypatch.setattr(scoring, "CHUNK_TOKENS", size)
        found = score(decoder, tokens, labels)
        torch.testing.assert_close(found.logprobs, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.greedy, first)
        assert bool(found.greedy[0, 0])


def test_without_labels_there_is_nothing_to_say() -> None:
    tokens = tokens_of(2, 4)
    found = score(decoder_of(), tokens, torch.full_like(tokens, IGNORED))
    assert found.logprobs.eq(0).all()
    assert found.greedy.all()


def test_a_part_without_a_head_is_refused() -> None:
    part = Decoder(decoder_of().config, with_head=False)
    with pytest.raises(ValueError, match="without its head"):
        score(part, tokens_of(1, 3), tokens_of(1, 3))


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_rows_of_a_cache_go_on_each_for_itself(name: str) -> None:
    decoder = decoder_of(**SHAPES[name])
    begins, ends = tokens_of(2, 7), tokens_of(3, 4)
    cache = KeyValueCache(decoder.config, 2, 12, torch.device("cpu"))
    decoder(begins, cache=cache)
    rows = torch.tensor([1, 0, 1])
    found = decoder(ends, cache=cache.rows(rows))
    expected = decoder(torch.cat((begins[rows], ends), dim=1))[:, 7:]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert cache.length == 7
