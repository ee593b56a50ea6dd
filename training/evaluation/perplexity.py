"""Perplexity and bits per byte of texts, by sliding windows in which each token counts once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from schemas.errors import InputError, UsageError
from training.data.origin import read_sources
from training.data.shards import ShardReader
from training.evaluation.likelihood import Request, likelihoods, numbers_only
from training.evaluation.records import read_records, text_field
from training.evaluation.subject import Subject
from training.evaluation.task import Figure, Options, Result

_PART = 64
"""Batches that are sorted by length together."""


class Document(NamedTuple):
    """A text as the model reads it."""

    source: str
    tokens: list[int]
    given: int
    """Tokens at the beginning that are not scored: nothing is before them."""
    size: int
    """UTF-8 bytes of what is scored."""


class Window(NamedTuple):
    """A stretch of a document: the tokens from `start` to `end` - 1, of which those from `first`
    on are scored."""

    start: int
    first: int
    end: int


def run(subject: Subject, options: Options) -> Result:
    """Nats a token, perplexity and bits a byte of each source, and of all together.

    Files are JSONL (`text`, optional `source`), any other text file (one document), or the
    manifest.json of shards, of which a split is taken. A document is for itself: its tokens see
    nothing of others. Its first token is context alone, unless BOS begins it; the EOS of documents
    in shards are scored, as in training, and texts get none. Raises InputError, UsageError.
    """
    path = options.needs_data("a JSONL or text file, or the manifest.json of shards")
    longest = subject.decoder.longest
    window = longest if options.window is None else options.window
    if not 2 <= window <= longest:
        raise UsageError(f"--window {window}: the model has room for 2 to {longest} tokens")
    stride = max(1, window // 2) if options.stride is None else options.stride
    if not 1 <= stride <= window:
        raise UsageError(f"--stride {stride}: is not from 1 to the window, {window}")
    documents = read_documents(path, subject, options)
    totals: dict[str, _Sums] = {}
    for batch in _in_parts(documents, _PART * options.batch_size * stride):
        for document, nats, count in _scored(subject, batch, window, stride, options.batch_size):
            totals.setdefault(document.source, _Sums()).add(nats, count, document.size)
    if not any(sums.tokens for sums in totals.values()):
        raise InputError(f"{path}: has no document of two tokens: nothing to score")
    everything = _Sums()
    for sums in totals.values():
        everything.add(sums.nats, sums.tokens, sums.size, sums.documents)
    figures = everything.figures("")
    if len(totals) > 1:
        for name in sorted(totals, key=lambda name: (-totals[name].tokens, name)):
            figures += totals[name].figures(name)
    settings = {"data": str(path), "window": window, "stride": stride}
    return Result(figures, everything.documents, settings)


def windows(tokens: int, given: int, window: int, stride: int) -> Iterator[Window]:
    """Windows whose scored parts are the tokens from `given` on, each once.

    A window holds `window` tokens of context at most, and the one after them, which is only
    scored. From the second on, `stride` tokens are scored in each, the last one's rest, all of
    them behind as much context as a window has.
    """
    end = min(tokens, window + 1)
    first = max(given, 1)
    while first < end:
        yield Window(max(0, end - window - 1), first, end)
        first, end = end, min(tokens, end + stride)


def read_documents(path: Path, subject: Subject, options: Options) -> Iterator[Document]:
    """The documents of a file, at most `limit`. Raises InputError, UsageError."""
    if path.name.endswith(".json"):
        yield from _of_shards(path, subject, options)
        return
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        try:
            # Not read_text, which makes one character of "\r\n".
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as UTF-8: {error}") from error
        yield _document(path.name, text, subject, str(path))
        return
    for place, values in read_records(path, options.limit):
        source = values.get("source")
        name = source if isinstance(source, str) and source else path.name
        yield _document(name, text_field(place, values, "text"), subject, f"{place}: text")


def _document(source: str, text: str, subject: Subject, place: str) -> Document:
    try:
        tokens = subject.tokenizer.encode(text).tolist()
    except InputError as error:
        raise InputError(f"{place}: {error}") from error
    size = len(text.encode())
    bos = subject.tokenizer.bos_id
    if subject.bos and bos is not None:
        return Document(source, [bos, *tokens], 1, size)
    if tokens:
        # A piece may hold a space that SentencePiece has put before the text, or nothing else.
        lead = subject.tokenizer.decode(tokens[:1])
        known = text.startswith(lead)
        size -= len(lead.encode()) if known else int(_byte_lengths(subject)[tokens[0]])
    return Document(source, tokens, 1, size)


def _of_shards(path: Path, subject: Subject, options: Options) -> Iterator[Document]:
    reader = ShardReader(path)
    if options.split not in reader.splits:
        raise UsageError(f"--split {options.split}: {path} has {', '.join(reader.splits)}")
    if reader.manifest.vocab_size != subject.tokenizer.vocab_size:
        raise InputError(
            f"{path}: its tokens are of a vocabulary of {reader.manifest.vocab_size}, the model's "
            f"tokenizer has {subject.tokenizer.vocab_size}"
        )
    if reader.manifest.eos_id != subject.tokenizer.eos_id:
        raise InputError(
            f"{path}: its documents end with token {reader.manifest.eos_id}, those of the model's "
            f"tokenizer with {subject.tokenizer.eos_id}: it is another tokenizer"
        )
    lengths, bos = _byte_lengths(subject), subject.tokenizer.bos_id
    names = read_sources(reader, options.split)
    for number, ids in enumerate(reader.documents(options.split)):
        if number == options.limit:
            return
        tokens = ids.tolist()
        first = [bos] if subject.bos and bos is not None else []
        scored = np.asarray(tokens if first else tokens[1:], dtype=np.int64)
        yield Document(str(names[number]), [*first, *tokens], 1, int(lengths[scored].sum()))


def _byte_lengths(subject: Subject) -> np.ndarray:
    return subject.tokenizer.byte_lengths()


def _in_parts(documents: Iterable[Document], tokens: int) -> Iterator[list[Document]]:
    """Documents in parts that are batched together, so that not all texts are held at once."""
    part: list[Document] = []
    size = 0
    for document in documents:
        part.append(document)
        size += len(document.tokens)
        if size >= tokens:
            yield part
            part, size = [], 0
    if part:
        yield part


def _scored(
    subject: Subject, documents: Sequence[Document], window: int, stride: int, batch_size: int
) -> Iterator[tuple[Document, float, int]]:
    """Nats and number of scored tokens of each document."""
    requests: list[Request] = []
    owners: list[int] = []
    for number, document in enumerate(documents):
        for start, first, end in windows(len(document.tokens), document.given, window, stride):
            context, rest = document.tokens[start:first], document.tokens[first:end]
            requests.append(Request(tuple(context), tuple(rest)))
            owners.append(number)
    nats, counts = [0.0] * len(documents), [0] * len(documents)
    found = numbers_only(likelihoods(subject.decoder, requests, batch_size))
    for owner, one in zip(owners, found, strict=True):
        nats[owner] -= one.logprob
        counts[owner] += one.tokens
    return zip(documents, nats, counts, strict=True)


class _Sums:
    """What was found of a source until now."""

    def __init__(self) -> None:
        self.nats, self.tokens, self.size, self.documents = 0.0, 0, 0, 0

    def add(self, nats: float, tokens: int, size: int, documents: int = 1) -> None:
        self.nats += nats
        self.tokens += tokens
        self.size += size
        self.documents += documents

    def figures(self, group: str) -> list[Figure]:
        if not self.tokens:
            return []
        loss = self.nats / self.tokens
        # A model far from the text has a perplexity beyond what a float holds.
        perplexity = math.exp(loss) if loss < 700 else math.inf
        found = [
            Figure("nats_per_token", loss, group, count=self.tokens),
            Figure("perplexity", perplexity, group, count=self.tokens),
        ]
        if self.size > 0:
            bits = self.nats / math.log(2) / self.size
            found.append(Figure("bits_per_byte", bits, group, count=self.size))
        return found
