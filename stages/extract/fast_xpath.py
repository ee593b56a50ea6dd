"""A subset of XPath 1.0 as plain Python, for expressions that test an element's own attributes.

libxml2 calls back into Python for every `re:test(...)`, once an element and an attribute; on web
pages that is a quarter of trafilatura's time. Here a look-up for each attribute of an element in a
table of values seen before settles nearly all; conditions are evaluated only for the rest.

The subset (XPath 1.0, https://www.w3.org/TR/xpath-10/; EXSLT regular expressions):

    PATH:      .//name or .//*, then [self::a or self::b], then any number of [CONDITION]
    whole:     PATH|PATH|..., or PATH[1] (first among siblings), or (PATH)[1] (first in the tree)
    CONDITION: or-chains of @a, @a='v', contains, starts-with, re:test, self::name, not(...)
    strings:   @a, @a|@b (the attribute that comes first in the source), translate(@a, 'X', 'x')

In a single PATH a condition after the first may be anything that lxml can evaluate and is left to
it. Everything else raises Unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from lxml.etree import XPath, _Element

REMEMBERED_VALUES = 4_096
"""Attribute values kept for one attribute of one expression before starting afresh."""
REMEMBERED_CHARACTERS = 200
"""Longer values (styles with pictures in them) are tested each time: a table stays below 2 MB."""

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


NO, PERHAPS, YES = 0, 1, 2
"""What an attribute's value says about a chain that watches it."""


class _Remembered(dict[str, int]):
    """Value of one attribute -> NO, PERHAPS or YES, found out at the first look-up."""

    def __init__(self, leaves: Sequence[_Leaf]) -> None:
        super().__init__()
        self._certain = [leaf.holds for leaf in leaves if len(leaf.names) == 1]
        self._uncertain = [leaf.holds for leaf in leaves if len(leaf.names) > 1]

    def __missing__(self, value: str) -> int:
        answer = NO
        if any(holds(value) for holds in self._certain):
            answer = YES
        elif any(holds(value) for holds in self._uncertain):
            answer = PERHAPS
        if len(value) <= REMEMBERED_CHARACTERS:
            if len(self) >= REMEMBERED_VALUES:
                self.clear()
            self[value] = answer
        return answer


@dataclass(frozen=True)
class _Chain:
    """Conditions joined by `or`."""

    leaves: tuple[_Leaf, ...]
    others: tuple[Test, ...]

    def __call__(self, node: Node) -> bool:
        return any(test(node) for test in self.others) or any(
            leaf.holds(_first_value(node, leaf.names)) for leaf in self.leaves
        )

    def watched(self) -> list[tuple[str, _Remembered]] | None:
        """Attributes whose values tell that the chain cannot hold; None: it may hold anyway."""
        if self.others or any(leaf.holds(None) for leaf in self.leaves):
            return None
        names = dict.fromkeys(name for leaf in self.leaves for name in leaf.names)
        return [
            (name, _Remembered([leaf for leaf in self.leaves if name in leaf.names]))
            for name in names
        ]


def _first_value(node: Node, names: tuple[str, ...]) -> str | None:
    """XPath's string value of a union is that of its first node in the source."""
    if len(names) == 1:
        return node.attributes.get(names[0])
    return next((value for name, value in node.attributes.items() if name in names), None)


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

    def _or_chain(self) -> _Chain:
        leaves: list[_Leaf] = []
        others: list[Test] = []
        while True:
            condition = self._condition()
            if isinstance(condition, _Leaf):
                leaves.append(condition)
            else:
                others.append(condition)
            if not self._accept("or"):
                return _Chain(tuple(leaves), tuple(others))

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
        self._names = frozenset(parser.names)
        self._tags = self._path.tags or ("*",)
        self._expression = expression
        tests = self._path.tests
        self._watched = tests[0].watched() if tests and isinstance(tests[0], _Chain) else None
        # YES for the first condition settles it where that is the only one
        self._settled = YES if len(tests) == 1 and not self._path.filters else YES + 1

    def __str__(self) -> str:
        return self._expression

    def _matches(self, element: _Element) -> bool:
        names = self._names
        attributes = {name: value for name, value in element.items() if name in names}
        path = self._path
        return path.matches(Node(str(element.tag), attributes)) and all(
            keep(element) for keep in path.filters
        )

    def _matching(self, tree: _Element) -> Iterator[_Element]:
        elements = tree.iterdescendants(self._tags)
        watched, settled, matches = self._watched, self._settled, self._matches
        if watched is None:
            yield from filter(matches, elements)
            return
        for element in elements:
            get = element.get
            for name, answers in watched:
                value = get(name)
                if value is not None and (answer := answers[value]):
                    if answer >= settled or matches(element):
                        yield element
                    break

    def __call__(self, tree: _Element) -> list[_Element]:
        """The matching descendants of `tree` in document order."""
        matching = self._matching(tree)
        if self._path.first == "siblings":
            return _first_of_siblings(matching)
        return list(islice(matching, 1 if self._path.first == "tree" else None))


def _first_of_siblings(elements: Iterable[_Element]) -> list[_Element]:
    firsts: dict[_Element | None, _Element] = {}
    for element in elements:
        firsts.setdefault(element.getparent(), element)
    return list(firsts.values())
