"""Phone numbers: Presidio's recognizer (phonenumbers) on the few places that can hold one.

The recognizer goes over a text once for each region, 3.4 ms a region and web page. Here it sees
only groups of digits that `phone_rules` could accept, with just enough text around them that it
finds in them what it would find in the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from schemas.errors import UsageError
from stages.pii import phone_rules
from stages.pii.presidio import recognizers
from stages.pii.spans import Span

KIND = "phone"

_RUN = re.compile(
    r"\d[\dx\-\u2010-\u2015\u2212\u30FC\uFF0D\uFF0F \u00A0\u00AD\u200B\u2060\u3000"
    r"()\uFF08\uFF09\uFF3B\uFF3D.\[\]/~\u2053\u223C\uFF5E]*",
    re.IGNORECASE,
)
"""A digit and all digits and punctuation that phonenumbers allows inside a number."""

_EXTENSION_LABEL = re.compile(
    r"[ \u00a0\t,]*"
    r"(?:;ext=|e?xt(?:ensi(?:o\u0301?|\u00f3))?n?|ｅ?ｘｔｎ?|доб|anexo|[ｘ#＃]|int|ｉｎｔ)?"
    r"[:.．]?[ \u00a0\t,-]*",
    re.IGNORECASE,
)
"""What phonenumbers allows between a number and its extension."""

_LEAD_CHARS = 13
"""Up to two brackets or plus signs, each with four separators, before a number; and the
character before them, which phonenumbers looks at."""
_TAIL_CHARS = 3
"""phonenumbers looks for ":00" behind a number that may be a time."""
_MAX_WINDOW_CHARS = 2_000
_OVERLAP_CHARS = 100
"""More than any number with its extension takes."""


class _Group(NamedTuple):
    """Runs of digits that phonenumbers could read as one number."""

    floor: int
    """End of the last digit before the group."""
    start: int
    """First digit."""
    last: int
    """End of the last digit."""
    end: int
    """End of the run, with its trailing punctuation."""


class PhoneFinder:
    """Presidio's PhoneRecognizer at the leniency that asks for valid numbers (1), by region.

    Raises UsageError for a region that phonenumbers does not know.
    """

    def __init__(self, regions: list[str]) -> None:
        recognizer_class = recognizers().phone
        import phonenumbers

        for region in regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise UsageError(
                    f"pii.phone_regions: {region!r} is no region; use two capital letters, as US"
                )
        self._recognizers = [
            recognizer_class(supported_regions=(region,), leniency=1) for region in regions
        ]

    def find(self, text: str) -> list[Span]:
        """Phone numbers with their extensions."""
        found: list[Span] = []
        for group in _groups(text):
            if _may_hold_a_phone(text, group):
                for start, end in _windows(text, group):
                    found.extend(self.find_between(text, start, end))
                found.extend(_by_shape(text, group))
        return found

    def find_between(self, text: str, start: int, end: int) -> list[Span]:
        """The recognizer on text[start:end] as it is, then the rules in the whole text."""
        window = text[start:end]
        found = []
        for recognizer in self._recognizers:
            for result in recognizer.analyze(window, []):
                first, last = start + result.start, start + result.end
                beside = phone_rules.word_beside(text, first, last)
                if (
                    beside or phone_rules.has_evidence(text, first, last)
                ) and not phone_rules.is_other_number(text, first, last, beside_a_word=beside):
                    found.append(_span(text, first, last))
        return found


def _groups(text: str) -> Iterator[_Group]:
    floor = 0
    group: _Group | None = None
    for run in _RUN.finditer(text):
        start, end = run.span()
        last = start + len(run.group().rstrip(_PUNCTUATION))
        if group is None:
            group = _Group(0, start, last, end)
        elif _joined(text, group.last, group.end, start):
            group = group._replace(last=last, end=end)
        else:
            yield group
            floor = group.last
            group = _Group(floor, start, last, end)
    if group is not None:
        yield group


_PUNCTUATION = "xX-‐‑‒–—―−ー－／ \u00a0\u00ad\u200b\u2060\u3000()（）［］.[]/~⁓∼～"


def _joined(text: str, last: int, end: int, start: int) -> bool:
    """Whether only the label of an extension stands between two runs of digits."""
    if start - end > 24 or _EXTENSION_LABEL.fullmatch(text, end, start) is None:
        return False
    gap = text[end:start]
    # A bare "," or ":" is a label only behind the x or ~ that the run before it has taken.
    return gap.strip(" \u00a0\t,.:．-") != "" or text[last:end].strip(" ").endswith(
        ("x", "X", "~", "～")
    )


def _may_hold_a_phone(text: str, group: _Group) -> bool:
    """False only where no span of the group can pass `phone_rules`."""
    if group.last - group.start < phone_rules.MIN_DIGITS:
        return False
    digits = sum(map(str.isdigit, text[group.start : group.last]))
    if digits < phone_rules.MIN_DIGITS:
        return False
    lead = max(group.floor, group.start - _LEAD_CHARS)
    return phone_rules.EVIDENCE.search(
        text, lead, group.end
    ) is not None or phone_rules.word_beside(text, group.start, group.last)


def _windows(text: str, group: _Group) -> Iterator[tuple[int, int]]:
    start = max(group.floor, group.start - _LEAD_CHARS)
    end = min(len(text), group.end + _TAIL_CHARS)
    # Rows of numbers without end: phonenumbers tries every way to split what it gets.
    while end - start > _MAX_WINDOW_CHARS:
        yield start, start + _MAX_WINDOW_CHARS
        start += _MAX_WINDOW_CHARS - _OVERLAP_CHARS
    yield start, end


def _by_shape(text: str, group: _Group) -> list[Span]:
    """Numbers that are phones by their grouping, or by the word beside them."""
    lead = max(group.floor, group.start - _LEAD_CHARS)
    found = []
    for match in phone_rules.UNMISTAKABLE.finditer(text, lead, group.end):
        if not phone_rules.is_other_number(text, *match.span(), beside_a_word=False):
            found.append(_span(text, *match.span()))
    if phone_rules.word_beside(text, group.start, group.last):
        found.extend(_beside_a_word(text, group, lead))
    return found


def _beside_a_word(text: str, group: _Group, lead: int) -> Iterator[Span]:
    start = group.start
    while start > lead and text[start - 1] in "+(":
        start -= 1
    match = phone_rules.AFTER_A_WORD.match(text, start)
    if match and not phone_rules.is_other_number(text, *match.span(), beside_a_word=True):
        yield _span(text, *match.span())


def _span(text: str, start: int, end: int) -> Span:
    digits = "".join(filter(str.isdigit, text[start:end]))
    return Span(KIND, start, end, digits)
