"""FastXPath gives what lxml gives, or refuses the expression."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml.etree import XPath
from lxml.html import HtmlElement, fromstring
from trafilatura import settings as library
from trafilatura import xpaths

from stages.extract.fast_xpath import EXSLT, FastXPath, Unsupported
from stages.extract.trafilatura_tuning import EXPRESSION_LISTS, tuning

VALUES = [
    "nav", "Nav-bar", "comments", "commentary", "Comment-list", "teaser", "TEASER", "hidden",
    "reply-1", "x reply-", "cookie", "cookie-banner", "footer", "article-content", "main-Content",
    "post", "entry", "bottom", "a bottom", "infinite-scroll", "mvp-post-add-box", "display:none",
    "border: 1px", "caption", "true", "shared", "", "é", "link",
]  # fmt: skip
TAGS = ["div", "p", "span", "section", "aside", "article", "main", "item", "list", "h1", "footer"]
ATTRIBUTES = ["id", "class", "style", "role", "aria-hidden", "itemprop", "data-component"]

attributes = st.lists(
    st.tuples(st.sampled_from(ATTRIBUTES), st.sampled_from(VALUES)),
    max_size=4,
    unique_by=lambda pair: pair[0],
)
elements = st.recursive(
    st.tuples(st.sampled_from(TAGS), attributes, st.just([])),
    lambda children: st.tuples(
        st.sampled_from(TAGS), attributes, st.lists(children, min_size=1, max_size=4)
    ),
    max_leaves=20,
)


def _build(shape: tuple[str, list[tuple[str, str]], list]) -> HtmlElement:  # type: ignore[type-arg]
    tag, pairs, children = shape
    element = fromstring("<div><b/></div>").makeelement(tag)
    for name, value in pairs:
        element.set(name, value)
    for child in children:
        element.append(_build(child))
    return element


def _library_expressions() -> list[str]:
    tuning().undo()
    expressions = [x.path for name in EXPRESSION_LISTS for x in getattr(xpaths, name)]
    return [*expressions, library.BASIC_CLEAN_XPATH.path]


LIBRARY = _library_expressions()
OWN = [
    ".//*[@id|@class='x']",
    ".//*[contains(@class|@id, 'foo') or starts-with(@id|@class, 'reply-')]",
    ".//*[re:test(@id|@class, 'nav|hid') or @role]",
    ".//*[self::div or self::p][@class='post'][1]",
    "(.//*[self::div or self::p][not(@id) or re:test(@class, 'NAV', 'i')])[1]",
    ".//*[@class][.//h1 or not(.//p)]",
    ".//div|.//*[contains(translate(@class, 'TN', 'tn'), 'tea')]|.//h1",
]


@pytest.mark.parametrize("expression", LIBRARY + OWN)
@settings(max_examples=40, deadline=None)
@given(shapes=st.lists(elements, min_size=1, max_size=3))
def test_equals_lxml(expression: str, shapes: list) -> None:  # type: ignore[type-arg]
    try:
        fast = FastXPath(expression)
    except Unsupported:
        return
    slow = XPath(expression, namespaces=EXSLT)
    for shape in shapes:
        tree = _build(("body", [], [shape]))
        assert fast(tree) == slow(tree)
        assert all(fast(child) == slow(child) for child in tree)


def test_most_expressions_of_the_library_are_in_the_subset() -> None:
    refused = []
    for expression in LIBRARY:
        try:
            FastXPath(expression)
        except Unsupported:
            refused.append(expression)
    assert len(refused) <= 1


@pytest.mark.parametrize(
    "expression",
    [
        "//div",
        ".//div/p",
        ".//*[@a and @b]",
        ".//*[2]",
        ".//*[position()=1]",
        ".//*[@a != 'x']",
        ".//*[re:test(@a, 'x', 'g')]",
        ".//*[translate(@a, 'abc', '') = 'x']",
        "(.//div)[1]|(.//p)[1]",
        ".//*[.//h1]",
        ".//*[@a",
        "",
    ],
)
def test_refuses_what_it_does_not_know(expression: str) -> None:
    with pytest.raises(Unsupported):
        FastXPath(expression)


def test_source_order_decides_a_union_even_for_equal_values() -> None:
    fast = FastXPath(".//*[starts-with(@id|@class, 'reply-')]")
    tree = fromstring('<div><p id="reply-1" class="b">x</p><p class="b" id="reply-1">y</p></div>')
    assert [element.text for element in fast(tree)] == ["x"]
    assert [element.text for element in fast(tree)] == ["x"]
