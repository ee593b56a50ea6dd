"""Make trafilatura faster without changing a character of what it extracts.

Three things cost it a third of its time (profile of the 1,849 pages of data/warc_pages):
expressions with `re:test`, which libxml2 evaluates by calling Python for each element; lxml's
choice of the element class, a Python call for each element touched; and hashing the tuple of all
154,484 jusText stop words at each call of jusText. Tuning swaps these for equal and faster ones in
the loaded library, only for versions whose output was compared (benchmarks/extraction.py
--compare-tuning, and the tests).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

from lxml.etree import ElementDefaultClassLookup, XPath
from lxml.html import (
    HtmlComment,
    HtmlElement,
    HtmlElementClassLookup,
    HtmlEntity,
    HtmlProcessingInstruction,
)
from trafilatura import external, settings, xpaths
from trafilatura.utils import HTML_PARSER

from stages.extract.fast_xpath import FastXPath, Unsupported

VERIFIED_VERSIONS = frozenset({"2.3.1"})
"""Versions of trafilatura whose output was compared page by page; others are left alone."""

EXPRESSION_LISTS = (
    "BODY_XPATH",
    "COMMENTS_XPATH",
    "REMOVE_COMMENTS_XPATH",
    "REMOVE_COMMENTS_AND_LISTS_XPATH",
    "RAW_TREE_PRUNE_XPATH",
    "OVERALL_DISCARD_XPATH",
    "TEASER_DISCARD_XPATH",
    "PRECISION_DISCARD_XPATH",
    "DISCARD_IMAGE_ELEMENTS",
    "COMMENTS_DISCARD_XPATH",
)
"""Names in trafilatura.xpaths. The lists are changed in place, since other modules hold them."""

# `trafilatura.baseline` as an attribute is the function of that name
BASELINE: Any = sys.modules["trafilatura.baseline"]
EXTERNAL: Any = external

Swap = tuple[Callable[[], None], Callable[[], None]]
"""What puts a faster part in, and what puts the original back."""


class Tuning:
    """The faster parts, made once; apply() and undo() change the loaded library.

    Holds nothing for a version of trafilatura that was not verified, but its log is silenced in
    any case: it writes a line to stderr for every page it discards, and the caller accounts for
    those pages.
    """

    def __init__(self) -> None:
        self._swaps: list[Swap] = [_log()]
        if version("trafilatura") in VERIFIED_VERSIONS:
            self._swaps += [*_expressions(), _basic_cleaning(), _element_class(), _stop_words()]

    def apply(self) -> None:
        """Speed up this process's trafilatura."""
        for swap_in, _ in self._swaps:
            swap_in()

    def undo(self) -> None:
        """Put everything back."""
        for _, swap_out in self._swaps:
            swap_out()


@cache
def tuning() -> Tuning:
    """The one Tuning of this process; a second would take the first one's parts for originals."""
    return Tuning()


def _log() -> Swap:
    logger = logging.getLogger("trafilatura")
    level = logger.level
    return lambda: logger.setLevel(logging.CRITICAL + 1), lambda: logger.setLevel(level)


def _faster(expression: XPath) -> XPath | FastXPath:
    try:
        return FastXPath(expression.path)
    except Unsupported:
        return expression


def _expressions() -> list[Swap]:
    def swap(expressions: list[XPath | FastXPath]) -> Swap:
        original = list(expressions)
        faster = [_faster(expression) for expression in original]
        return lambda: expressions.__setitem__(
            slice(None), faster
        ), lambda: expressions.__setitem__(slice(None), original)

    return [swap(getattr(xpaths, name)) for name in EXPRESSION_LISTS]


def _basic_cleaning() -> Swap:
    original = settings.BASIC_CLEAN_XPATH
    faster = _faster(original)

    def use(expression: XPath | FastXPath) -> None:
        BASELINE.BASIC_CLEAN_XPATH = expression

    return lambda: use(faster), lambda: use(original)


def _element_class() -> Swap:
    """Plain HtmlElement for every tag, chosen in C.

    lxml.html has classes of its own for form, input, select, textarea and label; they add form
    properties that trafilatura does not use.
    """
    plain = ElementDefaultClassLookup(
        element=HtmlElement,
        comment=HtmlComment,
        pi=HtmlProcessingInstruction,
        entity=HtmlEntity,
    )
    original = HtmlElementClassLookup()
    return (
        lambda: HTML_PARSER.set_element_class_lookup(plain),
        lambda: HTML_PARSER.set_element_class_lookup(original),
    )


def _stop_words() -> Swap:
    """A frozenset keeps its hash, a tuple computes it at every look-up of the cached stop list."""
    original, words = EXTERNAL.jt_stoplist_init, EXTERNAL.JT_STOPLIST
    frozen: frozenset[str] | None = None

    def initialise() -> frozenset[str]:
        nonlocal frozen
        frozen = frozenset(original())
        EXTERNAL.JT_STOPLIST = frozen
        return frozen

    def use() -> None:
        EXTERNAL.jt_stoplist_init, EXTERNAL.JT_STOPLIST = initialise, frozen

    def put_back() -> None:
        EXTERNAL.jt_stoplist_init, EXTERNAL.JT_STOPLIST = original, words

    return use, put_back
