"""Text from a decoder, token by token, with a key-value cache."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from model.cache import KeyValueCache
from model.config import ModelConfig
from model.decoder import Decoder
from model.sampling import Sampling
from schemas.errors import UsageError


class Completion(NamedTuple):
    """What a prompt was continued with."""

    tokens: list[int]
    """Without the prompt; with the end-of-sequence token where one came."""
    logprobs: list[float]
    """Log-probability of each under the distribution it was drawn from (`Sampling`)."""
    finish_reason: Literal["stop", "length"]
    """An end-of-sequence token came, or there are max_new_tokens."""


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | Collection[int] | None = None,
    seed: int = 0,
) -> list[Completion]:
    """Continue each prompt up to one of `eos_id`. Row i draws from (seed, i) alone: the other
    prompts have no say.

    The decoder is called alike on all ranks that call this alike. Raises UsageError for an empty
    prompt, for settings that mean nothing, and where prompt and new tokens exceed max_seq_len.
    """
    sampling = Sampling(temperature, top_k, top_p)
    _check(decoder, prompts, max_new_tokens, sampling)
    ends = _ends(eos_id)
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    for rows in _batches(decoder.config, prompts):
        chosen = [prompts[row] for row in rows]
        generators = [generator_of(seed, row) for row in rows]
        for step in _steps(decoder, chosen, max_new_tokens, sampling, generators):
            for row, token, logprob in zip(rows, *step, strict=True):
                if not stopped[row]:
                    tokens[row].append(token)
                    logprobs[row].append(logprob)
                    stopped[row] = token in ends
            if all(stopped[row] for row in rows):
                break
    return [
        Completion(t, p, "stop" if s else "length")
        for t, p, s in zip(tokens, logprobs, stopped, strict=True)
    ]


def stream(
    decoder: Decoder,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | Collection[int] | None = None,
    seed: int = 0,
) -> Iterator[int]:
    """The tokens that `generate` gives for one prompt, each as soon as it is there.

    Raises UsageError as `generate`, before the first token.
    """
    sampling = Sampling(temperature, top_k, top_p)
    _check(decoder, [prompt], max_new_tokens, sampling)
    steps = _steps(decoder, [prompt], max_new_tokens, sampling, [generator_of(seed, 0)])
    return _until(_ends(eos_id), (tokens[0] for tokens, _ in steps))


class Session:
    """A sequence that is continued again and again, as in a conversation: keys and values of what
    a prompt shares with the sequence before are kept."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._sequence: list[int] = []
        self._held = 0
        self._cache: KeyValueCache | None = None

    def stream(
        self,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        eos_id: int | Collection[int] | None = None,
        seed: int = 0,
    ) -> Iterator[int]:
        """The tokens that the function `stream` gives. They may be left at any time.

        Raises UsageError as `generate`, before the first token.
        """
        sampling = Sampling(temperature, top_k, top_p)
        _check(self.decoder, [prompt], max_new_tokens, sampling)
        tokens = self._continue(list(prompt), max_new_tokens, sampling, seed)
        return _until(_ends(eos_id), tokens)

    def _continue(
        self, prompt: list[int], new: int, sampling: Sampling, seed: int
    ) -> Iterator[int]:
        cache = self._take(prompt, new)
        for tokens, _ in _steps(
            self.decoder, [prompt], new, sampling, [generator_of(seed, 0)], cache
        ):
            # Not before: a step that is interrupted leaves layers of several lengths.
            self._held = 0 if cache is None else cache.length - _virtual(self.decoder)
            self._sequence.append(tokens[0])
            yield tokens[0]

    def _take(self, prompt: list[int], new: int) -> KeyValueCache | None:
        """A cache with room that holds what the prompt shares with the sequence; None where
        nothing can be kept."""
        config = self.decoder.config
        shared = _shared(self._sequence[: self._held], prompt[:-1])
        self._sequence, self._held = list(prompt), 0
        if _stretches_on_the_way(config):
            return None
        virtual = _virtual(self.decoder)
        needed = virtual + len(prompt) + new
        # Doubled, so that a conversation is copied few times.
        room = max(needed, min(config.max_seq_len, 1 << (needed - 1).bit_length()))
        if self._cache is None:
            device = next(self.decoder.parameters()).device
            self._cache = KeyValueCache(config, 1, room, device)
        self._cache.truncate(virtual + shared if shared else 0)
        self._cache.grow(room)
        self._held = shared
        return self._cache


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their start."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def generator_of(seed: int, row: int) -> torch.Generator:
    """The source of randomness of one prompt of a call."""
    # A digest, since torch's generator on the CPU takes the low 32 bits of a seed alone.
    digest = hashlib.sha256(f"{seed}/{row}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def _ends(eos_id: int | Collection[int] | None) -> frozenset[int]:
    if eos_id is None:
        return frozenset()
    return frozenset((eos_id,) if isinstance(eos_id, int) else eos_id)


def _until(ends: frozenset[int], tokens: Iterable[int]) -> Iterator[int]:
    for token in tokens:
        yield token
        if token in ends:
            return


def _check(
    decoder: Decoder, prompts: Sequence[Sequence[int]], new: int, sampling: Sampling
) -> None:
    sampling.check()
    config = decoder.config
    longest = decoder.longest
    if new < 1:
        raise UsageError(f"max_new_tokens: {new} is not a whole number from 1 on")
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise UsageError(f"prompt {number} has no tokens; begin it with BOS or EOS")
        if not 0 <= min(prompt) <= max(prompt) < config.vocab_size:
            raise UsageError(
                f"prompt {number}: tokens from {min(prompt)} to {max(prompt)} do not fit the "
                f"model's vocabulary of {config.vocab_size}: is the tokenizer another model's?"
            )
        if len(prompt) + new > longest:
            raise UsageError(
                f"prompt {number}: {len(prompt)} tokens and {new} new ones exceed the model's "
                f"max_seq_len of {longest}: shorten the prompt or max_new_tokens"
            )


def _batches(config: ModelConfig, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Numbers of the prompts that are continued together."""
    if not prompts:
        return []
    if not _stretches_on_the_way(config):
        return [list(range(len(prompts)))]
    # The frequencies follow the length, and so they are one sequence's, or those of equals.
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        by_length[len(prompt)].append(number)
    return list(by_length.values())


def _stretches_on_the_way(config: ModelConfig) -> bool:
    return config.position == "rope" and config.rope.scaling == "dynamic"


@torch.no_grad()
def _steps(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    cache: KeyValueCache | None = None,
) -> Iterator[tuple[list[int], list[float]]]:
    """Tokens and log-probabilities of all rows, step by step. A `cache` may hold the first tokens
    of the prompts, and has room for all.

    Prompts are padded on the left. Padding is a document of its own, which no token sees, and
    takes no positions from the prompt.
    """
    device = next(decoder.parameters()).device
    longest = max(map(len, prompts))
    pads = torch.tensor([longest - len(prompt) for prompt in prompts], device=device)[:, None]
    tokens = torch.tensor(
        [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device
    )
    capacity = _virtual(decoder) + longest + max_new_tokens
    keep_until = _rotation_fixed_until(decoder.config)
    if cache is None:
        cache = KeyValueCache(decoder.config, len(prompts), capacity, device)
    logits = _last_logits(decoder, tokens, pads, cache)
    for step in range(max_new_tokens):
        chosen, logprobs = sampling.choose(logits, generators)
        yield chosen.tolist(), logprobs.tolist()
        if step + 1 == max_new_tokens:
            return
        tokens = torch.cat((tokens, chosen[:, None]), dim=1)
        if tokens.shape[1] > keep_until:
            cache = KeyValueCache(decoder.config, len(prompts), capacity, device)
        logits = _last_logits(decoder, tokens, pads, cache)


def _rotation_fixed_until(config: ModelConfig) -> float:
    """Up to which length what was computed of a token stays true. Dynamic NTK turns all earlier
    keys anew for each length, and with them every layer's output: nothing can be kept."""
    if not _stretches_on_the_way(config):
        return float("inf")
    return config.rope.original_len or config.max_seq_len


def _virtual(decoder: Decoder) -> int:
    """Entries of a cache that are no token's."""
    return 0 if decoder.virtual is None else decoder.virtual.cached


def _last_logits(decoder: Decoder, tokens: Tensor, pads: Tensor, cache: KeyValueCache) -> Tensor:
    """Logits [B, V] after tokens [B, T], of which the cache holds the first ones; pads [B, 1]."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)[None] - pads
    documents = torch.where(positions < 0, -1, 0)
    held = cache.length
    if held:
        held -= _virtual(decoder)
    hidden = decoder(
        tokens[:, held:],
        positions.clamp_min(0)[:, held:],
        documents[:, held:],
        cache=cache,
        last_only=True,
    )
    return hidden[:, 0]
