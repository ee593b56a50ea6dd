"""jusText: paragraphs judged by length, stop words and links."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from schemas.recipe import Extract
from stages.extract.contract import ExtractionError
from stages.extract.stop_lists import stop_list_for
from stages.extract.surrogates import without_surrogates

LENGTH_LOW_CHARS = 70
LENGTH_HIGH_CHARS = 200
STOPWORDS_LOW = 0.30
STOPWORDS_HIGH = 0.32
MAX_LINK_DENSITY = 0.2
"""The thresholds of Nemotron-CC's jusText step (NVIDIA-NeMo/Nemotron recipe scripts), which are
the library's defaults too."""

# lxml parses these, raw or as references, but refuses them when jusText's cleaner moves text
_NOT_XML = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
    "|&#0*(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45])(?![0-9]);?"
    "|&#x0*(?:[0-8bcef]|1[0-9a-f]|fff[ef])(?![0-9a-f]);?",
    re.IGNORECASE,
)


class JustextExtractor:
    """Callable as a stages.extract.Extractor; none of the recipe's options apply to it.

    The stop list is that of the language the page declares, English when it declares none. For a
    language without a list (Chinese, Japanese, Thai) both stop-word thresholds are 0, the
    library's language-independent mode: length and links alone decide.
    """

    options: Mapping[str, tuple[object, ...]] = {}

    def __call__(self, html: str, settings: Extract, url: str) -> str:
        """The good paragraphs with an empty line between them.

        Raises ExtractionError when jusText is not installed or breaks.
        """
        try:
            from justext import justext
            from lxml.etree import ParserError
        except ImportError as error:
            raise ExtractionError(f"jusText cannot be imported: {error}") from error
        stop_list = stop_list_for(html)
        html = _NOT_XML.sub(" ", without_surrogates(html))
        try:
            paragraphs = justext(
                html,
                _stop_words(stop_list),
                length_low=LENGTH_LOW_CHARS,
                length_high=LENGTH_HIGH_CHARS,
                stopwords_low=STOPWORDS_LOW if stop_list else 0.0,
                stopwords_high=STOPWORDS_HIGH if stop_list else 0.0,
                max_link_density=MAX_LINK_DENSITY,
            )
        except ParserError:  # "Document is empty"
            return ""
        except MemoryError:
            raise
        except Exception as error:
            raise ExtractionError(f"jusText: {type(error).__name__}: {error}") from error
        return "\n\n".join(p.text for p in paragraphs if not p.is_boilerplate)


@cache
def _stop_words(name: str | None) -> frozenset[str]:
    if name is None:
        return frozenset()
    from justext import get_stoplist

    return frozenset(get_stoplist(name))
