"""International bank account numbers: Presidio's recognizer (checksum, country format) with one
pattern of exact lengths.

Presidio's generic pattern takes as many groups of four as follow, so an IBAN whose length is a
multiple of four is lost when a word of four letters comes after it; nor does it see lower case.
"""

from __future__ import annotations

import re

from stages.pii.presidio import recognizers
from stages.pii.spans import Span

KIND = "iban"

LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18,
    "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30,
    "KW": 30, "KZ": 20, "LB": 28, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24,
    "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28,
    "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Characters of an IBAN by country (SWIFT IBAN Registry); those whose format Presidio knows."""

_SEPARATORS = "- \u00a0"
_SEED = re.compile(
    rf"(?<![A-Za-z0-9])[A-Za-z]{{2}}[0-9]{{2}}[{_SEPARATORS}]?[A-Za-z0-9]{{2}}", re.ASCII
)
_MAX_CHARS = 2 * max(LENGTHS.values()) + 2


class IbanFinder:
    """Presidio's IbanRecognizer from each place where two letters and two digits begin a word."""

    def __init__(self) -> None:
        base = recognizers().iban
        pattern = type(base.PATTERNS[0])("IBAN by country", _pattern(), 0.5)
        self._recognizer = base(
            patterns=[pattern],
            exact_match=True,
            regex_flags=re.IGNORECASE,
            replacement_pairs=[(mark, "") for mark in _SEPARATORS],
        )

    def find(self, text: str) -> list[Span]:
        """Account numbers of a known country with valid check digits."""
        return [
            span
            for match in _SEED.finditer(text)
            if match.group()[:2].upper() in LENGTHS
            for span in self.find_between(text, match.start(), match.start() + _MAX_CHARS)
        ]

    def find_between(self, text: str, start: int, end: int) -> list[Span]:
        """The recognizer on text[start:end] as it is."""
        found = []
        for result in self._recognizer.analyze(text[start:end], []):
            first, last = start + result.start, start + result.end
            value = re.sub(f"[{_SEPARATORS}]", "", text[first:last]).upper()
            found.append(Span(KIND, first, last, value))
        return found


def _pattern() -> str:
    countries: dict[int, list[str]] = {}
    for country, length in LENGTHS.items():
        countries.setdefault(length, []).append(country)
    forms = (
        rf"(?:{'|'.join(names)})[0-9]{{2}}(?:[{_SEPARATORS}]?[A-Z0-9]){{{length - 4}}}"
        for length, names in sorted(countries.items())
    )
    return rf"(?<![A-Za-z0-9])({'|'.join(forms)})(?![A-Za-z0-9])"
