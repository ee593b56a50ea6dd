"""resiliparse: main content by rules in C++, a tenth of trafilatura's time."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.recipe import Extract
from stages.extract.contract import ExtractionError
from stages.extract.surrogates import without_surrogates


class ResiliparseExtractor:
    """Callable as a stages.extract.Extractor.

    `favor: recall` takes all visible text, the others the main content (the library has no more
    degrees, so validate_extract refuses `precision`). Bullets are kept; link targets, image
    descriptions, form fields and noscript are left out. DCLM-Baseline uses this library (Li et
    al. 2024, arXiv 2406.11794).
    """

    options: Mapping[str, tuple[object, ...]] = {
        "favor": ("balanced", "recall"),
        "include_comments": (False, True),
        "include_tables": (True, False),
    }

    def __call__(self, html: str, settings: Extract, url: str) -> str:
        """Main content with block structure as newlines.

        Raises ExtractionError when resiliparse is not installed or breaks.
        """
        try:
            from resiliparse.extract.html2text import extract_plain_text
        except ImportError as error:
            raise ExtractionError(f"resiliparse cannot be imported: {error}") from error
        try:
            return extract_plain_text(
                without_surrogates(html),
                preserve_formatting=True,
                main_content=settings.favor != "recall",
                list_bullets=True,
                alt_texts=False,
                links=False,
                form_fields=False,
                noscript=False,
                comments=settings.include_comments,
                skip_elements=None if settings.include_tables else ["table"],
            )
        except MemoryError:
            raise
        except Exception as error:
            raise ExtractionError(f"resiliparse: {type(error).__name__}: {error}") from error
