"""What, besides its digits, makes a number a phone number.

That a number is valid in some region proves little: with nine regions, many a row of a table
is. So it needs evidence: an international prefix, a trunk zero or an area code in brackets,
a grouping that people write for phones, or a word for a phone beside it. Where the word is there,
the number counts even if it is valid in none of the regions.
"""

from __future__ import annotations

import re

MIN_DIGITS = 7
"""Local numbers of North America have seven digits; shorter ones are mostly service codes."""
MAX_DIGITS = 15
"""ITU-T E.164 6.1: digits of a number with its country code."""
_MIN_TRUNK_DIGITS = 9
"""0 and eight more: shorter national numbers with a trunk zero exist, but so do article codes."""

_SEP = r"[ \u00a0.\-]{1,3}"
_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,6}(?!\d))?"

EVIDENCE = re.compile(
    rf"""(?<!\d)(?:
      [+＋][ ]?[(]?[1-9] | 00[1-9] | [(（]\+?\d{{1,5}}[)）]
    | 0\d*[ \u00a0.\-/()]+\d
    | (?:1{_SEP})?\d{{3}}{_SEP}\d{{3}}{_SEP}\d{{4}}(?!\d)      # North America
    | [6-9]\d{{4}}[ -]\d{{5}}(?!\d)                            # India
    | 1[3-9]\d(?:\d{{8}}|([ -])\d{{4}}\1\d{{4}})(?!\d)         # China, mobile
    | \d\d[ ]9?\d{{4}}-\d{{4}}(?!\d)                           # Brazil
    | [6-9]\d\d(?:[ ]\d\d){{3}}(?!\d) | [89]\d[ ]\d{{3}}[ ]\d\d[ ]\d\d(?!\d)  # Spain
    )""".replace("[ ]", r"[ \u00a0]"),
    re.VERBOSE,
)
"""Beginnings and groupings of numbers that are phones if they are valid."""

UNMISTAKABLE = re.compile(
    rf"(?<![\d.\-])(?:"
    rf"(?:(?:001|\+?1)[ .\-])?(?:\(\d{{3}}\) ?\d{{3}}[-.]|\d{{3}}([-.])\d{{3}}\1)\d{{4}}"
    rf"|\+[1-9]\d{{0,2}}(?:[ .\-]?\(0\d{{0,4}}\))?(?:{_SEP}\(?\d{{1,8}}\)?){{2,6}}"
    rf")(?![\d]|[.\-]\d){_EXTENSION}"
)
"""Phones whatever a numbering plan says of the digits: North America's 3-3-4 with brackets,
hyphens or dots, and a plus with a country code and separate groups."""

AFTER_A_WORD = re.compile(
    rf"\+?\(?\d{{1,15}}\)?(?:(?:{_SEP}\(?|\()\d{{1,8}}\)?){{0,6}}(?!\d){_EXTENSION}"
)
"""What counts beside a word for a phone."""

_WORDS = (
    "tel", "tél", "telf", "tlf", "telefon", "telefono", "teléfono", "telefone", "telephone",
    "téléphone", "telefonnummer", "rufnummer", "ph", "phone", "cellphone", "telefax", "fax", "faks",
    "mobile", "mobil", "mob", "móvil", "cell", "celular", "cellulare", "handy", "hotline",
    "helpline", "whatsapp", "sms", "call", "dial", "ring", "answering", "тел", "телефон", "факс",
)  # fmt: skip
_FILLERS = "me|us|him|her|them|on|at|is|now|today|toll|free|our|office|no|nr|num|number|or|at"

_WORD_BEFORE = re.compile(
    rf"(?:(?<![^\W\d_])(?:{'|'.join(_WORDS)})(?![^\W\d_])|电话|手机|热线|传真|電話|携帯|手機|☎|📞|℡)"
    rf"(?:[^\w\n]{{1,4}}(?:{_FILLERS})(?!\w))*[^\w\n]{{0,4}}$",
    re.IGNORECASE,
)
_WORD_AFTER = re.compile(r"[ \-(,]{1,2}(?:office|fax|mobile|cell|phone|tel)\b", re.IGNORECASE)
_CONTEXT_CHARS = 40

