from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from model.decoder import Decoder
from model.generate import Session, generate, stream
from schemas.errors import UsageError
from tests.model.test_cache import SHAPES, decoder_of

PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6], [5, 3, 5, 8]]
DYNAMIC = {"rope": {"scaling": "dynamic", "factor": 2.0, "original_len": 8}}
ALL = {**SHAPES, "dynamic": DYNAMIC}


@torch.no_grad()
def greedy_without_cache(decoder: Decoder, prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(count):
        tokens.append(int(decoder(torch.tensor([tokens]))[0, -1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("name", ALL)
def test_greedy_equals_a_forward_pass_for_each_token(name: str) -> None:
    """Also that prompts of several lengths, padded on the left, do as they would alone."""
    decoder = decoder_of(**ALL[name])
    found = generate(decoder, PROMPTS, max_new_tokens=12, temperature=0)
    expected = [greedy_without_cache(decoder, prompt, 12) for prompt in PROMPTS]
    assert [completion.tokens for completion in found] == expected


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_log_probabilities_are_those_of_a_forward_pass(name: str) -> None:
    decoder = decoder_of(**ALL[name])
    found = generate(decoder, PROMPTS, max_new_tokens=10, temperature=0.7, seed=4)
    for prompt, completion in zip(PROMPTS, found, strict=True):
        for step, (token, logprob) in enumerate(
            zip(completion.tokens, completion.logprobs, strict=True)
        ):
            seen = torch.tensor([prompt + completion.tokens[:step]])
            expected = (decoder(seen)[0, -1] / 0.7).log_softmax(-1)[token].item()
            assert logprob == pytest.approx(expected, abs=2e-5)


def test_equals_the_greedy_generation_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    decoder = decoder_of()
    config = transformers.LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=decoder.config.hidden_dim,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        attn_implementation="eager",
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    names = {
        "embedding.": "model.embed_tokens.",
        "head.": "lm_head.",
        "norm.": "model.norm.",
        "layers.": "model.layers.",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attention.": "self_attn.",
        "ffn.": "mlp.",
    }

    def renamed(name: str) -> str:
        first = next(ours for ours in names if name.startswith(ours))
        name = names[first] + name.removeprefix(first)
        for ours in ("attention_norm", "ffn_norm", "attention.", "ffn."):
            name = name.replace("." + ours, "." + names[ours])
        return name

    theirs.load_state_dict({renamed(n): t for n, t in decoder.state_dict().items()})
    for prompt in PROMPTS:
        expected = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=16, do_sample=False, eos_token_id=None
        )
        (found,) = generate(decoder, [prompt], max_new_tokens=16, temperature=0)
        assert prompt + found.tokens == expected[0].tolist()


def test_the_seed_decides_and_other_prompts_do_not() -> None:
    decoder = decoder_of()
    first = generate(decoder, PROMPTS, max_new_tokens=10, seed=7)
    assert generate(decoder, PROMPTS, max_new_tokens=10, seed=7) == first
    torch.manual_seed(0)
    assert generate(decoder, PROMPTS[:1], max_new_tokens=10, seed=7)[0].tokens == first[0].tokens
    other = generate(decoder, PROMPTS, max_new_tokens=10, seed=8)
    assert [c.tokens for c in other] != [c.tokens for c in first]


def test_equal_prompts_are_continued_differently() -> None:
    found = generate(decoder_of(), [[3, 1]] * 4, max_new_tokens=10, temperature=3.0)
    assert len({tuple(completion.tokens) for completion in found}) == 4


@pytest.mark.parametrize("changes", [{}, DYNAMIC])
def test_a_stream_gives_the_same_tokens(changes: dict[str, Any]) -> None:
    decoder = decoder_of(**changes)
    settings: dict[str, Any] = {"max_new_tokens": 10, "temperature": 0.9, "top_k": 20, "seed": 3}
    (found,) = generate(decoder, PROMPTS[:1], **settings)
    assert list(stream(decoder, PROMPTS[0], **settings)) == found.tokens
    few = itertools.islice(stream(decoder, PROMPTS[0], **settings), 3)
    assert list(few) == found.tokens[:3]
    eos = found.tokens[4]
    until = found.tokens[: found.tokens.index(eos) + 1]
    assert list(stream(decoder, PROMPTS[0], eos_id=eos, **settings)) == until


def test_the_end_of_sequence_ends_its_own_row_only() -> None:
    decoder = decoder_of()
    free = generate(decoder, PROMPTS, max_new_tokens=8, temperature=0)
    eos = free[0].tokens[2]
    found = generate(decoder, PROMPTS, max_new_tokens=8, temperature=0, eos_id=eos)
    for with_end, without in zip(found, free, strict=True):
        if eos in without.tokens:
            end = without.tokens.index(eos) + 1
            assert with_end.finish_reason == "stop"
            assert with_end.tokens == without.tokens[:end]
            assert with_end.logprobs == pytest.approx(without.logprobs[:end])
        else:
            assert with_end.finish_reason == "length"
            assert with_end.tokens == without.tokens
    assert found[0].finish_reason == "stop"


def test_any_of_several_ends_is_one() -> None:
    decoder = decoder_of()
    (free,) = generate(decoder, PROMPTS[:1], max_new_tokens=8, temperature=0)
    ends = {free.tokens[3], free.tokens[5]}
    end = min(free.tokens.index(token) for token in ends) + 1
    (found,) = generate(decoder, PROMPTS[:1], max_new_tokens=8, temperature=0, eos_id=ends)
    assert (found.tokens, found.finish_reason) == (free.tokens[:end], "stop")
    streamed = stream(decoder, PROMPTS[0], max_new_tokens=8, temperature=0, eos_id=list(ends))
    assert list(streamed) == found.tokens
    (never,) = generate(decoder, PROMPTS[:1], max_new_tokens=8, temperature=0, eos_id=())
    assert (never.tokens, never.finish_reason) == (free.tokens, "length")


@pytest.mark.parametrize("name", ALL)
def test_a_session_gives_what_each_prompt_alone_gives(name: str) -> None:
    decoder = decoder_of(**ALL[name])
    session = Session(decoder)
    settings: dict[str, Any] = {"max_new_tokens": 6, "temperature": 0.9}
    sequence: list[int] = []
    for turn, more in enumerate(([3, 1, 4], [1, 5], [9])):
        sequence += more
        expected = list(stream(decoder, sequence, seed=turn, **settings))
        assert list(session.stream(sequence, seed=turn, **settings)) == expected
        sequence += expected
    # Left in the middle, begun anew, cut at the front, and repeated.
    assert list(itertools.islice(session.stream(sequence, **settings), 2))
    for prompt in ([3, 1, 4, 2], sequence[5:], sequence[5:]):
        expected = list(stream(decoder, prompt, **settings))
        assert list(session.stream(prompt, **settings)) == expected


def test_a_session_computes_what_is_new() -> None:
    decoder = decoder_of()
    seen: list[int] = []
    decoder.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[1]))
    session = Session(decoder)
    said = list(session.stream([3, 1, 4, 1, 5], max_new_tokens=3, temperature=0))
    assert seen == [5, 1, 1]
    seen.clear()
    # The last token that was said was not yet read.
    list(session.stream([3, 1, 4, 1, 5, *said, 9, 2], max_new_tokens=1, temperature=0))
    assert seen == [3]


def test_no_prompts_give_no_completions() -> None:
    assert generate(decoder_of(), [], max_new_tokens=3) == []


@pytest.mark.parametrize(
    ("prompts", "settings", "named"),
    [
        ([[1], []], {}, "prompt 1 has no tokens"),
        ([[1, 50]], {}, "vocabulary of 50"),
        ([[1] * 60], {"max_new_tokens": 5}, "max_seq_len of 64"),
        ([[1]], {"max_new_tokens": 0}, "max_new_tokens"),
        ([[1]], {"top_p": 0.0}, "top_p"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    prompts: list[list[int]], settings: dict[str, Any], named: str
) -> None:
    decoder = decoder_of()
    arguments = {"max_new_tokens": 4, **settings}
    with pytest.raises(UsageError, match=named) as caught:
        generate(decoder, prompts, **arguments)
    assert "\n" not in str(caught.value)
    if len(prompts) == 1:
        with pytest.raises(UsageError, match=named):
            stream(decoder, prompts[0], **arguments)


def test_all_of_max_seq_len_can_be_used() -> None:
    (found,) = generate(decoder_of(), [[1] * 60], max_new_tokens=4)
    assert len(found.tokens) == 4


def test_nothing_is_counted_or_recorded_while_generating() -> None:
    decoder = decoder_of(**SHAPES["moe"])
    generate(decoder, PROMPTS, max_new_tokens=3)
    assert all(layer.load.sum() == 0 for layer in decoder.moe_layers())
    assert all(parameter.grad is None for parameter in decoder.parameters())
