from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from model.adapters.config import PromptTuning
from model.adapters.virtual import add_virtual_tokens
from model.decoder import Decoder
from schemas.errors import InputError
from tests.model.test_cache import SHAPES, decoder_of
from training.evaluation.likelihood import Likelihood, Request, likelihoods, request
from training.evaluation.subject import Subject
from training.evaluation.task import Options
from training.evaluation.tasks import TASKS
from training.tokenizers import load_tokenizer

DYNAMIC = {"rope": {"scaling": "dynamic", "factor": 2.0, "original_len": 8}}
ALL: dict[str, dict[str, Any]] = {**SHAPES, "dynamic": DYNAMIC}

REQUESTS = [
    Request((3, 1, 4, 1, 5, 9, 2), (6, 5)),
    Request((3, 1, 4, 1, 5, 9, 2), (3,)),
    Request((3, 1, 4, 1, 5, 9, 2), (5, 8, 9, 7, 9)),
    Request((7,), (9, 3)),
    Request((7,), (2,)),
    Request((2, 3, 8), (4, 6, 2, 6)),
    Request((1,) * 20, (4, 3)),
]


@torch.no_grad()
def alone(decoder: Decoder, one: Request) -> Likelihood:
    """From all logits of the sequence by itself, without padding and without a cache."""
    tokens = torch.tensor([[*one.context, *one.continuation]])
    log_p = decoder(tokens[:, :-1])[0].log_softmax(dim=-1)[len(one.context) - 1 :]
    chosen = log_p.gather(1, torch.tensor(one.continuation)[:, None])[:, 0]
    greedy = log_p.argmax(dim=-1).tolist() == list(one.continuation)
    return Likelihood(float(chosen.double().sum()), greedy, len(one.continuation))


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("name", ALL)
def test_batches_shared_contexts_and_padding_change_nothing(name: str, batch_size: int) -> None:
    decoder = decoder_of(**ALL[name])
    found = likelihoods(decoder, REQUESTS, batch_size)
    for one, each in zip(REQUESTS, found, strict=True):
        expected = alone(decoder, one)
        assert each.logprob == pytest.approx(expected.logprob, abs=1e-4)
        assert (each.greedy, each.tokens) == (expected.greedy, expected.tokens)


@pytest.mark.parametrize("kind", ["prompt", "prefix"])
def test_virtual_tokens_stand_before_every_request(kind: Any) -> None:
    decoder = decoder_of()
    without = [one.logprob for one in likelihoods(decoder, REQUESTS)]
    add_virtual_tokens(decoder, PromptTuning(kind=kind, tokens=4))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for parameter in decoder.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.7, generator=generator)
    found = [one.logprob for one in likelihoods(decoder, REQUESTS)]
    assert found == pytest.approx([alone(decoder, one).logprob for one in REQUESTS], abs=1e-4)
    assert found != pytest.approx(without, abs=0.1)
    with pytest.raises(InputError, match="window is 60"):
        likelihoods(decoder, [Request((1,), (2,) * 61)])


def test_greedy_text_is_known_as_such() -> None:
    decoder = decoder_of()
    context = (5, 3, 5, 8)
    with torch.no_grad():
        best = int(decoder(torch.tensor([context]))[0, -1].argmax())
    first, second = likelihoods(
        decoder, [Request(context, (best,)), Request(context, ((best + 1) % 50,))]
    )
    assert first.greedy
    assert not second.greedy
    assert first.logprob > second.logprob


def test_a_context_that_is_too_long_loses_its_beginning() -> None:
    """The last token is a label alone: one more fits than the window holds."""
    decoder = decoder_of()
    context = tuple(number % 50 for number in range(200))
    (found,) = likelihoods(decoder, [Request(context, (1, 2, 3))])
    assert found.logprob == pytest.approx(
        alone(decoder, Request(context[-62:], (1, 2, 3))).logprob, abs=1e-4
    )
    with pytest.raises(InputError, match="continuation 1 has 65 tokens, and the model's window"):
        likelihoods(decoder, [Request((1,), (2,) * 65)])


def test_spaces_go_to_the_continuation_and_an_empty_context_is_eos() -> None:
    words = load_tokenizer("byte")
    assert request(words, "ab  ", "c") == (tuple(b"ab"), tuple(b"  c"))
    assert request(words, "", "c") == ((256,), tuple(b"c"))
    assert request(words, " ", "c") == ((256,), tuple(b" c"))
    assert request(words, "a", "b", bos=True) == (tuple(b"a"), tuple(b"b"))
    with pytest.raises(InputError, match="adds no token"):
        request(words, "ab", "")


@pytest.mark.parametrize("bos", [True, False])
def test_documents_of_like_lengths_share_a_batch(
    bos: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their contexts are one token each, whatever their length, and may be the same one."""
    decoder = decoder_of()
    documents = [
        Request((7 if bos else n,), (3,) * (50 if n % 2 else 2 + n // 2)) for n in range(8)
    ]
    computed = []

    def counted(self: Decoder, tokens: torch.Tensor, *rest: Any) -> torch.Tensor:
        computed.append(tokens.numel())
        return hidden_states(self, tokens, *rest)

    hidden_states = Decoder.hidden_states
    monkeypatch.setattr(Decoder, "hidden_states", counted)
    found = likelihoods(decoder, documents, 4)
    assert computed == [4 * 50, 4 * 5]
    assert [one.tokens for one in found] == [len(one.continuation) for one in documents]


def test_a_model_that_gives_nan_is_not_ranked(subject: Subject, tmp_path: Path) -> None:
    broken = Decoder(subject.decoder.config)
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(float("nan"))
    row = {"text": "some text", "question": "?", "choices": ["a", "b"], "answer": 0}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    for task in ("perplexity", "multiple_choice"):
        with pytest.raises(InputError, match="gives NaN for probabilities"):
            TASKS[task].run(subject._replace(decoder=broken), Options(data=tmp_path / "t.jsonl"))
