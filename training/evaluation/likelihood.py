"""Log-likelihoods of continuations, with each context computed once for all that follow it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from model.cache import KeyValueCache
from model.cross_entropy import IGNORED
from model.decoder import Decoder
from model.scoring import score
from schemas.errors import InputError
from training.evaluation.answers import evaluating
from training.tokenizers import Tokenizer


class Request(NamedTuple):
    """Tokens whose probability is asked for, and those before them."""

    context: tuple[int, ...]
    """At least one."""
    continuation: tuple[int, ...]
    """At least one."""


class Likelihood(NamedTuple):
    """Of a continuation."""

    logprob: float
    """Sum over its tokens, in nats."""
    greedy: bool
    """Whether each token is the most probable one."""
    tokens: int


class _Group(NamedTuple):
    """Requests with the same context."""

    context: tuple[int, ...]
    numbers: list[int]


def request(
    tokenizer: Tokenizer,
    context: str,
    continuation: str,
    *,
    bos: bool = False,
    encode: Callable[[str], list[int]] | None = None,
) -> Request:
    """The tokens of a context and of what follows, cut where lm-eval cuts them: spaces at the end
    of the context belong to the continuation, whose tokens are what the whole text has beyond
    those of the context. An empty context is BOS, or EOS where there is no BOS. `encode` makes
    tokens in the tokenizer's place.

    Raises InputError for a continuation of no tokens.
    """
    cut = encode or (lambda text: tokenizer.encode(text).tolist())
    stripped = context.rstrip()
    continuation = context[len(stripped) :] + continuation
    first = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    if not stripped and not context:
        before, after = [first], cut(continuation)
    else:
        before = cut(stripped)
        after = cut(stripped + continuation)[len(before) :]
        if (bos and tokenizer.bos_id is not None) or not before:
            before = [first, *before]
    if not after:
        raise InputError(f"{continuation!r} adds no token to what is before it")
    return Request(tuple(before), tuple(after))


def likelihoods(
    decoder: Decoder, requests: Sequence[Request], batch_size: int = 32
) -> list[Likelihood]:
    """Log-likelihood of each request, `batch_size` continuations at a time.

    A context that is too long for the model loses its beginning, as in lm-eval. Rows of a batch are
    padded on the left, which changes nothing. Raises InputError for a continuation that is longer
    than the model's window.
    """
    longest = decoder.longest
    fitting = [_fitting(number, one, longest) for number, one in enumerate(requests)]
    found: list[Likelihood | None] = [None] * len(requests)
    with evaluating(decoder):
        for groups in _batches(fitting, batch_size):
            numbers = [number for group in groups for number in group.numbers]
            # A context's last token is computed with each continuation: of one alone none is saved.
            saved = any(len(group.numbers) > 1 and len(group.context) > 1 for group in groups)
            if saved and _can_share(decoder):
                sums = _after_shared(decoder, fitting, groups)
            else:
                sums = _whole(decoder, [fitting[number] for number in numbers])
            for number, (logprob, greedy) in zip(numbers, sums, strict=True):
                found[number] = Likelihood(logprob, greedy, len(fitting[number].continuation))
    return [one for one in found if one is not None]


def numbers_only(found: list[Likelihood]) -> list[Likelihood]:
    """The same. Raises InputError where one is NaN, with which a choice would be ranked as any."""
    if any(math.isnan(one.logprob) for one in found):
        raise InputError(
            "the model gives NaN for probabilities: its weights hold NaN, or are too large for "
            "the type that it computes in (--dtype)"
        )
    return found


def _fitting(number: int, one: Request, longest: int) -> Request:
    """The last token is only a label: there is room for one more than the window."""
    if len(one.continuation) > longest:
        raise InputError(
            f"continuation {number + 1} has {len(one.continuation)} tokens, and the model's window "
            f"is {longest}"
        )
    return one._replace(context=one.context[-(longest + 1 - len(one.continuation)) :])


def _batches(requests: Sequence[Request], batch_size: int) -> Iterator[list[_Group]]:
    """Groups in batches of about `batch_size` requests and like lengths, the longest first: by
    context and longest continuation, since documents have contexts of one token alone."""
    by_context: dict[tuple[int, ...], list[int]] = {}
    for number in sorted(range(len(requests)), key=lambda n: -len(requests[n].continuation)):
        by_context.setdefault(requests[number].context, []).append(number)
    groups = [
        _Group(context, numbers[at : at + batch_size])
        for context, numbers in by_context.items()
        for at in range(0, len(numbers), batch_size)
    ]
    groups.sort(
        key=lambda group: -len(group.context) - len(requests[group.numbers[0]].continuation)
    )
    batch: list[_Group] = []
    size = 0
    for group in groups:
        if batch and size + len(group.numbers) > batch_size:
            yield batch
            batch, size = [], 0
        batch.append(group)
        size += len(group.numbers)
    if batch:
        yield batch


def _can_share(decoder: Decoder) -> bool:
    """Whether keys of a context are right whatever follows: not with dynamic NTK, which turns them
    by the length of the whole. Virtual tokens stand in front of whole sequences."""
    config = decoder.config
    return decoder.virtual is None and (
        config.position != "rope" or config.rope.scaling != "dynamic"
    )


def _after_shared(
    decoder: Decoder, requests: Sequence[Request], groups: Sequence[_Group]
) -> list[tuple[float, bool]]:
    """Contexts without their last tokens once each, then every continuation behind its own."""
    device = next(decoder.parameters()).device
    heads = _Padded.of([group.context[:-1] for group in groups], device)
    members = [(row, requests[n]) for row, group in enumerate(groups) for n in group.numbers]
    tails = [(one.context[-1], *one.continuation[:-1]) for _, one in members]
    width = max(map(len, tails))
    cache = KeyValueCache(decoder.config, len(groups), heads.width + width, device)
    if heads.width:
        decoder.hidden_states(heads.tokens, heads.positions, heads.documents, cache)
    rows = torch.tensor([row for row, _ in members], device=device)
    starts = torch.tensor([len(one.context) - 1 for _, one in members], device=device)
    lengths = torch.tensor([len(tail) for tail in tails], device=device)
    places = torch.arange(width, device=device)[None]
    tokens = torch.tensor([[*tail, *[0] * (width - len(tail))] for tail in tails], device=device)
    labels = torch.full_like(tokens, IGNORED)
    for row, (_, one) in enumerate(members):
        labels[row, : len(one.continuation)] = torch.tensor(one.continuation, device=device)
    documents = torch.where(places < lengths[:, None], 0, -1)
    found = score(decoder, tokens, labels, starts[:, None] + places, documents, cache.rows(rows))
    return _sums(found.logprobs, found.greedy)


def _whole(decoder: Decoder, requests: Sequence[Request]) -> list[tuple[float, bool]]:
    device = next(decoder.parameters()).device
    rows = _Padded.of([(*one.context, *one.continuation[:-1]) for one in requests], device)
    labels = torch.full_like(rows.tokens, IGNORED)
    for row, one in enumerate(requests):
        labels[row, -len(one.continuation) :] = torch.tensor(one.continuation, device=device)
    found = score(decoder, rows.tokens, labels, rows.positions, rows.documents)
    return _sums(found.logprobs, found.greedy)


def _sums(logprobs: Tensor, greedy: Tensor) -> list[tuple[float, bool]]:
    totals = logprobs.double().sum(dim=1).tolist()
    return list(zip(totals, greedy.all(dim=1).tolist(), strict=True))


class _Padded(NamedTuple):
    """Rows of tokens [B, T], padded on the left as in `model.generate`."""

    tokens: Tensor
    positions: Tensor
    documents: Tensor | None
    """None where nothing is padded."""

    @property
    def width(self) -> int:
        return self.tokens.shape[1]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], device: torch.device) -> _Padded:
        width = max(map(len, rows))
        pads = torch.tensor([width - len(row) for row in rows], device=device)[:, None]
        tokens = torch.tensor(
            [[*[0] * (width - len(row)), *row] for row in rows], dtype=torch.long, device=device
        )
        positions = torch.arange(width, device=device)[None] - pads
        documents = torch.where(positions < 0, -1, 0) if bool((pads > 0).any()) else None
        return cls(tokens, positions.clamp_min(0), documents)
