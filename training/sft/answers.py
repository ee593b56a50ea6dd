"""Questions put to a model while it is fine-tuned."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from model.cross_entropy import CHUNK_TOKENS, IGNORED
from model.decoder import Decoder
from schemas.chat import Conversation
from schemas.errors import InputError
from training.assembly import Assembly
from training.chat import ChatFormatter
from training.data.validation import ValidationBatch
from training.evaluation.exact_match import exact_match, questions
from training.parallel.batch import on_device
from training.sft.config import Eval
from training.whole import whole_decoder

SHOWN_CHARACTERS = 100


class AnswersLook:
    """`exact_match` or `accuracy`: the first rank asks a decoder that holds the whole model.

    With several ranks that rank's device needs room for the whole model beside its part.
    """

    def __init__(
        self,
        run: Assembly,
        settings: Eval,
        formatter: ChatFormatter,
        asked: Sequence[Conversation],
        rows: Sequence[ValidationBatch],
    ) -> None:
        """`asked` are the conversations of exact_match, `rows` the same for accuracy."""
        self.every = settings.every
        self._run, self._settings, self._formatter = run, settings, formatter
        self._asked, self._rows = asked, rows

    def __call__(self, number: int) -> dict[str, Any]:
        """See `training.stage.Look`."""
        run = self._run
        with ExitStack() as stack:
            if run.average is not None:
                stack.enter_context(run.average.swapped())
            decoder = whole_decoder(run.parallel, run.shape)
            return run.together.on_first(lambda: self._ask(decoder, number))

    def _ask(self, decoder: Decoder | None, number: int) -> dict[str, Any]:
        assert decoder is not None
        run, settings = self._run, self._settings
        decoder.to(run.world.device)
        if settings.metric == "accuracy":
            dtype = getattr(torch, run.config.dtype)
            return {"accuracy": token_accuracy(decoder, self._rows, dtype)}
        found = exact_match(
            decoder,
            self._formatter,
            self._asked,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
        with run.folder.samples.open("a", encoding="utf-8") as handle:
            for row in found.rows:
                line = {"step": number, "prompt": row["prompt"], "text": row["answer"]}
                line["expected"] = row["expected"]
                handle.write(json.dumps(line, ensure_ascii=False) + "\n")
        if found.rows:
            first = " -> ".join((found.rows[0]["prompt"], found.rows[0]["answer"]))
            line_ = " ".join(first.split())[:SHOWN_CHARACTERS]
            run.notices.append(f"answer at step {number:,}: {line_}")
        return {"exact_match": found.share}


def askable(
    formatter: ChatFormatter, conversations: Iterable[Conversation], longest: int
) -> tuple[list[Conversation], list[str]]:
    """Conversations whose last answer can be asked for with at most `longest` tokens before it, and
    what is the matter with each of the others."""
    kept, problems = [], []
    for conversation in conversations:
        try:
            questions(formatter, [conversation], longest)
        except InputError as error:
            problems.append(str(error).partition(": ")[2])
        else:
            kept.append(conversation)
    return kept, problems


@torch.no_grad()
def token_accuracy(
    decoder: Decoder, rows: Sequence[ValidationBatch], dtype: torch.dtype = torch.float32
) -> float:
    """Share of targets that are the most probable token after those before them.

    Logits are those of targets alone, a chunk at a time: [N, V], never [B, T, V].
    """
    device = next(decoder.parameters()).device
    assert decoder.norm is not None
    assert decoder.head is not None
    right = targets = 0
    for made in rows:
        batch = on_device(made.rows, device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            hidden = decoder.hidden_states(batch.tokens, batch.positions, batch.documents)
            held = batch.labels != IGNORED
            labels = batch.labels[held].split(CHUNK_TOKENS)
            for part, expected in zip(hidden[held].split(CHUNK_TOKENS), labels, strict=True):
                logits = decoder.head(decoder.norm(part), None)
                right += int((logits.argmax(dim=-1) == expected).sum())
                targets += len(expected)
    return right / targets if targets else 0.0
