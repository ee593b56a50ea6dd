"""What an extractor is and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from schemas.errors import CorpusmillError
from schemas.recipe import Extract


class ExtractionError(CorpusmillError):
    """An extractor that is not installed or broke on a page; the caller makes it a Failure."""


class Extractor(Protocol):
    """Main text out of a decoded HTML page.

    The text depends on the arguments alone, never on pages seen before. An empty string means
    that the extractor found no text. Raises ExtractionError, and lets MemoryError through.
    """

    options: Mapping[str, tuple[object, ...]]
    """Field of schemas.recipe.Extract -> the values it acts on; the others keep their default."""

    def __call__(self, html: str, settings: Extract, url: str) -> str:
        """Extract `html`; `url` is only for messages."""
        ...
