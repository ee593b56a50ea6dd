"""The text of a payload: one decision about its character encoding, made once.

Order of trust: HTTP header, byte order mark, `<meta>` or XML declaration, detector. Labels are
resolved as browsers do (WHATWG Encoding Standard), so that "iso-8859-1" means windows-1252. A
claim is dropped when it contradicts the bytes. Single-byte charsets accept any bytes, so their
claim counts only while the bytes are not valid UTF-8: text of another charset practically never
is by chance.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

import webencodings
from resiliparse.parse.encoding import detect_encoding

META_BYTES = 4096
"""How far a declaration is looked for: the HTML Standard asks for 1024, pages do it later."""
DETECTOR_BYTES = 128 << 10
MOSTLY_UTF8 = 4
"""Valid multi-byte characters per undecodable sequence from which damaged UTF-8 is UTF-8 all the
same; one is enough where the page says that it is UTF-8. windows-1252 text hardly holds a valid
sequence at all; a page with one pasted quotation mark in another charset holds hundreds."""
FOREIGN_SHARE = 0.005
"""Non-ASCII bytes per byte of markup below which a detector has too little to tell single-byte
charsets apart (it takes an English page with four curly quotes for windows-1250), so that the
Web's default, windows-1252, is the better guess. Measured on the undeclared pages and on
translated pages written in legacy charsets: wrong answers end at 0.0043, right ones begin above."""
CERTAIN_UTF8 = 12
"""Multi-byte characters from which valid UTF-8 outweighs a claim of a multi-byte charset: a few
GBK characters can be valid UTF-8 by chance, a sentence cannot."""

_HIGH_BYTES = bytes(range(0x80, 0x100))
_REPLACEMENT = "�"
_HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META_CHARSET = re.compile(
    rb"<meta\b[^>]{1,500}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:\-]+)", re.IGNORECASE
)
_XML_ENCODING = re.compile(
    rb"^\s*<\?xml\b[^>]{1,200}?encoding\s*=\s*[\"']\s*([A-Za-z0-9_.:\-]+)", re.IGNORECASE
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16le"),
    (codecs.BOM_UTF16_BE, "utf-16be"),
)
_CODECS = {
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "x-user-defined": "cp1252",
}
"""WHATWG name -> Python codec, where the standard's encoding is a superset of the namesake."""
_DETECTED = {
    "cp949": "euc-kr",
    "uhc": "euc-kr",
    "cp932": "shift_jis",
    "cp950": "big5",
    "big5hkscs": "big5",
    "iso2022_jp": "iso-2022-jp",
}
"""Detector's name -> WHATWG name, where `webencodings` does not know the former. (The detector's
own mapping turns Korean into UTF-8.)"""
_MULTI_BYTE = frozenset({"gbk", "gb18030", "big5", "shift_jis", "euc-kr", "euc-jp", "iso-2022-jp"})
_WIDE = frozenset({"utf-16le", "utf-16be"})


class Decoded(NamedTuple):
    """Text that Arrow and UTF-8 accept, and how it was read."""

    text: str
    charset: str
    """WHATWG name in lower case."""
    origin: str
    """http, bom, meta, xml, detector, or fallback when nothing fitted."""
    replaced: int
    """Replacement characters that stand for undecodable bytes."""


class _Claim(NamedTuple):
    charset: str
    origin: str


def decode(body: bytes, content_type: str = "") -> Decoded:
    """Decode a payload with the HTTP Content-Type that came with it. Never raises."""
    ascii_only = body.isascii()
    utf8 = None if ascii_only else _strict(body, "utf-8")
    claims = list(_claims(body, content_type))
    for claim in claims:
        text = _accept(body, claim, ascii_only, utf8)
        if text is not None:
            return _result(text, claim, 0)
    if utf8 is not None or (ascii_only and b"\0" not in body):
        text = utf8 if utf8 is not None else body.decode("ascii")
        agreeing = [c for c in claims if c.charset == "utf-8"]
        return _result(text, agreeing[0] if agreeing else _Claim("utf-8", "detector"), 0)
    return _undeclared(body, claims)


def _claims(body: bytes, content_type: str) -> Iterator[_Claim]:
    """What header, byte order mark and markup say, most trusted first."""
    bom = next((name for mark, name in _BOMS if body.startswith(mark)), "")
    match = _HEADER_CHARSET.search(content_type)
    http = _resolve(match[1]) if match else ""
    # A mark is part of the bytes: it refutes a claim that can never be refuted by decoding.
    if bom and http != "utf-8" and http not in _WIDE:
        yield _Claim(bom, "bom")
    if http:
        yield _Claim(http, "http")
    if bom:
        yield _Claim(bom, "bom")
    head = body[:META_BYTES]
    meta = _META_CHARSET.search(_COMMENT.sub(b"", head))
    if meta and (name := _resolve(meta[1].decode("ascii"))):
        # Markup that can be read as ASCII is not UTF-16: HTML Standard, 13.2.3.2, step 5.
        yield _Claim("utf-8" if name in _WIDE else name, "meta")
    xml = _XML_ENCODING.search(head)
    if xml and (name := _resolve(xml[1].decode("ascii"))):
        yield _Claim("utf-8" if name in _WIDE else name, "xml")


