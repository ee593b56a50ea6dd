"""A subset of XPath 1.0 as plain Python, for expressions that test an element's own attributes.

libxml2 calls back into Python for every `re:test(...)`, once an element and an attribute; on web
pages that is a quarter of trafilatura's time. The verdict on an element depends on its tag and a
few attribute strings alone, and those repeat within a page and a site, so it is remembered here.

The subset (XPath 1.0, https://www.w3.org/TR/xpath-10/; EXSLT regular expressions):

    PATH:      .//name or .//*, then [self::a or self::b], then any number of [CONDITION]
    whole:     PATH|PATH|..., or PATH[1] (first among siblings), or (PATH)[1] (first in the tree)
    CONDITION: or-chains of @a, @a='v', contains, starts-with, re:test, self::name, not(...)
    strings:   @a, @a|@b (the attribute that comes first in the source), translate(@a, 'X', 'x')

In a single PATH a condition after the first may be anything that lxml can evaluate; it is left to
lxml, for the few elements that reach it. Everything else raises Unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from lxml.etree import XPath, _Element

REMEMBERED_VERDICTS = 20_000
"""Attribute combinations kept for one expression before starting afresh: a few MB at most."""
REMEMBERED_VALUES = 4_096
"""Attribute values kept for one group of conditions."""

EXSLT = {"re": "http://exslt.org/regular-expressions"}


class Unsupported(ValueError):
    """The expression lies outside the subset."""


class Node(NamedTuple):
    """What the verdict on an element may depend on."""

    tag: str
    attributes: Mapping[str, str]
    """Only those that the expression names, in source order."""


Test = Callable[[Node], bool]
ValueTest = Callable[[str | None], bool]


class _Leaf(NamedTuple):
    """A condition on one string: the first in the source of the named attributes, or None."""

    names: tuple[str, ...]
    holds: ValueTest


class _Path(NamedTuple):
    tags: tuple[str, ...]
    """Empty: every element."""
    tests: tuple[Test, ...]
    filters: tuple[XPath, ...]
    """Predicates left to lxml, applied to an element that passed the tests."""
    first: str
    """Which matches count: `all`, `siblings` (a last [1]) or `tree` (a whole (...)[1])."""

    def matches(self, node: Node) -> bool:
        if self.tags and node.tag not in self.tags:
            return False
        return all(test(node) for test in self.tests)


_TOKEN = re.compile(
    r"""\s*('[^']*'|"[^"]*"|@?[A-Za-z][\w-]*(?:::?[A-Za-z][\w-]*)?|\.//|[][()*|,=]|1)"""
)


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, expression: str) -> None:
        self._tokens: list[str] = []
        self._at = 0
        self.names: dict[str, None] = {}
        """Every attribute looked at."""
        self.ordered = False
        """Whether some string is a union, so that the source order of attributes matters."""
        position, text = 0, expression.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise Unsupported(expression)
            self._tokens.append(match.group(1))
            position = match.end()

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            raise Unsupported(f"{token or 'the end'} instead of {expected or 'more'}")
        self._at += 1
        return token

    def _accept(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def parse(self) -> _Path:
        whole = self._accept("(")
        path = self._path()
        if whole:
            for token in (")", "[", "1", "]"):
                self._next(token)
            path = path._replace(first="tree")
        paths = [path]
        while self._accept("|"):
            paths.append(self._path())
        if self._peek():
            raise Unsupported(self._peek())
        return path if len(paths) == 1 else self._union(paths)

    @staticmethod
    def _union(paths: list[_Path]) -> _Path:
        if any(path.filters or path.first != "all" for path in paths):
            raise Unsupported("a union of more than plain paths")
        tags = [tag for path in paths for tag in path.tags]
        if not all(path.tags for path in paths):
            tags = []
        matches = [path.matches for path in paths]
        return _Path(tuple(tags), (lambda node: any(m(node) for m in matches),), (), "all")

    def _path(self) -> _Path:
        self._next(".//")
        name = self._next()
        if name != "*" and not name.isalnum():
            raise Unsupported(name)
        tags: tuple[str, ...] = () if name == "*" else (name,)
        tests: list[Test] = []
        filters: list[XPath] = []
        first = "all"
        while first == "all" and self._accept("["):
            if self._accept("1"):
                self._next("]")
                first = "siblings"
            elif not tags and not tests and (names := self._self_chain()):
                tags = names
            elif filters:
                filters.append(self._left_to_lxml())
            else:
                self._test_or_filter(tests, filters)
        return _Path(tags, tuple(tests), tuple(filters), first)

    def _self_chain(self) -> tuple[str, ...]:
        """The names of a predicate that is only `self::a or self::b ...`, else nothing."""
        start, names = self._at, []
        while self._peek().startswith("self::"):
            names.append(self._next().removeprefix("self::"))
            if not self._accept("or"):
                break
        if self._accept("]"):
            return tuple(names)
        self._at = start
        return ()

    def _test_or_filter(self, tests: list[Test], filters: list[XPath]) -> None:
        start = self._at
        try:
            test = self._or_chain()
            self._next("]")
            tests.append(test)
        except Unsupported:
            if not tests:
                raise
            self._at = start
            filters.append(self._left_to_lxml())

    def _left_to_lxml(self) -> XPath:
        start, depth = self._at, 1
        while depth:
            depth += {"[": 1, "]": -1}.get(self._next(), 0)
        return XPath(f"self::*[{' '.join(self._tokens[start : self._at - 1])}]", namespaces=EXSLT)

    def _or_chain(self) -> Test:
        """Conditions on the same string become one group that remembers its values."""
        groups: dict[tuple[str, ...], list[ValueTest]] = {}
        tests: list[Test] = []
        while True:
            condition = self._condition()
            if isinstance(condition, _Leaf):
                groups.setdefault(condition.names, []).append(condition.holds)
            else:
                tests.append(condition)
            if not self._accept("or"):
                break
        tests += [_group_test(names, holds) for names, holds in groups.items()]
        return lambda node: any(test(node) for test in tests)

    def _condition(self) -> _Leaf | Test:
        token = self._next()
        if token.startswith("@"):
            name = self._attribute(token)
            if self._accept("="):
                wanted = self._literal()
                return _Leaf((name,), lambda value: value == wanted)
            return _Leaf((name,), lambda value: value is not None)
        if token.startswith("self::"):
            tag = token.removeprefix("self::")
            return lambda node: node.tag == tag
        if token == "not":
            self._next("(")
            inner = self._or_chain()
            self._next(")")
            return lambda node: not inner(node)
        if token in _STRING_TESTS:
            return self._string_condition(_STRING_TESTS[token])
        raise Unsupported(token)

    def _string_condition(self, build: Callable[[Sequence[str]], Callable[[str], bool]]) -> _Leaf:
        self._next("(")
        table: dict[int, int] = {}
        if self._accept("translate"):
            self._next("(")
            names = self._attribute_union()
            self._next(",")
            old = self._literal()
            self._next(",")
            new = self._literal()
            self._next(")")
            if len(old) != len(new) or len(set(old)) != len(old):
                raise Unsupported("translate that is no plain replacement")
            table = str.maketrans(old, new)
        else:
            names = self._attribute_union()
        arguments = []
        while self._accept(","):
            arguments.append(self._literal())
        self._next(")")
        holds = build(arguments)
        return _Leaf(names, lambda value: holds((value or "").translate(table)))

    def _attribute_union(self) -> tuple[str, ...]:
        names = {self._attribute(self._next())}
        while self._accept("|"):
            names.add(self._attribute(self._next()))
            self.ordered = True
        return tuple(sorted(names))

    def _attribute(self, token: str) -> str:
        if not token.startswith("@"):
            raise Unsupported(token)
        self.names[token[1:]] = None
        return token[1:]

    def _literal(self) -> str:
        token = self._next()
        if token[0] not in "'\"":
            raise Unsupported(token)
        return token[1:-1]


def _group_test(names: tuple[str, ...], tests: list[ValueTest]) -> Test:
    @lru_cache(maxsize=REMEMBERED_VALUES)
    def holds(value: str | None) -> bool:
        return any(test(value) for test in tests)

    if len(names) == 1:
        name = names[0]
        return lambda node: holds(node.attributes.get(name))
    # XPath's string value of a union is that of its first node in the source
    return lambda node: holds(next((v for k, v in node.attributes.items() if k in names), None))


def _only(arguments: Sequence[str]) -> str:
    if len(arguments) != 1:
        raise Unsupported(f"{len(arguments)} arguments")
    return arguments[0]


def _contains(arguments: Sequence[str]) -> Callable[[str], bool]:
    wanted = _only(arguments)
    return lambda text: wanted in text


def _starts_with(arguments: Sequence[str]) -> Callable[[str], bool]:
    wanted = _only(arguments)
    return lambda text: text.startswith(wanted)


def _re_test(arguments: Sequence[str]) -> Callable[[str], bool]:
    # lxml evaluates EXSLT expressions with Python's re, so the pattern means the same here
    flags = re.IGNORECASE if list(arguments[1:]) == ["i"] else 0
    search = re.compile(_only(arguments[:1] if flags else arguments), flags).search
    return lambda text: search(text) is not None


_STRING_TESTS: dict[str, Callable[[Sequence[str]], Callable[[str], bool]]] = {
    "contains": _contains,
    "starts-with": _starts_with,
    "re:test": _re_test,
}


class FastXPath:
    """A compiled expression; called with an element, it gives what the lxml XPath object gives.

    Raises Unsupported on construction for an expression outside the subset.
    """

    def __init__(self, expression: str) -> None:
        parser = _Parser(expression)
        self._path = parser.parse()
        self._names = tuple(parser.names)
        # with more than one attribute present, a union depends on which comes first
        self._most_absent = len(self._names) - 1 if parser.ordered else -1
        self._tags = self._path.tags or ("*",)
        self._expression = expression
        self._verdicts: dict[tuple[str | None, ...], bool] = {}

    def __str__(self) -> str:
        return self._expression

    def _verdict(self, element: _Element, key: tuple[str | None, ...]) -> bool:
        names = self._names
        found = [name for name in element.keys() if name in names]  # noqa: SIM118 - an element
        node = Node(str(element.tag), {name: element.get(name, "") for name in found})
        if len(self._verdicts) >= REMEMBERED_VERDICTS:
            self._verdicts.clear()
        verdict = self._verdicts[key] = self._path.matches(node)
        return verdict

    def __call__(self, tree: _Element) -> list[_Element]:
        """The matching descendants of `tree` in document order."""
        names, filters, first = self._names, self._path.filters, self._path.first
        known, most_absent = self._verdicts.get, self._most_absent
        found = []
        for element in tree.iterdescendants(self._tags):
            key = (element.tag, *map(element.get, names))
            if key.count(None) < most_absent:
                key += tuple(name for name in element.keys() if name in names)  # noqa: SIM118
            verdict = known(key)
            if verdict is None:
                verdict = self._verdict(element, key)
            if verdict and all(keep(element) for keep in filters):
                found.append(element)
                if first == "tree":
                    break
        return _first_of_siblings(found) if first == "siblings" else found


def _first_of_siblings(elements: list[_Element]) -> list[_Element]:
    firsts: dict[_Element | None, _Element] = {}
    for element in elements:
        firsts.setdefault(element.getparent(), element)
    return list(firsts.values())
