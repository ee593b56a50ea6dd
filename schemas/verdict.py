"""What became of a page: kept as a Draft, Rejected by one rule, or an Error."""

from __future__ import annotations

from typing import NamedTuple


class Rejection(NamedTuple):
    """Why a document was turned down: the first rule, in the recipe's order, that it broke."""

    stage: str
    """page, url, decode, gate, extract, language, quality, dedup, or tokens."""
    rule: str
    """Dotted rule name, for example ``gopher_quality.words_min``."""
    value: float | None
    """The measured value; None where a rule is a plain yes or no."""
    threshold: float | None
    rule_version: int = 1
    detail: str = ""
    """What matched, for rules over lists (the blocked domain, the hard word)."""


class Failure(NamedTuple):
    """Why a page could not be judged at all."""

    stage: str
    error: str
    """Short machine-readable reason: timeout, crash, out_of_memory, undecodable, ..."""
    detail: str


class GateSample(NamedTuple):
    """What the language gate may want to see of a page's raw text, kept by an annotated run."""

    characters: int
    """Of the whole raw text, white space collapsed."""
    middle: str
    """A window from the middle of it."""
    start: str
    """The first characters, as they were: the text sample of a page that the gate drops."""


class Annotation(NamedTuple):
    """What an annotated run notes beside the measurements."""

    verdict: Rejection | None
    """What the run's own recipe says: the first broken rule; None: it would keep the page."""
    gate: GateSample | None
    """None where there was no HTML."""


class Outcome(NamedTuple):
    """The end of one page's way through refine(). Exactly one of the last three is meaningful:
    `rejection`, `failure`, or neither (kept)."""

    id: str
    """32 hex digits over URL, date and payload: content, never position (DESIGN 2.7)."""
    url: str
    host: str
    text: str
    language: str
    language_score: float
    mime: str
    charset: str
    extractor: str
    n_chars: int
    n_words: int
    content_hash: str
    """32 hex digits over the normalised text; empty unless kept."""
    url_key: int
    """Unsigned 64-bit hash of the normalised URL; 0 when there is no URL."""
    bands: bytes
    """Little-endian uint64 per MinHash band; empty when the document has too few words."""
    signals: dict[str, float]
    seconds_by_step: dict[str, float]
    """CPU seconds in this process, by step name."""
    rejection: Rejection | None = None
    failure: Failure | None = None
    annotation: Annotation | None = None
    """Of an annotated run: `text` is then the text before edits, `signals` are all, and only
    pages without text are rejected."""

    @property
    def kept(self) -> bool:
        """Neither rejected nor failed."""
        return self.rejection is None and self.failure is None
