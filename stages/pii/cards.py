"""Payment card numbers: Presidio's recognizer (Luhn) with a wider pattern and issuer prefixes.

Presidio's own pattern misses Mastercard's 2-series, 12-digit and 17 to 19-digit numbers, and takes
any 16 digits beginning with 1, 3 or 6, of which one in ten passes Luhn's check by chance.
"""

from __future__ import annotations

import re

from stages.pii.presidio import recognizers
from stages.pii.spans import Span

KIND = "credit_card"

_SEPARATORS = "- \u00a0"
_MARK = rf"([{_SEPARATORS}])"
_SHAPES = {
    "one block": r"\d{12,19}",
    "fours": rf"\d{{4}}{_MARK}\d{{4}}\1\d{{4}}\1\d{{1,4}}",
    "fours and three": rf"(?:\d{{4}}{_MARK})(?:\d{{4}}\1){{3}}\d{{3}}",
    "four, six, four or five": rf"\d{{4}}{_MARK}\d{{6}}\1\d{{4,5}}",
}
"""One pattern each, so that a security code or a date behind a number does not hide it."""
_SEED = re.compile(rf"\d(?:[{_SEPARATORS}]?\d){{11,}}")

_ISSUED = re.compile(
    r"(?:4\d{15}|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|(?:2131|1800)\d{11}"
    r"|35(?:2[89]|[3-8]\d)\d{12}|6(?:011|4[4-9]\d|5\d\d|2\d\d)\d{12})"
)
"""Prefix and length as the issuers give them (ISO/IEC 7812 numbers): Visa 16, Mastercard 16,
American Express 15, Diners 14, JCB 15 and 16, Discover and UnionPay 16."""

_ISSUED_RARE = re.compile(r"(?:4\d{12}|4\d{16,18}|35\d{14}|5[0678]\d{10,17}|6\d{11,18})")
"""Old 13-digit and new 19-digit Visa, unassigned JCB, Maestro: prefixes and lengths that
article numbers and database ids share, so they count only after a word for a card."""

_CARD_WORD = re.compile(
    r"(?i:card|visa|amex|american express|credit|debit|maestro|discover|diners|jcb|karte|carte"
    r"|tarjeta|cart[ãa]o|carta|карт)|\bCC\b|卡"
)
_CONTEXT_CHARS = 60
_NUMBERS_BEFORE = re.compile(rf"(?<!\d)\d{{4}}[{_SEPARATORS}]$")
_NUMBERS_AFTER = re.compile(rf"[{_SEPARATORS}]\d{{4}}(?!\d)")


class CardFinder:
    """Presidio's CreditCardRecognizer on the stretches of at least twelve digits."""

    def __init__(self) -> None:
        base = recognizers().credit_card
        pattern_class = type(base.PATTERNS[0])
        self._recognizer = base(
            patterns=[
                pattern_class(name, rf"(?<!\w)(?<!\d[.,])(?:{shape})(?!\w)(?![.,]\d)", 0.3)
                for name, shape in _SHAPES.items()
            ],
            replacement_pairs=[(mark, "") for mark in _SEPARATORS],
        )

    def find(self, text: str) -> list[Span]:
        """Numbers with a valid check digit and a known issuer prefix."""
        return [
            span
            for match in _SEED.finditer(text)
            for span in self.find_between(text, max(0, match.start() - 2), match.end() + 2)
        ]

    def find_between(self, text: str, start: int, end: int) -> list[Span]:
        """The recognizer on text[start:end] as it is, then the checks in the whole text."""
        found = []
        for result in self._recognizer.analyze(text[start:end], []):
            first, last = start + result.start, start + result.end
            digits = re.sub(f"[{_SEPARATORS}]", "", text[first:last])
            if _is_card(text, first, last, digits):
                found.append(Span(KIND, first, last, digits))
        return found


def _is_card(text: str, start: int, end: int, digits: str) -> bool:
    if not digits.isascii():
        return False
    # A row of numbers in a table: one piece of it in ten passes the check.
    if end - start > len(digits) and (
        _NUMBERS_BEFORE.search(text[max(0, start - 6) : start]) or _NUMBERS_AFTER.match(text, end)
    ):
        return False
    if _ISSUED.fullmatch(digits):
        return True
    before = text[max(0, start - _CONTEXT_CHARS) : start]
    return bool(_ISSUED_RARE.fullmatch(digits) and _CARD_WORD.search(before))