_NOT_BEFORE = re.compile(
    r"(?:\b(?:isbn(?:-?1[03])?|issn|doi|ssn|sku|ean|upc|asin|pmid|arxiv|patent|iban|vin|lat|lon|lng"
    r"|latitude|longitude|serial)(?:\s(?:no|number|is))*\W{0,3}"
    r"|[/=_&?@\\$€£¥]|[^\W\d_]-|\d[:,.-]|−)$",
    re.IGNORECASE,
)
_NOT_AFTER = re.compile(r"[_=&@\\%$€£¥°]|/\w|[:,]\d|\s?(?:€|USD|EUR|GBP)")

_OTHER_NUMBERS = re.compile(
    r"\d{3}-\d{2}-\d{4}"  # US social security number
    r"|\d{1,3}(?:\.\d{1,3}){3}"  # IPv4 address
    r"|97[89][- ]?(?:\d[- ]?){9}\d"  # ISBN-13
)
_AMOUNTS = re.compile(r"\d{1,3}([. \u00a0])\d{3}(?:\1\d{3})*|-?\d{1,3}\.\d{4,}")
"""Thousands in groups of three; decimals and coordinates."""

_ISBN_10 = re.compile(r"\d+-\d+-\d+-\d")

DATES = re.compile(
    r"(?<!\d)(?:1[5-9]|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?<!\d)(?<!\d[-/.])(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2"
    r"(?:(?:1[5-9]|20)\d\d|\d\d)(?!\d|[-/.]\d)"
    r"|(?<!\d)(?:1[5-9]|20)\d\d ?[-–—/] ?(?:1[5-9]|20)\d\d(?!\d)"
    r"|(?<!\d)(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[ T-]?[0-2]\d[0-5]\d)?(?!\d)"
)
"""Dates, spans of years and time stamps."""


def word_beside(text: str, start: int, end: int) -> bool:
    """Whether a word for a phone stands right before or after text[start:end], digit to digit."""
    before = text[max(0, start - _CONTEXT_CHARS) : start].rstrip("+＋([（［ ")
    return bool(_WORD_BEFORE.search(before) or _WORD_AFTER.match(text, end))


def is_other_number(text: str, start: int, end: int, *, beside_a_word: bool) -> bool:
    """Whether text[start:end] is too short or long for a phone number, or some other number:
    an amount, a date, an ISBN, an address, a part of a URL."""
    written = text[start:end]
    digits = sum(map(str.isdigit, re.split("[xeX]", written, maxsplit=1)[0]))
    if not MIN_DIGITS <= digits <= MAX_DIGITS:
        return True
    if text[start - 1 : start].isdigit() or text[end : end + 1].isdigit():
        return True
    if _OTHER_NUMBERS.fullmatch(written) or _is_isbn_10(written) or _NOT_AFTER.match(text, end):
        return True
    if any(date.end() > start for date in DATES.finditer(text, max(0, start - 8), end)):
        return True
    if beside_a_word or written[0] in "+＋":
        return False
    before = text[max(0, start - _CONTEXT_CHARS) : start]
    return bool(_AMOUNTS.fullmatch(written) or _NOT_BEFORE.search(before))


def has_evidence(text: str, start: int, end: int) -> bool:
    """Whether the way text[start:end] is written speaks for a phone number."""
    if not EVIDENCE.match(text, start):
        return False
    if text[start] != "0" or text.startswith("00", start):
        return True
    return sum(map(str.isdigit, text[start:end])) >= _MIN_TRUNK_DIGITS


def _is_isbn_10(written: str) -> bool:
    if len(written) != 13 or not _ISBN_10.fullmatch(written):
        return False
    digits = written.replace("-", "")
    return sum((10 - i) * int(digit) for i, digit in enumerate(digits)) % 11 == 0
