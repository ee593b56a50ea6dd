"""Training of a SentencePiece model from kept text, the same bytes on every machine."""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece

from schemas.errors import CorpusmillError, OutputError
from schemas.recipe import Tokenizer as TokenizerSettings

UNK_ID, BOS_ID, EOS_ID, PAD_ID = range(4)
"""Padding has an id of its own: with pad == eos the end of a document gets masked with it."""

NEWLINES = ("\n", "\n\n")
"""Pieces of their own: lines and paragraphs end in one token and merge with nothing else."""

SPACE_PIECE = "\u2581"
"""What SentencePiece writes for a space."""

_SENTENCE_CHARS = 1000
"""Longer lines are cut. SentencePiece drops whatever is longer than max_sentence_length."""

_MAX_UTF8_BYTES = 4
_LOWEST_COVERAGE = 0.98
_BYTE_PIECES = 256

_SEPARATORS = re.compile("[\n\0\u2581\u2585\ud800-\udfff]")
"""Sentences are cut at newlines, which are pieces of their own, and at what the trainer cannot
take: it drops sentences with U+2585 or NUL, which it reserves; U+2581 would be counted as a space
(the tokenizer writes it as bytes); lone surrogates are no UTF-8."""


def train_sentencepiece(texts: Iterable[str], target: Path, settings: TokenizerSettings) -> None:
    """Train a model on `texts` and write it to `target` (temporary name, then rename).

    Reads `texts` until `settings.sample_bytes` bytes of UTF-8 are reached and holds them in
    memory, as the trainer does. `settings.vocab_size` is an upper bound: a small corpus gets the
    pieces it supports. The same texts in the same order give the same file.

    Text is taken as it is (no Unicode normalisation, no dummy space in front, spaces kept, bytes
    for rare characters), so decoding gives back what was encoded and the encoding of a text does
    not depend on where it is cut out at a newline. Digits stand alone and unknown characters fall
    back to bytes as in LLaMA (arXiv 2302.13971, section 2.1).

    Raises:
        CorpusmillError: there is no text, or the trainer refuses it.
        OutputError: `target` cannot be written.
    """
    lines = list(_lines(texts, settings.sample_bytes))
    if not lines:
        raise CorpusmillError("cannot train a tokenizer: no text was kept; loosen the recipe")
    lines, coverage = _within_vocabulary(lines, settings)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=model,
            model_type=settings.type,
            vocab_size=settings.vocab_size,
            hard_vocab_limit=False,
            character_coverage=coverage,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            # Without a piece of its own a space would be written as the bytes of U+2581 and
            # come back as that character.
            required_chars=SPACE_PIECE,
            # Runs of spaces (code, tables) become pieces.
            allow_whitespace_only_pieces=True,
            split_digits=True,
            user_defined_symbols=list(NEWLINES),
            unk_id=UNK_ID,
            bos_id=BOS_ID,
            eos_id=EOS_ID,
            pad_id=PAD_ID,
            max_sentence_length=_SENTENCE_CHARS * _MAX_UTF8_BYTES,
            input_sentence_size=0,
            # The count goes into the model file, and unigram adds floats thread by thread.
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CorpusmillError(
            f"cannot train a {settings.type} tokenizer of {settings.vocab_size} pieces: {reason}"
        ) from error
    _write(target, model.getvalue())


def _lines(texts: Iterable[str], sample_bytes: int) -> Iterator[str]:
    """Training sentences: lines without reserved characters, long ones cut before a space."""
    taken_bytes = 0
    for text in texts:
        for line in _SEPARATORS.split(text):
            yield from _cut(line)
        taken_bytes += len(text.encode("utf-8", "replace"))
        if taken_bytes >= sample_bytes:
            return


def _cut(line: str) -> Iterator[str]:
    start = 0
    while len(line) - start > _SENTENCE_CHARS:
        end = start + _SENTENCE_CHARS
        space = line.rfind(" ", start + 1, end)
        end = space if space > 0 else end
        yield line[start:end]
        start = end
    if start < len(line):
        yield line[start:]


def _within_vocabulary(lines: list[str], settings: TokenizerSettings) -> tuple[list[str], float]:
    """The sentences and the coverage to ask the trainer for.

    The trainer refuses a vocabulary smaller than its required characters, and any coverage below
    0.98. Where the recipe's settings would meet either, rare characters are cut out of the
    sentences here: characters may take half of what bytes, special pieces and newlines leave.
    What is cut out falls back to bytes, as do the characters that the trainer leaves out.
    """
    special = PAD_ID + 1 + _BYTE_PIECES + len(NEWLINES) + len(SPACE_PIECE)
    room = (settings.vocab_size - special) // 2
    alphabet: set[str] = set()
    for line in lines:
        alphabet.update(line)
    if len(alphabet) <= room and settings.character_coverage >= _LOWEST_COVERAGE:
        return lines, settings.character_coverage
    counts: Counter[str] = Counter()
    for line in lines:
        counts.update(line)
    wanted = settings.character_coverage * counts.total()
    rare: dict[int, str] = {}
    covered = 0
    # Ties go by code point, so that only the text decides.
    for rank, (character, count) in enumerate(sorted(counts.items(), key=lambda c: (-c[1], c[0]))):
        if rank >= room or covered >= wanted:
            rare[ord(character)] = "\n"
        covered += count
    kept = (part for line in lines for part in line.translate(rare).split("\n") if part)
    return list(kept), 1.0


def _write(target: Path, model: bytes) -> None:
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(model)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write the tokenizer {target}: {error.strerror}") from error
