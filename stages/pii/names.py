"""Names of persons, by a spaCy model: the one kind that needs spaCy, and only when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from schemas.errors import InputError
from stages.pii.presidio import INSTALL_HINT
from stages.pii.spans import Span

KIND = "name"

_LABELS = frozenset({"PERSON", "PER"})
"""What English models (OntoNotes) and most others (WikiNER) call a person."""

_NOT_NEEDED = ("parser", "tagger", "morphologizer", "attribute_ruler", "lemmatizer", "senter")
_CHUNK_CHARS = 50_000
"""spaCy's memory grows with the text (about 1 GB for 100,000 words) and it refuses 1,000,000
characters; names do not cross paragraphs."""

_EDGES = re.compile(r"^\W+|(?:['’]s)?\W*$")


class NameFinder:
    """Persons by the named-entity model `model`, a package's name or a folder.

    Raises InputError when spaCy or the model is not installed.
    """

    def __init__(self, model: str) -> None:
        try:
            import spacy
        except ImportError as error:
            raise InputError(INSTALL_HINT) from error
        try:
            self._pipeline = spacy.load(model, exclude=_NOT_NEEDED)
        except OSError as error:
            raise InputError(
                f"pii.spacy_model: no spaCy model {model!r}; install its package or give a folder"
            ) from error

    def find(self, text: str) -> list[Span]:
        """Names, without a possessive 's."""
        found: list[Span] = []
        for start, end in _chunks(text):
            for entity in self._pipeline(text[start:end]).ents:
                if entity.label_ in _LABELS:
                    found.extend(_span(text, start + entity.start_char, start + entity.end_char))
        return found


def _chunks(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > _CHUNK_CHARS:
        limit = start + _CHUNK_CHARS
        cut = max(text.rfind("\n", start, limit), text.rfind(" ", limit - 200, limit)) + 1
        end = cut if cut > start else limit
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def _span(text: str, start: int, end: int) -> Iterator[Span]:
    # A line break inside a name is a model's mistake about the layout: keep the first line.
    name = text[start:end].split("\n", 1)[0]
    left = len(name) - len(re.sub(r"^\W+", "", name))
    bare = _EDGES.sub("", name)
    if bare:
        yield Span(KIND, start + left, start + left + len(bare), " ".join(bare.casefold().split()))
