"""What a model answers to prompts, greedily."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from model.decoder import Decoder
from model.generate import generate
from training.tokenizers import Tokenizer, continuation


@contextmanager
def evaluating(decoder: Decoder) -> Iterator[None]:
    """Evaluation mode for the time being."""
    training = decoder.training
    decoder.eval()
    try:
        yield
    finally:
        decoder.train(training)


def by_length(sizes: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Numbers of items in batches of like sizes, the largest first: little padding, and what does
    not fit into memory shows at once."""
    order = sorted(range(len(sizes)), key=lambda number: -sizes[number])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def greedy_answers(
    decoder: Decoder,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop_ids: Collection[int],
    batch_size: int = 32,
) -> list[str]:
    """The text that continues each prompt up to a token of `stop_ids`, which is left out.

    Prompts of a batch are padded on the left, which changes nothing (see `model.generate`). Raises
    UsageError as `generate` does.
    """
    answers = [""] * len(prompts)
    with evaluating(decoder):
        for rows in by_length([len(prompt) for prompt in prompts], batch_size):
            found = generate(
                decoder,
                [prompts[row] for row in rows],
                max_new_tokens=max_new_tokens,
                temperature=0,
                eos_id=stop_ids,
            )
            for row, completion in zip(rows, found, strict=True):
                stopped = completion.finish_reason == "stop"
                tokens = completion.tokens[:-1] if stopped else completion.tokens
                answers[row] = continuation(tokenizer, prompts[row], tokens)
    return answers
