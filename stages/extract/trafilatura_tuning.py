"""Make trafilatura faster without changing a character of what it extracts.

Three things cost it a third of its time (profile of the 1,849 pages of data/warc_pages):
expressions with `re:test`, which libxml2 evaluates by calling Python for each element; lxml's
choice of the element class, a Python call for each element touched; and hashing the tuple of all
154,484 jusText stop words at each call of jusText. tune() swaps these for equal and faster ones in
the loaded library, only for versions whose output was compared (benchmarks/extraction.py
--compare-tuning, and the tests).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
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

Undo = Callable[[], None]


def tune() -> Undo:
    """Speed up the loaded trafilatura for this process; returns what puts the originals back.

    Does nothing for a version that was not verified. Also silences trafilatura's log, which
    writes a line to stderr for every page it discards: the caller accounts for those pages.
    """
    logger = logging.getLogger("trafilatura")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    undos: list[Undo] = [lambda: logger.setLevel(level)]
    if version("trafilatura") in VERIFIED_VERSIONS:
        undos += [_expressions(), _element_class(), _stop_words()]

    def undo() -> None:
        for step in reversed(undos):
            step()

    return undo


def _faster(expression: XPath) -> XPath | FastXPath:
    if not isinstance(expression, XPath):
        return expression
    try:
        return FastXPath(expression.path)
    except Unsupported:
        return expression


def _expressions() -> Undo:
    lists: list[list[XPath | FastXPath]] = [getattr(xpaths, name) for name in EXPRESSION_LISTS]
    originals = [list(expressions) for expressions in lists]
    basic_clean = settings.BASIC_CLEAN_XPATH
    for expressions in lists:
        expressions[:] = [_faster(expression) for expression in expressions]
    BASELINE.BASIC_CLEAN_XPATH = _faster(basic_clean)

    def undo() -> None:
        for expressions, original in zip(lists, originals, strict=True):
            expressions[:] = original
        BASELINE.BASIC_CLEAN_XPATH = basic_clean

    return undo


def _element_class() -> Undo:
    """Plain HtmlElement for every tag, chosen in C.

    lxml.html has classes of its own for form, input, select, textarea and label; they add form
    properties that trafilatura does not use.
    """
    HTML_PARSER.set_element_class_lookup(
        ElementDefaultClassLookup(
            element=HtmlElement,
            comment=HtmlComment,
            pi=HtmlProcessingInstruction,
            entity=HtmlEntity,
        )
    )
    return lambda: HTML_PARSER.set_element_class_lookup(HtmlElementClassLookup())


def _stop_words() -> Undo:
    """A frozenset keeps its hash, a tuple computes it at every look-up of the cached stop list."""
    original = EXTERNAL.jt_stoplist_init
    words = EXTERNAL.JT_STOPLIST

    def frozen() -> frozenset[str]:
        all_words = frozenset(original())
        EXTERNAL.JT_STOPLIST = all_words
        return all_words

    EXTERNAL.jt_stoplist_init, EXTERNAL.JT_STOPLIST = frozen, None

    def undo() -> None:
        EXTERNAL.jt_stoplist_init, EXTERNAL.JT_STOPLIST = original, words

    return undo
