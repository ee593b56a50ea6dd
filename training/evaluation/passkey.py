"""How far back a model finds a key that was hidden in its context."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

from schemas.errors import UsageError
from training.evaluation.answers import greedy_answers
from training.evaluation.passkey_text import Drawn, answer_room, draw_key, hide_keys
from training.evaluation.subject import Subject
from training.evaluation.task import Figure, Options, Result, share
from training.tokenizers import prompt_tokens


def run(subject: Subject, options: Options) -> Result:
    """Share of keys found, by length and depth; a length is that of text and answer, in tokens.

    The same options ask for the same keys, whatever the model, and the texts of a length have as
    many sentences. Raises UsageError for lengths that the model has no room for, or in which no
    key can be hidden.
    """
    longest = subject.decoder.longest
    lengths = options.lengths or (longest,)
    if max(lengths) > longest:
        raise UsageError(
            f"--lengths {max(lengths)}: the model has room for {longest} tokens; to look beyond: "
            f"--set max_seq_len={max(lengths)}, and rope.scaling and rope.factor for a stretch"
        )
    if options.depths < 1 or options.trials < 1 or options.digits < 1:
        raise UsageError("--depths, --trials and --digits are whole numbers from 1 on")
    drawn = {length: _drawn(length, options) for length in lengths}
    room = answer_room(subject.tokenizer, (one.key for keys in drawn.values() for one in keys))
    extra = int(subject.bos and subject.tokenizer.bos_id is not None)
    asked = [
        (length, text)
        for length, keys in drawn.items()
        for text in hide_keys(subject.tokenizer, length - extra, room, keys)
    ]
    answers = greedy_answers(
        subject.decoder,
        subject.tokenizer,
        [prompt_tokens(subject.tokenizer, text.text, bos=subject.bos) for _, text in asked],
        max_new_tokens=room,
        stop_ids={subject.tokenizer.eos_id},
        batch_size=options.batch_size,
    )
    rows: list[dict[str, Any]] = [
        {
            "length": length,
            "depth": round(text.depth, 3),
            "key": text.key,
            "answer": answer,
            "found": int(_begins_with(answer, text.key)),
        }
        for (length, text), answer in zip(asked, answers, strict=True)
    ]
    names = ("depths", "trials", "digits", "seed")
    settings = {"lengths": list(lengths), **{name: getattr(options, name) for name in names}}
    return Result(_figures(rows), len(rows), settings, rows)


def _drawn(length: int, options: Options) -> list[Drawn]:
    """`trials` keys at each of the depths, which are spread evenly from 0 to 1."""
    steps = max(options.depths - 1, 1)
    return [
        draw_key(
            depth / steps,
            options.digits,
            random.Random(f"{options.seed}/{length}/{depth}/{trial}"),
        )
        for depth in range(options.depths)
        for trial in range(options.trials)
    ]


def _begins_with(answer: str, key: str) -> bool:
    """With one more digit it is another number."""
    text = answer.strip()
    return text.startswith(key) and not text[len(key) : len(key) + 1].isdigit()


def _figures(rows: list[dict[str, Any]]) -> list[Figure]:
    """Of everything, of each length, and of each length and depth."""
    cells: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        cells[""].append(row["found"])
        cells[f"length {row['length']}"].append(row["found"])
    for row in rows:
        cells[f"length {row['length']} depth {row['depth']:.2f}"].append(row["found"])
    return [share("found", sum(cell), len(cell), name) for name, cell in cells.items()]
