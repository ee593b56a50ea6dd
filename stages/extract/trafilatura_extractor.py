"""trafilatura, as a pure function of one page.

Library defaults stay as they are (settings.cfg of 2.3.1: MIN_EXTRACTED_SIZE 250, MIN_OUTPUT_SIZE 1,
MIN_DUPLCHECK_SIZE 100, MAX_REPETITIONS 2, MAX_FILE_SIZE 20 MB); no settings file of the user is
read. EXTRACTION_TIMEOUT concerns trafilatura's command line only: the limit here is the CPU limit
of the process (extract.cpu_seconds).

trafilatura reports a page it discards (no text, a duplicate body) and a ValueError inside it in
the same way, as None: both become an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schemas.recipe import Extract
from stages.extract.contract import ExtractionError

PAGES_BETWEEN_RESETS = 100
"""Pages after which the library's string caches are emptied. They hold up to 1,024 strings each,
and one string may be the whole text of a large page."""


class TrafilaturaExtractor:
    """Callable as a stages.extract.Extractor; acts on every option of the recipe."""

    options: Mapping[str, tuple[object, ...]] = {
        "favor": ("balanced", "precision", "recall"),
        "fast": (False, True),
        "deduplicate": (False, True),
        "include_comments": (False, True),
        "include_tables": (True, False),
    }

    def __init__(self) -> None:
        self._extract: Callable[..., str | None] | None = None
        self._segment_cache: Callable[[], Any] = object
        self._clear_caches: tuple[Callable[[], None], ...] = ()
        self._pages = 0

    def __call__(self, html: str, settings: Extract, url: str) -> str:
        """What trafilatura.extract gives for the page, or an empty string.

        Raises ExtractionError when trafilatura is not installed or breaks, RecursionError included.
        """
        extract = self._extract or self._load()
        self._pages += 1
        if self._pages % PAGES_BETWEEN_RESETS == 0:
            for clear in self._clear_caches:
                clear()
        try:
            text = extract(
                html,
                url=url or None,
                fast=settings.fast,
                favor_precision=settings.favor == "precision",
                favor_recall=settings.favor == "recall",
                include_comments=settings.include_comments,
                include_tables=settings.include_tables,
                # A cache of the page's own: with True, segments of earlier pages of this process
                # count as repetitions, and text goes missing depending on what came before.
                deduplicate=self._segment_cache() if settings.deduplicate else False,
            )
        except MemoryError:
            raise
        except Exception as error:
            raise ExtractionError(f"trafilatura: {type(error).__name__}: {error}") from error
        return text or ""

    def _load(self) -> Callable[..., str | None]:
        """Import the library at the first page of a process (0.4 s) and speed it up."""
        try:
            from trafilatura import extract
            from trafilatura.deduplication import LRUCache
            from trafilatura.settings import LRU_SIZE
            from trafilatura.utils import line_processing, trim

            from stages.extract.trafilatura_tuning import tuning
        except ImportError as error:
            raise ExtractionError(f"trafilatura cannot be imported: {error}") from error
        tuning().apply()
        self._segment_cache = lambda: LRUCache(maxsize=LRU_SIZE)
        self._clear_caches = (line_processing.cache_clear, trim.cache_clear)
        self._extract = extract
        return extract
