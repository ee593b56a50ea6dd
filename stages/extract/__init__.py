"""Main text of HTML pages: one file an extractor, and what happens to every text after it.

A new extractor is a new file and a line in EXTRACTORS.
"""

from __future__ import annotations

from schemas.errors import UsageError
from schemas.recipe import Extract
from stages.extract.contract import ExtractionError, Extractor
from stages.extract.justext_extractor import JustextExtractor
from stages.extract.raw import raw_text
from stages.extract.resiliparse_extractor import ResiliparseExtractor
from stages.extract.tidy import tidy
from stages.extract.trafilatura_extractor import TrafilaturaExtractor

__all__ = [
    "EXTRACTORS",
    "ExtractionError",
    "Extractor",
    "raw_text",
    "tidy",
    "validate_extract",
]

EXTRACTORS: dict[str, Extractor] = {
    "trafilatura": TrafilaturaExtractor(),
    "resiliparse": ResiliparseExtractor(),
    "justext": JustextExtractor(),
}
"""Name in the recipe -> extractor. The libraries are imported at the first page, not here."""

OPTIONS = ("favor", "fast", "deduplicate", "include_comments", "include_tables")
"""Settings that only some extractors act on."""


def validate_extract(settings: Extract) -> None:
    """Check the extractor's name and that it can act on every option.

    Raises UsageError: an option that would silently do nothing is a mistake in the recipe.
    """
    extractor = EXTRACTORS.get(settings.name)
    if extractor is None:
        raise UsageError(
            f"extract.name: no extractor {settings.name!r}; there are {', '.join(EXTRACTORS)}"
        )
    for option in OPTIONS:
        allowed = extractor.options.get(option, (Extract.model_fields[option].default,))
        if getattr(settings, option) not in allowed:
            raise UsageError(
                f"extract.{option}: {settings.name} allows {' or '.join(map(repr, allowed))} only"
            )
