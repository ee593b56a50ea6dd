"""One tokenisation of a text that every signal shares.

Words follow spaCy's English tokenizer closely (the prefix, suffix and infix rules of
spacy/lang/punctuation.py and lang/en/punctuation.py, 3.8), because FineWeb's thresholds were set
on its tokens. Scripts written without spaces follow the default word boundaries of UAX #29: a Han
ideograph or a Hiragana letter is a word, a run of Katakana is a word, a Thai, Lao, Burmese or
Khmer letter with its marks is a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, lru_cache
from itertools import chain, pairwise

from stages.contractions import ABBREVIATIONS, contractions

_HAN = (
    "\u2e80-\u2eff\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002fa1f\U00030000-\U000323af"
)
_HIRAGANA = "\u3041-\u309f"
_KATAKANA = "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
# Thai, Lao, Burmese and Khmer letters, and the marks that stay with them.
_COMPLEX = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
_COMPLEX_MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e"
    "\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f"
    "\u17b4-\u17d3"
)
_UNSPACED = _HAN + _HIRAGANA + _KATAKANA + _COMPLEX

_QUOTES = "'\"\u201d\u201c`\u2018\u00b4\u2019\u201a\u201e\u00bb\u00ab"
_BRACKETS = r"()\[\]{}<>「」『』（）〔〕【】《》〈〉⟦⟧"
_MARKS = r"\u2026,:;!?\u00bf\u061f\u00a1_#*&。？！，、；：～·।،۔؛٪—–"
_ICONS = (
    "\u00a6\u00a9\u00ae\u00b0\u2117\u211e-\u2123\u2195-\u21ff\u2300-\u23ff\u2400-\u27bf"
    "\u2b00-\u2bff\u3004\u3012\u3013\u3020\ufffc\ufffd\U0001f000-\U0001faff"
)
_CURRENCY = r"$£€¥฿\u20a0-\u20bf"
_AFFIX = _MARKS + _QUOTES + _BRACKETS + _ICONS

_LETTER = r"[^\W\d_]"
_LOWER = "a-zß-öø-ÿа-яёα-ω"
_UPPER = "A-ZÀ-ÖØ-ÞА-ЯЁΑ-Ω"
# A full stop leaves its word except after a single capital (initials); Indic and Hebrew marks,
# which are no word characters to `re`, count as letters.
_STOP = (
    rf"(?:(?<=[^\W{_UPPER}])|(?<=[%²+\-|{_AFFIX}\u0591-\u05f4\u064b-\u0670\u0900-\u0dff])"
    rf"|(?<=[{_UPPER}][{_UPPER}]))\."
)
_ONE_SUFFIX = rf"(?:[{_AFFIX}]|\.\.++|{_STOP})"
# Possessive and bounded: a run of marks costs linear time wherever it stands.
_TAIL = rf"{_ONE_SUFFIX}{{0,40}}+(?!\S)"
_UNITS = (
    r"(?:[kcdmnµ]?m[²³]?|ha|yd|in|ft|[kmµ]?g|t|lb|oz|m/s|km/h|kmh|mph|h?Pa|mbar"
    r"|[mkgt]b|[MKGT]B?|%)"
)
_INFIX = (
    rf"\.\.++|[\u2026{_ICONS}]"
    r"|(?<=\d)[+\-*^](?=[\d\-])"
    rf"|(?<=[{_LOWER}{_QUOTES}])\.(?=[{_UPPER}{_QUOTES}])"
    rf"|(?<={_LETTER}),(?={_LETTER})"
    rf"|(?<=[^\W_])(?:---|--|——|[\-–—~])(?={_LETTER})"
    rf"|(?<=[^\W_])[:<>=/](?={_LETTER})"
)
_ENDS_CORE = (
    rf"[\s{_UNSPACED}]|['\u2019][sS](?={_TAIL})|{_ONE_SUFFIX}{_TAIL}"
    rf"|(?<=\d)[{_CURRENCY}+]{_TAIL}|{_INFIX}"
)
_HOST = r"(?:[A-Za-z0-9À-ɏ](?:[\wÀ-ɏ\-]{0,62}[A-Za-z0-9À-ɏ])?\.)+[a-zß-öø-ÿ]{2,63}"

_WORD = re.compile(
    "|".join(
        (
            # Plain words before a space or simple punctuation: most words end here.
            r'[A-Za-z]++(?=[,;:!?)"\u201d]{0,40}+(?!\S))',
            rf"[{_HAN}{_HIRAGANA}]|[{_KATAKANA}]+|[{_COMPLEX}][{_COMPLEX_MARKS}]*",
            rf"['\u2019][sS](?={_TAIL})",
            r"\):(?!\S)|(?<!\S)(?:and/or|w/o)(?![^\s,.;])|''|’’|(?<!\S)(?:[:;=]['\-]?[()\[\]DPpOoXx/|*3>]|<3+|\^_+\^)(?!\S)",
            _INFIX,
            rf"[{_AFFIX}{_CURRENCY}§%=]|\+(?!\d)",
            rf"(?:{'|'.join(map(re.escape, ABBREVIATIONS))}|[a-zäöü]\.)(?={_TAIL})",
            rf"\d{{1,2}}[ap]\.m\.(?={_TAIL})",
            rf"\d[\d.,]*(?={_UNITS}{_TAIL})",
            # URLs and e-mail addresses stay whole.
            rf"(?=\w[^\s.:@]{{0,80}}[.:@])(?:[\w+\-.]{{2,40}}://)?(?:[^\s@/]{{1,80}}@)?{_HOST}"
            rf"(?::\d{{2,5}})?(?:[/?#]\S*?)?(?={_TAIL})",
            rf"(?:[A-Za-z0-9]+|(?!{_ENDS_CORE}).)+",
            r"\S",
        )
    )
)

_PARAGRAPHS = re.compile(r"\n{2,}")
_REMEMBERED_CHARACTERS = 32
"""Longer chunks are not remembered: whole paragraphs, in scripts written without spaces."""
# spaCy's sentencizer (pipeline/sentencizer.pyx) and its characters that people use on the web.
SENTENCE_ENDS = frozenset("!.?。！？．｡։؟۔।॥፧፨။។‼‽⁇⁈⁉⸮﹒﹖﹗")


def _is_punctuation(word: str) -> bool:
    return all(unicodedata.category(character)[0] == "P" for character in word)


def split_words(text: str) -> list[str]:
    """The words of a text, punctuation marks being words of their own.

    No word holds whitespace, and the words in order are the text without its whitespace.
    """
    # Every rule looks at most at the whitespace around a chunk, so chunks stand for themselves.
    return list(
        chain.from_iterable(
            _remembered_words(chunk) if len(chunk) <= _REMEMBERED_CHARACTERS else _words_of(chunk)
            for chunk in text.split()
        )
    )


def _words_of(chunk: str) -> Sequence[str]:
    """The words of a text without whitespace."""
    words = _WORD.findall(chunk)
    table = contractions()
    if table.keys().isdisjoint(words):
        return words
    return list(chain.from_iterable(table.get(word, (word,)) for word in words))


@lru_cache(maxsize=1 << 15)
def _remembered_words(chunk: str) -> tuple[str, ...]:
    """Most chunks of a text were seen before, and the expression takes ten times a look-up."""
    return tuple(_words_of(chunk))


def _sentence_starts(words: list[str]) -> list[int]:
    """Indices of the words that open a sentence: the first word, and each first word that is not
    punctuation after an end mark standing as a word of its own (so not the one of "U.S.")."""
    if not words:
        return []
    starts = [0]
    ended = False
    for index, word in enumerate(words):
        if word in SENTENCE_ENDS:
            ended = True
        elif ended and not _is_punctuation(word):
            starts.append(index)
            ended = False
    return starts


class TextView:
    """Lazy, cached views of one text: each is computed on first use, once.

    A view belongs to exactly one text. After an edit a new view is made; given the one before,
    it takes over the words of the lines that the edit left alone.
    """

    def __init__(self, text: str, before: TextView | None = None) -> None:
        self.text = text
        self._known_lines: dict[str, list[str]] = {}
        if before is not None and "line_words" in before.__dict__:
            self._known_lines = dict(zip(before.lines, before.line_words, strict=True))

    @cached_property
    def lines(self) -> list[str]:
        """Lines as `str.splitlines` sees them, empty ones included."""
        return self.text.splitlines()

    @cached_property
    def line_words(self) -> list[list[str]]:
        """The words of each line of `lines`."""
        known = self._known_lines
        return [known[line] if line in known else split_words(line) for line in self.lines]

    @cached_property
    def words(self) -> list[str]:
        """All words, punctuation included, in order."""
        return list(chain.from_iterable(self.line_words))

    @cached_property
    def word_counts(self) -> Counter[str]:
        """How often each distinct word occurs."""
        return Counter(self.words)

    @cached_property
    def n_words(self) -> int:
        """Words that hold a letter or a digit: the length of a document in any script."""
        counts = self.word_counts.items()
        return sum(count for word, count in counts if any(map(str.isalnum, word)))

    @cached_property
    def paragraphs(self) -> list[str]:
        """Parts between blank lines (two newlines or more); [""] for an empty text."""
        return _PARAGRAPHS.split(self.text.strip())

    @cached_property
    def n_sentences(self) -> int:
        """Sentences, counted line by line: no sentence reaches over a newline."""
        return sum(len(_sentence_starts(words)) for words in self.line_words)

    @cached_property
    def sentences(self) -> list[list[str]]:
        """The words of each sentence."""
        return [
            words[start:end]
            for words in self.line_words
            for start, end in pairwise([*_sentence_starts(words), len(words)])
        ]

    def ngrams(self, n: int) -> list[tuple[str, ...]]:
        """All runs of `n` words, in order; empty when the text has fewer words."""
        return list(zip(*(self.words[start:] for start in range(n)), strict=False))
