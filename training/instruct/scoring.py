"""What a model thinks of records: losses of answers, and embeddings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.decoder import Decoder
from schemas.chat import Conversation
from schemas.errors import InputError
from training.chat.formatter import ChatFormatter
from training.evaluation.answers import by_length, evaluating
from training.evaluation.likelihood import Request, likelihoods, numbers_only


class AnswerLoss(NamedTuple):
    """Of the last answer of a conversation, in nats a token, its end included."""

    after_prompt: float
    """s(A|Q): with all that comes before."""
    alone: float
    """s(A): the same tokens after EOS, which is what comes before a document."""
    tokens: int

    @property
    def ifd(self) -> float:
        """Instruction-following difficulty s(A|Q) / s(A) (arXiv 2308.12032, equation 4): 1 and
        more where the instruction does not help."""
        return self.after_prompt / self.alone if self.alone else math.inf

    @property
    def perplexity(self) -> float:
        """exp of s(A|Q)."""
        return math.exp(min(self.after_prompt, 700.0))


def answer_losses(
    decoder: Decoder,
    formatter: ChatFormatter,
    conversations: Sequence[Conversation],
    batch_size: int = 16,
) -> list[AnswerLoss | str]:
    """Losses of each last answer; a line instead says why there is none (too long, no answer).
    Raises InputError for a model that gives NaN."""
    longest = decoder.longest
    found: list[AnswerLoss | str] = []
    requests: list[Request] = []
    places: list[int] = []
    for place, conversation in enumerate(conversations):
        pair = _requests(formatter, conversation, longest)
        if isinstance(pair, str):
            found.append(pair)
            continue
        found.append("")
        places.append(place)
        requests += pair
    sums = numbers_only(likelihoods(decoder, requests, batch_size))
    for place, (after, alone) in zip(places, zip(sums[::2], sums[1::2], strict=True), strict=True):
        found[place] = AnswerLoss(
            -after.logprob / after.tokens, -alone.logprob / alone.tokens, after.tokens
        )
    return found


def _requests(
    formatter: ChatFormatter, conversation: Conversation, longest: int
) -> tuple[Request, Request] | str:
    try:
        tokens, mask = formatter.encode(conversation, train_on="last_answer")
    except InputError as error:
        return " ".join(str(error).split())
    answer = tuple(token for token, target in zip(tokens, mask, strict=True) if target)
    if not answer or not mask.index(True):
        return "there is no answer to score"
    if len(tokens) > longest:
        return f"{len(tokens)} tokens, and the model has room for {longest}"
    start = formatter.tokenizer.eos_id
    return Request(tuple(tokens[: mask.index(True)]), answer), Request((start,), answer)


@torch.inference_mode()
def embeddings(
    decoder: Decoder,
    formatter: ChatFormatter,
    conversations: Sequence[Conversation],
    batch_size: int = 16,
) -> NDArray[np.float32]:
    """[N, dim]: the mean over tokens of what the last layer gives. Of a conversation that is too
    long for the model, its beginning. Raises InputError where the template has no form for one,
    and for a model that gives NaN."""
    longest = decoder.longest
    rows = [formatter.encode(c, train_on="all").tokens[:longest] for c in conversations]
    found = np.zeros((len(rows), decoder.config.dim), np.float32)
    device = next(decoder.parameters()).device
    with evaluating(decoder):
        for places in by_length([len(row) for row in rows], batch_size):
            width = max(len(rows[place]) for place in places)
            padded = [rows[place] + [0] * (width - len(rows[place])) for place in places]
            # Padding comes last: nothing before sees it.
            hidden = decoder.hidden_states(torch.tensor(padded, device=device)).float()
            for row, place in enumerate(places):
                found[place] = hidden[row, : len(rows[place])].mean(dim=0).cpu().numpy()
    if not np.isfinite(found).all():
        raise InputError(
            "the model gives NaN or infinity for embeddings: see what its weights hold"
        )
    return found
