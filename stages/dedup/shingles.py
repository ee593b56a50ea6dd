"""From a text to the set of its word n-grams, each as a 32-bit hash: what MinHash compares."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import xxhash
from numpy.typing import NDArray

_NUMBER = re.compile(r"\d+(?:[.,٫⎖⎗⎘]\d+)?")
_DIACRITIC = re.compile("[\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u3099\u309a]+")

# Everything between words: controls, ASCII and Latin-1 punctuation, General Punctuation, the CJK
# and full-width signs, Arabic and Indic stops. A list rather than `\W`, which would cut Indic
# words at each vowel sign and which moves with the Unicode version of the interpreter.
_BETWEEN = (
    "\\x00-/:-@\\[-`{-\x9f\xa0-\xa9\xab-\xb1\xb4\xb6-\xb8\xbb\xbf\xd7\xf7"
    "\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u061b\u061f\u066a-\u066d\u06d4"
    "\u0964\u0965\u0e2f\u0e5a\u0e5b\u104a\u104b\u1361-\u1368\u17d4-\u17da"
    "\u2000-\u206f\u2190-\u2bff\u3000-\u3004\u3008-\u3020\u3030\u303d\u30fb"
    "\ufe10-\ufe19\ufe30-\ufe6f\ufeff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
# Scripts written without spaces: Thai, Lao, Tibetan, Myanmar, Khmer, kana, bopomofo, Han.
_UNSPACED = (
    "\u0e01-\u0e2e\u0e30-\u0eff\u0f40-\u0fbc\u1000-\u1049\u1780-\u17d3"
    "\u3005-\u3007\u3031-\u303c\u3041-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_WORD = re.compile(f"[^{_BETWEEN}{_UNSPACED}]+|[{_UNSPACED}]")
_ASCII_WORD = re.compile("[0-9a-z]+")

# The odd multiplier of the polynomial over word hashes (the 64-bit golden ratio).
_STEP = np.uint64(0x9E3779B97F4A7C15)
_HIGH_HALF = np.uint64(32)


def words_of(text: str, numbers: bool = False) -> list[str]:
    """The words that near-duplicate detection compares.

    Lower case, each number as `0` unless `numbers` says to keep them, punctuation and diacritics
    gone: the simplification FineWeb applies before its MinHash (datatrove 0.10.1, utils/text.py,
    simplify_text), with two differences. Only marks that are optional in writing are stripped
    (Latin, Greek and Cyrillic accents, Hebrew and Arabic points, kana voicing), since Indic vowel
    signs are letters to a reader. And scripts written without spaces give a word a character
    instead of going through a language's tokeniser, so that Chinese, Japanese and Thai copies are
    found at no cost.
    """
    text = text.lower()
    if not numbers:
        text = _NUMBER.sub("0", text)
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return _WORD.findall(_DIACRITIC.sub("", unicodedata.normalize("NFD", text)))


def shingles_of(text: str, ngram: int, numbers: bool = False) -> NDArray[np.uint32]:
    """Hashes of the n-grams of words, in order, with repeats; empty when there are no words.
    `numbers` is as in words_of.

    A text of fewer than `ngram` words is one shingle, all of it: FineWeb's code gives such a
    text no shingle and so never finds its copies.

    Of an n-gram's 64-bit hash the upper half is kept. Words are hashed once: building and hashing
    n-grams as strings would take about three times as long.
    """
    words = words_of(text, numbers)
    if not words:
        return np.empty(0, dtype=np.uint32)
    sums = ngram_hashes(word_hashes(words), min(ngram, len(words)))
    return (sums >> _HIGH_HALF).astype(np.uint32)


def word_hashes(words: list[str]) -> NDArray[np.uint64]:
    """xxh3_64 of each word, in order. Words hold no blanks."""
    if not words:
        return np.empty(0, dtype=np.uint64)
    # One encoding for all words; lone surrogates, which JSON input can bring, pass through.
    encoded = " ".join(words).encode("utf-8", "surrogatepass").split(b" ")
    digest = xxhash.xxh3_64_intdigest
    return np.array([digest(word) for word in encoded], dtype=np.uint64)


def ngram_hashes(hashes: NDArray[np.uint64], ngram: int) -> NDArray[np.uint64]:
    """Entry i: the polynomial mod 2^64 of the `ngram` word hashes from i on; none for fewer."""
    last = max(len(hashes) - ngram + 1, 0)
    sums = hashes[:last].copy()
    for offset in range(1, ngram):
        sums *= _STEP
        sums += hashes[offset : offset + last]
    return sums