def _resolve(label: str) -> str:
    """WHATWG name of a label, or an empty string for a label that nobody knows."""
    if not label.isascii():
        return ""
    encoding = webencodings.lookup(label) or webencodings.lookup(label.replace("_", "-"))
    if encoding is None or encoding.name == "replacement":
        # "replacement" stands for charsets that browsers refuse to read at all.
        return ""
    return str(encoding.name)


def _codec(charset: str) -> str:
    """Python codec of a WHATWG name."""
    if charset in _CODECS:
        return _CODECS[charset]
    encoding = webencodings.lookup(charset)
    return str(encoding.codec_info.name) if encoding is not None else charset


def _strict(body: bytes, charset: str) -> str | None:
    try:
        return body.decode(_codec(charset))
    except (UnicodeError, LookupError):
        return None


def _accept(body: bytes, claim: _Claim, ascii_only: bool, utf8: str | None) -> str | None:
    """The text under a claim that the bytes bear out, otherwise None."""
    if claim.charset == "utf-8":
        return body.decode("ascii") if ascii_only else utf8
    if claim.charset in _WIDE:
        # UTF-16 markup has a zero byte in nearly every character.
        return _strict(body, claim.charset) if b"\0" in body[:META_BYTES] else None
    if utf8 is not None:
        wide_characters = sum(1 for byte in body[: 1 << 16] if byte >= 0xC0)
        if claim.charset not in _MULTI_BYTE or wide_characters >= CERTAIN_UTF8:
            return None
    elif not ascii_only and _damaged_utf8(body, MOSTLY_UTF8) is not None:
        return None
    return _strict(body, claim.charset)


def _damaged_utf8(body: bytes, valid_per_bad: float) -> tuple[str, int] | None:
    """Text and number of bad sequences when the bytes are UTF-8 but for a few."""
    text = body.decode("utf-8", "replace")
    replaced = text.count(_REPLACEMENT) - body.count(b"\xef\xbf\xbd")
    valid = len(text) - len(text.encode("ascii", "ignore")) - replaced
    return (text, replaced) if valid >= valid_per_bad * replaced else None


def _undeclared(body: bytes, claims: list[_Claim]) -> Decoded:
    """No claim fits the bytes: UTF-8 with some damage, what the detector says, or the claim or
    guess that loses least."""
    wide = _wide_without_mark(body)
    if wide and (text := _strict(body, wide)) is not None:
        return _result(text, _Claim(wide, "detector"), 0)
    agreeing = [c for c in claims if c.charset == "utf-8"]
    damaged = _damaged_utf8(body, 1 if agreeing else MOSTLY_UTF8)
    if damaged is not None:
        claim = agreeing[0] if agreeing else _Claim("utf-8", "detector")
        return _result(damaged[0], claim, damaged[1])
    guesses = [*_guesses(body), _Claim("windows-1252", "fallback")]
    for guess in guesses:
        if (text := _strict(body, guess.charset)) is not None:
            return _result(text, guess, 0)
    decoded = [(claim, *_lenient(body, claim.charset)) for claim in [*claims, *guesses]]
    claim, text, replaced = min(decoded, key=lambda choice: choice[2])
    return _result(text, claim, replaced)


def _guesses(body: bytes) -> Iterator[_Claim]:
    """The detector's answer where it can know."""
    label = detect_encoding(body, max_len=DETECTOR_BYTES, html5_compatible=False) or ""
    name = _DETECTED.get(label) or _resolve(label)
    if not name or name == "utf-8" or name in _WIDE:
        return
    foreign = len(body) - len(body.translate(None, _HIGH_BYTES))
    if name in _MULTI_BYTE or foreign >= FOREIGN_SHARE * len(body):
        yield _Claim(name, "detector")


def _wide_without_mark(body: bytes) -> str:
    """UTF-16 shows in zero bytes at every other place; an empty string when it does not."""
    head = body[: META_BYTES & ~1]
    half = len(head) // 2
    if half < 4:
        return ""
    if head[1::2].count(0) > 0.4 * half and head[0::2].count(0) < 0.1 * half:
        return "utf-16le"
    if head[0::2].count(0) > 0.4 * half and head[1::2].count(0) < 0.1 * half:
        return "utf-16be"
    return ""


def _lenient(body: bytes, charset: str) -> tuple[str, int]:
    text = body.decode(_codec(charset), "replace")
    return text, text.count(_REPLACEMENT)


def _result(text: str, claim: _Claim, replaced: int) -> Decoded:
    """Without the byte order mark, and without what UTF-8 columns cannot or should not hold."""
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        text = text.replace("\0", "")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            replaced += clean.count(_REPLACEMENT) - text.count(_REPLACEMENT)
            text = clean
    return Decoded(text, claim.charset, claim.origin, replaced)
